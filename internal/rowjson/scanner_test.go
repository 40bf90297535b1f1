package rowjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/internal/rowjson"
)

// scan returns the members of an object as "name kind text".
func scan(s *rowjson.Scanner, data []byte) ([]string, error) {
	var out []string
	s.Reset(data)
	for s.Next() {
		v := s.Value()
		out = append(out, fmt.Sprintf("%s %s", s.Key(), show(*v)))
	}
	return out, s.Err()
}

func show(v rowjson.Token) string {
	var elems []string
	for _, e := range v.Elems {
		elems = append(elems, show(e))
	}
	switch v.Kind {
	case rowjson.String:
		return fmt.Sprintf("%q", v.Text)
	case rowjson.Number:
		return string(v.Text)
	case rowjson.Array:
		return fmt.Sprintf("[%s]", strings.Join(elems, ", "))
	default:
		return v.Kind.String()
	}
}

func TestScanner(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{`{}`, nil},
		{" \t\r\n{ \n} ", nil},
		{`{"a":1}`, []string{"a 1"}},
		{`{"a": -0.5e+10 , "b":true,"c":false,"d":null}`, []string{"a -0.5e+10", "b true", "c false", "d null"}},
		{`{"a":"x","":"y"}`, []string{`a "x"`, ` "y"`}},
		{`{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`, []string{`a "\"\\/\b\f\n\r\té😀"`}},
		{`{"\u0061":"é😀"}`, []string{`a "é😀"`}},
		{`{"a\n":"b\n","c\n":"d\n"}`, []string{"a\n \"b\\n\"", "c\n \"d\\n\""}},
		{`{"a":[]}`, []string{"a []"}},
		{`{"a":[1, "x\n", null],"b":[true]}`, []string{`a [1, "x\n", null]`, "b [true]"}},
		{`{"a":[[1],[2,[3]],{"b":[4]},5],"c":6}`, []string{"a [[], [], an object, 5]", "c 6"}},
		{`{"a":{"b":[1,{"c":"\n"}],"d":{}}}`, []string{"a an object"}},
		{`{"a":1,"a":2}`, []string{"a 1", "a 2"}},
	}
	var s rowjson.Scanner
	for _, tt := range tests {
		got, err := scan(&s, []byte(tt.in))
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.in, diff)
		}
	}
}

func TestScannerRefuses(t *testing.T) {
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for in, message := range map[string]string{
		"":                         "expected a JSON object, but the text ends after 0 bytes",
		"null":                     "at byte 1: expected a JSON object",
		"[1]":                      "at byte 1: expected a JSON object",
		`{`:                        "the text ends",
		`{"a"`:                     "expected a colon",
		`{"a":`:                    "expected a value, but the text ends after 5 bytes",
		`{"a":1`:                   "expected a comma or the end of the object, but the text ends",
		`{"a":1,}`:                 "at byte 8: expected a name",
		`{,}`:                      "at byte 2: expected a name",
		`{"a":1 "b":2}`:            "at byte 8: expected a comma",
		`{a:1}`:                    "expected a name",
		`{'a':1}`:                  "expected a name",
		`{"a":1}{}`:                "at byte 8: expected nothing after the object",
		`{"a":1}x`:                 "expected nothing after the object",
		`{"a":01}`:                 "not a JSON number",
		`{"a":+1}`:                 "expected a value",
		`{"a":.5}`:                 "expected a value",
		`{"a":1.}`:                 "not a JSON number",
		`{"a":1e}`:                 "not a JSON number",
		`{"a":-}`:                  "not a JSON number",
		`{"a":NaN}`:                "expected a value",
		`{"a":tru}`:                "expected a value",
		`{"a":truer}`:              "expected a comma",
		`{"a":"x}`:                 "expected the end of a string",
		`{"a":"x\`:                 "expected the end of an escape",
		`{"a":"\x"}`:               "unknown escape",
		`{"a":"\u12"}`:             "four hexadecimal digits",
		`{"a":"\ud83d"}`:           "half of a surrogate pair",
		`{"a":"\ud83d\u0061"}`:     "half of a surrogate pair",
		`{"a":"\ude00\ud83d"}`:     "half of a surrogate pair",
		"{\"a\":\"\x01\"}":         "control character",
		"{\"a\":\"\xff\"}":         "not valid UTF-8",
		"{\"\xff\":1}":             "not valid UTF-8",
		"{\"a\":\"\\n\xff\"}":      "not valid UTF-8",
		`{"a":[1,]}`:               "expected a value",
		`{"a":[1 2]}`:              "end of the array",
		`{"a":{"b" 1}}`:            "expected a colon",
		`{"a":` + deep + `}`:       "nested too deeply",
		`{"a":{"b":` + deep + `}}`: "nested too deeply",
	} {
		var s rowjson.Scanner
		if got, err := scan(&s, []byte(in)); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%q = %q, %v, want an error with %q", in, got, err, message)
		}
		if s.Next() {
			t.Errorf("%q: Next after an error", in)
		}
	}
}

// The scanner reads the objects that encoding/json reads, and the same members, except where it is stricter.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"b":[1,"x",null,[2]],"c":{"d":"e"}}`, `{"a":"\ud83d\ude00\n"}`, "{\"a\":\"\xff\"}", `{"a":01}`, `{"a":1e5}`, `{} {}`, `{"a":{},"a":[{}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s rowjson.Scanner
		got, err := scan(&s, data)
		want, wantErr := oracle(data)
		if err == nil && wantErr != nil {
			t.Fatalf("%q = %q, but encoding/json says %v", data, got, wantErr)
		}
		if err != nil {
			stricter := !utf8.Valid(data) || strings.Contains(err.Error(), "surrogate") || strings.Contains(err.Error(), "too deeply")
			if wantErr == nil && !stricter {
				t.Fatalf("%q: %v, but encoding/json reads %q", data, err, want)
			}
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", data, diff)
		}
	})
}

// oracle does with encoding/json what scan does.
func oracle(data []byte) ([]string, error) {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, fmt.Errorf("no object")
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var out []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("%s %s", key, showAny(v, 0)))
	}
	return out, nil
}

func showAny(v any, depth int) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		return v.String()
	case string:
		return fmt.Sprintf("%q", v)
	case []any:
		if depth > 0 {
			return "[]"
		}
		var elems []string
		for _, e := range v {
			elems = append(elems, showAny(e, depth+1))
		}
		return fmt.Sprintf("[%s]", strings.Join(elems, ", "))
	default:
		return "an object"
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", 600<<10)
	tests := []struct {
		in    string
		limit int
		want  []string
	}{
		{"", 10, nil},
		{"a", 10, []string{"1:a"}},
		{"a\n", 10, []string{"1:a"}},
		{"\n\na\r\n", 10, []string{"1:", "2:", "3:a\r"}},
		{"0123456789\n01234567890\nb", 10, []string{"1:0123456789", "2!", "3:b"}},
		{long + "\nb\n" + long, 10, []string{"1!", "2:b", "3!"}},
		{long + "\n" + long, 1 << 20, []string{"1:" + long, "2:" + long}},
	}
	for _, tt := range tests {
		var got []string
		lines := rowjson.NewLines(strings.NewReader(tt.in), tt.limit)
		for {
			line, err := lines.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			switch {
			case err == nil:
				got = append(got, fmt.Sprintf("%d:%s", lines.Number(), line))
			case errors.Is(err, rowjson.ErrTooLong):
				got = append(got, fmt.Sprintf("%d!", lines.Number()))
			default:
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%.30q (-want +got):\n%.300s", tt.in, diff)
		}
	}
	failing := rowjson.NewLines(io.MultiReader(strings.NewReader("a\nb"), failure{}), 10)
	if line, err := failing.Next(); err != nil || string(line) != "a" {
		t.Errorf("Next() = %q, %v", line, err)
	}
	if line, err := failing.Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Next() on a failing reader = %q, %v, want its error", line, err)
	}
}

type failure struct{}

func (failure) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
