// Package rowjson reads rows that are flat JSON objects: names with scalars or lists of scalars. It is strict
// where encoding/json is lenient (duplicate names are left to the caller, but invalid UTF-8, unpaired
// surrogates and trailing bytes are errors), allocates nothing for a row without escapes, and never nests.
package rowjson

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds of JSON values. The members of an Object and the elements of lists in lists are not kept.
const (
	Null Kind = iota
	False
	True
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"null", "false", "true", "a number", "a string", "an array", "an object"}

// String returns the kind in words, such as "a number".
func (k Kind) String() string { return kindNames[k] }

// Token is one JSON value. Its bytes and elements belong to the Scanner or to the scanned text and are valid
// until the next Reset.
type Token struct {
	Kind  Kind
	Text  []byte  // of a number its digits as written; of a string its characters, unescaped, valid UTF-8
	Elems []Token // of an array; an array among them has no elements itself
}

// Scanner walks over the members of one JSON object. Use: Reset, then Next until it returns false, then Err.
// The zero Scanner is ready for Reset.
type Scanner struct {
	data    []byte
	pos     int
	started bool
	done    bool
	key     []byte
	value   Token
	err     error
	unescap []byte
	elems   []Token
}

// maxDepth bounds how deep values may nest that are skipped; a row's own values nest one level.
const maxDepth = 32

// Reset begins to scan the object in data, which must stay unchanged while its tokens are in use.
func (s *Scanner) Reset(data []byte) {
	s.data, s.pos, s.started, s.done, s.err = data, 0, false, false, nil
	s.key, s.value = nil, Token{}
	s.unescap, s.elems = s.unescap[:0], s.elems[:0]
}

// Key returns the name of the current member, valid like a Token.
func (s *Scanner) Key() []byte { return s.key }

// Value returns the value of the current member, valid until Next.
func (s *Scanner) Value() *Token { return &s.value }

// Err returns what was wrong with the text, naming the byte (from 1) where it was found; nil while all is well.
func (s *Scanner) Err() error { return s.err }

// Next goes to the next member. It returns false after the last one or when the text is not one JSON object.
func (s *Scanner) Next() bool {
	if s.err != nil || s.done {
		return false
	}
	c := s.peek()
	switch {
	case !s.started && c != '{':
		return s.fail("expected a JSON object")
	case !s.started:
		s.started = true
		s.pos++
		if s.peek() == '}' {
			return s.finish()
		}
	case c == '}':
		return s.finish()
	case c != ',':
		return s.fail("expected a comma or the end of the object")
	default:
		s.pos++
	}
	if s.peek() != '"' {
		return s.fail("expected a name in double quotes")
	}
	var ok bool
	if s.key, ok = s.str(); !ok {
		return false
	}
	if s.peek() != ':' {
		return s.fail("expected a colon after the name")
	}
	s.pos++
	return s.token(0, &s.value)
}

func (s *Scanner) finish() bool {
	s.pos++
	s.done = true
	if s.peek(); s.pos < len(s.data) {
		return s.fail("expected nothing after the object")
	}
	return false
}

func (s *Scanner) fail(what string) bool {
	if s.err == nil {
		if s.pos >= len(s.data) {
			s.err = fmt.Errorf("not JSON: %s, but the text ends after %d bytes", what, len(s.data))
		} else {
			s.err = fmt.Errorf("not JSON at byte %d: %s", s.pos+1, what)
		}
	}
	return false
}

// peek skips blanks and returns the next byte, 0 at the end.
func (s *Scanner) peek() byte {
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

// token reads a value into t.
func (s *Scanner) token(depth int, t *Token) (ok bool) {
	if depth > maxDepth {
		return s.fail("it is nested too deeply")
	}
	t.Text, t.Elems = nil, nil
	switch c := s.peek(); {
	case c == '"':
		t.Kind = String
		t.Text, ok = s.str()
		return ok
	case c == '-' || c >= '0' && c <= '9':
		t.Kind = Number
		t.Text, ok = s.number()
		return ok
	case c == 'n':
		t.Kind = Null
		return s.word("null")
	case c == 't':
		t.Kind = True
		return s.word("true")
	case c == 'f':
		t.Kind = False
		return s.word("false")
	case c == '[':
		t.Kind = Array
		t.Elems, ok = s.array(depth)
		return ok
	case c == '{':
		t.Kind = Object
		return s.skipObject(depth)
	default:
		return s.fail("expected a value")
	}
}

func (s *Scanner) word(w string) bool {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.fail("expected a value")
	}
	s.pos += len(w)
	return true
}

func (s *Scanner) number() ([]byte, bool) {
	start := s.pos
	if s.data[s.pos] == '-' {
		s.pos++
	}
	lead := s.pos
	n := s.digits()
	if n == 0 || n > 1 && s.data[lead] == '0' {
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
	return s.data[start:s.pos], true
}

func (s *Scanner) at(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }

func (s *Scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// array reads a list; the elements of a list in a list are checked and dropped.
func (s *Scanner) array(depth int) ([]Token, bool) {
	s.pos++
	first := len(s.elems)
	if s.peek() == ']' {
		s.pos++
		return nil, true
	}
	for {
		var e Token
		if !s.token(depth+1, &e) {
			return nil, false
		}
		if depth == 0 {
			s.elems = append(s.elems, e)
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return s.elems[first:len(s.elems):len(s.elems)], true
		default:
			return nil, s.fail("expected a comma or the end of the array")
		}
	}
}

func (s *Scanner) skipObject(depth int) bool {
	s.pos++
	if s.peek() == '}' {
		s.pos++
		return true
	}
	for {
		if s.peek() != '"' {
			return s.fail("expected a name in double quotes")
		}
		if _, ok := s.str(); !ok {
			return false
		}
		if s.peek() != ':' {
			return s.fail("expected a colon after the name")
		}
		s.pos++
		// An array in here must not add to the elements of one around it: depth is at least 1.
		var skipped Token
		if !s.token(depth+1, &skipped) {
			return false
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return true
		default:
			return s.fail("expected a comma or the end of the object")
		}
	}
}

// str reads a string at the opening quote.
func (s *Scanner) str() ([]byte, bool) {
	s.pos++
	start := s.pos
	var high byte
	for i := start; i < len(s.data); i++ {
		c := s.data[i]
		if c == '"' {
			text := s.data[start:i]
			if high >= utf8.RuneSelf && !utf8.Valid(text) {
				return nil, s.fail("a string is not valid UTF-8")
			}
			s.pos = i + 1
			return text, true
		}
		if c == '\\' || c < ' ' {
			return s.escaped(start)
		}
		high |= c
	}
	s.pos = len(s.data)
	return nil, s.fail("expected the end of a string")
}

// escaped reads a string that has an escape (or a control character, an error).
func (s *Scanner) escaped(start int) ([]byte, bool) {
	out := len(s.unescap)
	for s.pos = start; s.pos < len(s.data); {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			text := s.unescap[out:len(s.unescap):len(s.unescap)]
			if !utf8.Valid(text) {
				return nil, s.fail("a string is not valid UTF-8")
			}
			return text, true
		case c < ' ':
			return nil, s.fail("a string has a control character that is not escaped")
		case c == '\\':
			if !s.escape() {
				return nil, false
			}
		default:
			s.unescap = append(s.unescap, c)
			s.pos++
		}
	}
	return nil, s.fail("expected the end of a string")
}

// escape reads one escape at its backslash.
func (s *Scanner) escape() bool {
	if s.pos+1 >= len(s.data) {
		s.pos = len(s.data)
		return s.fail("expected the end of an escape")
	}
	switch c := s.data[s.pos+1]; c {
	case '"', '\\', '/':
		s.unescap = append(s.unescap, c)
	case 'b':
		s.unescap = append(s.unescap, '\b')
	case 'f':
		s.unescap = append(s.unescap, '\f')
	case 'n':
		s.unescap = append(s.unescap, '\n')
	case 'r':
		s.unescap = append(s.unescap, '\r')
	case 't':
		s.unescap = append(s.unescap, '\t')
	case 'u':
		return s.unicode()
	default:
		return s.fail("unknown escape in a string")
	}
	s.pos += 2
	return true
}

func (s *Scanner) unicode() bool {
	r := hex4(s.data[s.pos+2:])
	if r < 0 {
		return s.fail(`expected four hexadecimal digits after \u`)
	}
	size := 6
	if utf16.IsSurrogate(r) {
		rest := s.data[s.pos+6:]
		if len(rest) < 2 || rest[0] != '\\' || rest[1] != 'u' {
			return s.fail("half of a surrogate pair")
		}
		if r = utf16.DecodeRune(r, hex4(rest[2:])); r == utf8.RuneError {
			return s.fail("half of a surrogate pair")
		}
		size = 12
	}
	s.unescap = utf8.AppendRune(s.unescap, r)
	s.pos += size
	return true
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
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
