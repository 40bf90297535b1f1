package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// maxName is the longest name in bytes: long enough for people, short enough for every store's identifiers.
const maxName = 63

// definitionNameError says what is wrong with the name of a definition, feature or role, or returns "".
func definitionNameError(what, name string) string {
	if validName(name, func(c byte) bool { return c >= 'a' && c <= 'z' }) {
		return ""
	}
	return fmt.Sprintf("bad %s name %s: expected a small letter, then at most %d of a-z, 0-9 and _", what, quote(name), maxName-1)
}

// columnNameError says what is wrong with the name of a column or key part, or returns "".
func columnNameError(what, name string) string {
	if validName(name, func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }) {
		return ""
	}
	return fmt.Sprintf("bad %s name %s: expected a letter, then at most %d of a-z, A-Z, 0-9 and _", what, quote(name), maxName-1)
}

func validName(name string, letter func(byte) bool) bool {
	if name == "" || len(name) > maxName || !letter(name[0]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !letter(c) && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// quote returns s in quotes, and short without; both cut what is too long for an error.
func quote(s string) string { return strconv.Quote(short(s)) }

func short(s string) string {
	const limit = 80
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-3]) + "..."
	}
	return s
}

// otherTypeNames are names that people know from elsewhere for the types of rule V1.
var otherTypeNames = map[string]string{
	"int": "int64", "integer": "int64", "long": "int64", "bigint": "int64", "int32": "int64",
	"float": "float64", "double": "float64", "real": "float64", "float32": "float64",
	"str": "string", "text": "string", "varchar": "string", "boolean": "bool",
	"datetime": "timestamp", "date": "timestamp", "time": "timestamp", "instant": "timestamp",
}

// typeError adds a suggestion to the error of feature.ParseType.
func typeError(name string, err error) string {
	known := []string{"int64", "float64", "bool", "string", "timestamp"}
	hint, ok := otherTypeNames[strings.ToLower(name)]
	if !ok {
		hint = nearest(name, known)
	}
	if hint == "" {
		return err.Error()
	}
	return fmt.Sprintf("%v; did you mean %q?", err, hint)
}

// unknown says that a name is not among the known ones, and which was probably meant. of says what the names
// belong to, such as "source flights", or is "".
func unknown(what, name, of string, known []string) string {
	if of != "" {
		of = " of " + of
	}
	s := fmt.Sprintf("unknown %s %s%s: ", what, quote(name), of)
	if hint := nearest(name, known); hint != "" {
		return s + fmt.Sprintf("did you mean %q?", hint)
	}
	if len(known) == 0 {
		return s + "none is defined"
	}
	return s + "expected " + oneOf(known)
}

// oneOf lists names for an error, in order, and not too many.
func oneOf(names []string) string {
	const limit = 12
	if len(names) == 1 {
		return names[0]
	}
	if len(names) > limit {
		return fmt.Sprintf("one of %s, ... (%d more)", strings.Join(names[:limit], ", "), len(names)-limit)
	}
	return "one of " + strings.Join(names, ", ")
}

// nearest returns the known name that is most like name, or "" if none is alike.
func nearest(name string, known []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, change or swap with the next one to make b of a.
func distance(a, b string) int {
	if len(a) > 2*maxName || len(b) > 2*maxName {
		return max(len(a), len(b))
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

func fieldNames(fields []feature.Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// sortedKeys returns the keys of m in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
