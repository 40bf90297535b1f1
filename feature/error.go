package feature

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Code says what kind of failure an Error is, and so what a caller can do about it. It is the "code" of
// error bodies.
type Code string

// The codes. Each has one HTTP status, assigned in package server.
const (
	CodeInvalid     Code = "invalid"     // the request or the data is wrong: mend it
	CodeNotFound    Code = "not_found"   // a name that does not exist
	CodeConflict    Code = "conflict"    // somebody else changed it meanwhile, or it is in use
	CodeTooLarge    Code = "too_large"   // over a stated limit
	CodeOverloaded  Code = "overloaded"  // try again later: a limit on work in flight is reached
	CodeUnavailable Code = "unavailable" // a store or the log cannot be reached now: try again later
	CodeBelowFloor  Code = "below_floor" // the replica no longer keeps what a read at that instant sees (C4)
	CodeInternal    Code = "internal"    // a bug or a broken store
)

// Detail is one of several things wrong with a request.
type Detail struct {
	Row     *int   `json:"row,omitempty"`    // index of the offending row, from 0
	Field   string `json:"field,omitempty"`  // column, key part or definition field
	File    string `json:"file,omitempty"`   // file of a definition or an import
	Line    int    `json:"line,omitempty"`   // from 1
	Column  int    `json:"column,omitempty"` // from 1
	Message string `json:"message"`
}

// String returns the detail on one line, its place first.
func (d Detail) String() string {
	var b strings.Builder
	if d.File != "" {
		b.WriteString(d.File)
		if d.Line > 0 {
			fmt.Fprintf(&b, ":%d", d.Line)
			if d.Column > 0 {
				fmt.Fprintf(&b, ":%d", d.Column)
			}
		}
		b.WriteString(": ")
	}
	switch {
	case d.File == "" && d.Line > 0:
		fmt.Fprintf(&b, "line %d: ", d.Line)
	case d.Row != nil:
		fmt.Fprintf(&b, "row %d: ", *d.Row)
	}
	if d.Field != "" {
		b.WriteString(printable(d.Field) + ": ")
	}
	b.WriteString(d.Message)
	return b.String()
}

// printable returns s as it is, or quoted when it has what a terminal would obey or not show: names come from files
// and requests.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(s)
	}
	return s
}

// Error is a failure that a caller can act on. It crosses HTTP unchanged: errors.Is on the code's sentinel
// holds on both sides.
type Error struct {
	Code    Code     `json:"code"`
	Message string   `json:"message"`
	Details []Detail `json:"details,omitempty"`
	cause   error
	full    string // Message and what Hide has kept from it; "" when that is nothing
}

// Sentinels for errors.Is, one a code.
var (
	ErrInvalid     = &Error{Code: CodeInvalid}
	ErrNotFound    = &Error{Code: CodeNotFound}
	ErrConflict    = &Error{Code: CodeConflict}
	ErrTooLarge    = &Error{Code: CodeTooLarge}
	ErrOverloaded  = &Error{Code: CodeOverloaded}
	ErrUnavailable = &Error{Code: CodeUnavailable}
	ErrBelowFloor  = &Error{Code: CodeBelowFloor}
)

// Error returns the message, with what Hide has kept from callers, and every detail, a line each. It is for logs and for
// the terminal of whoever runs the process; Public is for everybody.
func (e *Error) Error() string {
	text := cmp.Or(e.full, e.Message)
	if len(e.Details) == 0 {
		return text
	}
	var b strings.Builder
	b.WriteString(text)
	for _, d := range e.Details {
		b.WriteString("\n  " + d.String())
	}
	return b.String()
}

// Is reports whether target is an Error of the same code without a message, that is, a sentinel.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Code == e.Code
}

// Unwrap returns the cause, if any.
func (e *Error) Unwrap() error { return e.cause }

// Errorf makes an Error; a %w among the verbs becomes its cause. Its Message has the public text of errors among args.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
	public, differs := slices.Clone(args), false
	for i, a := range args {
		if arg, ok := a.(error); ok {
			if text := Public(arg); text != arg.Error() {
				public[i], differs = errors.New(text), true
			}
		}
	}
	if differs {
		e.full, e.Message = e.Message, fmt.Errorf(format, public...).Error()
	}
	return e
}

// Hide returns err with a text for those who must not see its own, because it names addresses, say. Its Error has both.
func Hide(err error, public string) error { return &hidden{err, public} }

type hidden struct {
	err    error
	public string
}

func (h *hidden) Error() string { return h.public + ": " + h.err.Error() }

func (h *hidden) Unwrap() error { return h.err }

// Public returns the text of err without what Hide has kept from callers.
func Public(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*Error](err); ok && e.full != "" {
		return strings.Replace(text, e.full, e.Message, 1)
	}
	if h, ok := errors.AsType[*hidden](err); ok {
		return strings.Replace(text, h.Error(), h.public, 1)
	}
	return text
}

// CodeOf returns the code of the first Error in err's tree, else CodeInternal; for nil it returns "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}
