package chdb

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// exception is an error of the engine, with the code that ClickHouse gives it.
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

var codePattern = regexp.MustCompile(`^Code: (\d+)\.`)

// newException reads the engine's text; one without a code gets 1002, ClickHouse's "unknown exception".
func newException(text string) *exception {
	if m := codePattern.FindStringSubmatch(text); m != nil {
		if code, err := strconv.Atoi(m[1]); err == nil {
			return &exception{code: code, text: text}
		}
	}
	return &exception{code: 1002, text: "Code: 1002. DB::Exception: " + text}
}

// refusal is an error of the bridge itself in the engine's dress.
func refusal(code int, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: %s", code, fmt.Sprintf(format, args...))}
}

// identifier quotes a name for SQL, literal a string.
func identifier(name string) string { return quote(name, "`") }
func literal(text string) string    { return quote(text, "'") }

func quote(text, mark string) string {
	return mark + strings.NewReplacer(`\`, `\\`, mark, `\`+mark, "\x00", `\0`).Replace(text) + mark
}

var (
	comments     = regexp.MustCompile(`^(?:\s+|--[^\n]*(?:\n|$)|#![^\n]*(?:\n|$)|(?s:/\*.*?\*/))+`)
	insertStart  = regexp.MustCompile(`(?i)^INSERT\s`)
	formatClause = regexp.MustCompile(`(?i)\sFORMAT\s+([A-Za-z]\w*)\s*;?\s*$`)
	valuesClause = regexp.MustCompile(`(?i)\sVALUES\s*;?\s*$`)
	listing      = regexp.MustCompile(`(?i)^(SHOW|DESCRIBE|DESC|EXPLAIN|EXISTS|CHECK)\s`)
)

// isInsert says whether sql begins with INSERT; isListing whether it is a statement that reads but cannot be streamed.
func isInsert(sql string) bool  { return insertStart.MatchString(withoutComments(sql)) }
func isListing(sql string) bool { return listing.MatchString(withoutComments(sql)) }

func withoutComments(sql string) string { return sql[len(comments.FindString(sql)):] }

// splitFormat takes a FORMAT clause off the end of sql; format is def when there is none.
func splitFormat(sql, def string) (rest, format string) {
	if m := formatClause.FindStringSubmatchIndex(sql); m != nil {
		return sql[:m[0]], sql[m[2]:m[3]]
	}
	return sql, def
}

// splitInsert takes what says in which format the rows of an INSERT follow off its end: by ClickHouse's rules Values
// unless it says otherwise.
func splitInsert(sql string) (rest, format string) {
	if m := valuesClause.FindStringIndex(sql); m != nil {
		return sql[:m[0]], "Values"
	}
	return splitFormat(sql, "Values")
}
