package gate

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

// Holds reports whether a row of src as it came, perhaps one that was refused, has to go with the events of an
// erasure (rule E3). Where it has a value in every column of the key, those decide. Else it is a row whose key cannot be
// told: it goes if all parts of a key are words in it.
func Holds(src *feature.Source, raw []byte, e *feature.Erasure) bool {
	if key, told := keyOf(src, raw, e.Columns); told {
		for _, k := range e.Keys {
			if k.Equal(key) {
				return true
			}
		}
		return false
	}
	for _, k := range e.Keys {
		if mentions(raw, k) {
			return true
		}
	}
	return false
}

// keyOf returns the values of columns in a row; false if one of them is not there, or not a value of its type.
func keyOf(src *feature.Source, raw []byte, columns []string) (key feature.Key, told bool) {
	key = make(feature.Key, len(columns))
	var scan rowjson.Scanner
	scan.Reset(raw)
	for scan.Next() {
		for i, name := range columns {
			at := feature.FieldIndex(src.Columns, name)
			if at < 0 || name != string(scan.Key()) {
				continue
			}
			v, err := scan.Value().Value(src.Columns[at].Type)
			if err != nil {
				return nil, false
			}
			key[i] = v
		}
	}
	return key, scan.Err() == nil && !key.HasNull()
}

// mentions reports whether every part of the key is a word of the text.
func mentions(text []byte, k feature.Key) bool {
	for _, v := range k {
		if !hasWord(text, []byte(v.Text())) {
			return false
		}
	}
	return true
}

func hasWord(text, word []byte) bool {
	for from := 0; len(word) > 0; {
		i := bytes.Index(text[from:], word)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(word)
		before, _ := utf8.DecodeLastRune(text[:start])
		after, _ := utf8.DecodeRune(text[end:])
		if !inWord(before) && !inWord(after) {
			return true
		}
		from = start + 1
	}
	return false
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
