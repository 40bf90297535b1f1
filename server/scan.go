package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep a request body may nest.
const maxDepth = 32

// scanner walks over JSON where encoding/json is too lenient or too slow: it refuses invalid UTF-8, names
// that come twice, deep nesting and anything behind the value, and it hands out parts of the text unparsed.
// Its errors are about the text ("not JSON at byte 12: ...").
type scanner struct {
	data  []byte
	pos   int
	depth int
	lax   bool // names may come twice: who parses the parts will see to it
}

func (s *scanner) fail(what string) error {
	if s.pos >= len(s.data) {
		return fmt.Errorf("not JSON: %s, but the text ends after %d bytes", what, len(s.data))
	}
	return fmt.Errorf("not JSON at byte %d: %s", s.pos+1, what)
}

// peek skips blanks and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// end fails unless only blanks are left.
func (s *scanner) end() error {
	if s.peek(); s.pos < len(s.data) {
		return s.fail("expected nothing after the value")
	}
	return nil
}

func (s *scanner) nest() error {
	if s.depth++; s.depth > maxDepth {
		return s.fail("it is nested too deeply")
	}
	s.pos++
	return nil
}

// object calls member for every member of the object that begins here. member must consume the value.
func (s *scanner) object(member func(name []byte) error) error {
	if s.peek() != '{' {
		return s.fail("expected an object")
	}
	if err := s.nest(); err != nil {
		return err
	}
	var seen names
	for first := true; ; first = false {
		switch c := s.peek(); {
		case c == '}' && first:
			s.pos++
			s.depth--
			return nil
		case c != '"':
			return s.fail("expected a name in double quotes")
		}
		start := s.pos
		name, err := s.text()
		if err != nil {
			return err
		}
		if !s.lax && !seen.add(name) {
			s.pos = start
			return s.fail(fmt.Sprintf("the name %q comes twice", name))
		}
		if s.peek() != ':' {
			return s.fail("expected a colon after the name")
		}
		s.pos++
		if err := member(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
			s.peek()
		case '}':
			s.pos++
			s.depth--
			return nil
		default:
			return s.fail("expected a comma or the end of the object")
		}
	}
}

// names is a set of names; small ones need no map.
type names struct {
	few  [8][]byte
	n    int
	many map[string]bool
}

func (s *names) add(name []byte) bool {
	if s.many[string(name)] || slices.ContainsFunc(s.few[:s.n], func(b []byte) bool { return bytes.Equal(b, name) }) {
		return false
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	if s.many == nil {
		s.many = map[string]bool{}
	}
	s.many[string(name)] = true
	return true
}

// array calls element at every element of the array that begins here. element must consume it.
func (s *scanner) array(element func() error) error {
	if s.peek() != '[' {
		return s.fail("expected an array")
	}
	if err := s.nest(); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		s.depth--
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			s.depth--
			return nil
		default:
			return s.fail("expected a comma or the end of the array")
		}
	}
}

// span consumes any value and returns its text, a part of the data.
func (s *scanner) span() ([]byte, error) {
	s.peek()
	start := s.pos
	err := s.skip()
	return s.data[start:s.pos], err
}

// skip consumes any value.
func (s *scanner) skip() error {
	switch c := s.peek(); {
	case c == '"':
		return s.skipText()
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	case c == '{':
		return s.object(func([]byte) error { return s.skip() })
	case c == '[':
		return s.array(s.skip)
	case c == 'n':
		return s.word("null")
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	default:
		return s.fail("expected a value")
	}
}

func (s *scanner) word(w string) error {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.fail("expected a value")
	}
	s.pos += len(w)
	return nil
}

// number consumes a number and returns its text.
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.at('-') {
		s.pos++
	}
	lead := s.pos
	if n := s.digits(); n == 0 || n > 1 && s.data[lead] == '0' {
		return nil, s.fail("this is not a JSON number")
	}
	if s.at('.') {
		s.pos++
		if s.digits() == 0 {
			return nil, s.fail("this is not a JSON number")
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		if s.at('+') || s.at('-') {
			s.pos++
		}
		if s.digits() == 0 {
			return nil, s.fail("this is not a JSON number")
		}
	}
	return s.data[start:s.pos], nil
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// skipText consumes a string without unescaping it.
func (s *scanner) skipText() error {
	_, _, err := s.quoted()
	return err
}

// text consumes a string and returns its characters; without escapes they are a part of the data.
func (s *scanner) text() ([]byte, error) {
	raw, escaped, err := s.quoted()
	if err != nil || !escaped {
		return raw, err
	}
	var out string
	if err := json.Unmarshal(s.data[s.pos-len(raw)-2:s.pos], &out); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err) // quoted lets nothing through that could fail
	}
	return []byte(out), nil
}

// quoted consumes a string and returns what is between the quotes, and whether there are escapes in it.
func (s *scanner) quoted() (raw []byte, escaped bool, err error) {
	if s.peek() != '"' {
		return nil, false, s.fail("expected a string")
	}
	s.pos++
	start := s.pos
	var high byte
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c == '"':
			raw = s.data[start:s.pos]
			if high >= utf8.RuneSelf && !utf8.Valid(raw) {
				return nil, false, s.fail("a string is not valid UTF-8")
			}
			s.pos++
			return raw, escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		case c < ' ':
			return nil, false, s.fail("a string has a control character that is not escaped")
		default:
			high |= c
			s.pos++
		}
	}
	return nil, false, s.fail("expected the end of a string")
}

func (s *scanner) escape() error {
	s.pos++
	switch {
	case s.pos >= len(s.data):
		return s.fail("expected the end of an escape")
	case bytes.IndexByte([]byte(`"\/bfnrt`), s.data[s.pos]) >= 0:
		s.pos++
		return nil
	case s.data[s.pos] != 'u':
		return s.fail("unknown escape in a string")
	}
	r := hex4(s.data[s.pos+1:])
	if r < 0 {
		return s.fail(`expected four hexadecimal digits after \u`)
	}
	s.pos += 5
	if !utf16.IsSurrogate(r) {
		return nil
	}
	if rest := s.data[s.pos:]; len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' || utf16.DecodeRune(r, hex4(rest[2:])) == utf8.RuneError {
		return s.fail("half of a surrogate pair")
	}
	s.pos += 6
	return nil
}

// hex4 returns the number in the first four hexadecimal digits of b, or -1.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
