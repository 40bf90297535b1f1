package feature

import (
	"fmt"
	"strconv"
	"strings"
)

// Kind is the kind of a scalar. The numbers are written to disk and are never reused.
type Kind uint8

// The kinds of rule V1. KindNull is the kind of the zero Value; no column is declared with it.
const (
	KindNull      Kind = 0
	KindInt64     Kind = 1
	KindFloat64   Kind = 2
	KindBool      Kind = 3
	KindString    Kind = 4
	KindTimestamp Kind = 5
)

var kindNames = [...]string{"null", "int64", "float64", "bool", "string", "timestamp"}

// String returns the name used in definitions, such as "int64".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	if k == kindEmpty {
		return "nothing" // an empty list is a list<nothing> until it is converted
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Type is the type of a column or feature: a scalar, or a list of scalars. The zero Type is invalid.
type Type struct {
	Kind Kind
	List bool
	Len  int // the length every list must have; 0 means any. Only a float64 list (a vector) declares one.
}

// The scalar types.
var (
	Int64     = Type{Kind: KindInt64}
	Float64   = Type{Kind: KindFloat64}
	Bool      = Type{Kind: KindBool}
	String    = Type{Kind: KindString}
	Timestamp = Type{Kind: KindTimestamp}
)

// ListOf returns the type of lists of k.
func ListOf(k Kind) Type { return Type{Kind: k, List: true} }

// String returns the type as definitions write it: "int64", "list<int64>", "vector<3>".
func (t Type) String() string {
	switch {
	case t.List && t.Len > 0:
		return "vector<" + strconv.Itoa(t.Len) + ">"
	case t.List:
		return "list<" + t.Kind.String() + ">"
	default:
		return t.Kind.String()
	}
}

// ParseType reads what Type.String writes. The error names what was expected.
func ParseType(s string) (Type, error) {
	s = strings.TrimSpace(s)
	if inner, ok := between(s, "list<", ">"); ok {
		if k, ok := parseKind(inner); ok {
			return ListOf(k), nil
		}
	} else if inner, ok := between(s, "vector<", ">"); ok {
		if n, err := strconv.Atoi(inner); err == nil && n > 0 && n <= 1<<16 && strconv.Itoa(n) == inner {
			return Type{Kind: KindFloat64, List: true, Len: n}, nil
		}
	} else if k, ok := parseKind(s); ok {
		return Type{Kind: k}, nil
	}
	return Type{}, fmt.Errorf("unknown type %q: expected int64, float64, bool, string, timestamp, list<TYPE> or vector<LENGTH>", s)
}

func between(s, prefix, suffix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, suffix)
}

func parseKind(s string) (Kind, bool) {
	for i, name := range kindNames {
		if i > 0 && name == s {
			return Kind(i), true
		}
	}
	return 0, false
}

// KeyPart reports whether values of the type may be part of a key (rule K1).
func (t Type) KeyPart() bool {
	if t.List {
		return false
	}
	switch t.Kind {
	case KindInt64, KindString, KindBool, KindTimestamp:
		return true
	default:
		return false
	}
}

// MarshalText writes the type as String does.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (t *Type) UnmarshalText(b []byte) error {
	parsed, err := ParseType(string(b))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
