package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// Codes of ClickHouse that say: not now.
const (
	timeoutExceeded     = 159
	tooManyQueries      = 202
	socketTimeout       = 209
	networkError        = 210
	memoryLimitExceeded = 241
	tableIsReadOnly     = 242
	allConnectionsTried = 279
	notEnoughSpace      = 243
	queryWasCancelled   = 394
	keeperException     = 999
)

const unknownTable = 60

// failure wraps err with what was being done and gives it the code that tells the caller what to do. nil stays nil.
func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*feature.Error](err); ok {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if errors.Is(err, errSlow) {
		return feature.Errorf(feature.CodeUnavailable, "offline store: %s: %w", doing, feature.Hide(err, errSlow.Error()))
	}
	if errors.Is(err, clickhouse.ErrAcquireConnTimeout) {
		return feature.Errorf(feature.CodeOverloaded, "offline store: %s: all connections to ClickHouse are in use", doing)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("offline store: %s: %w", doing, err)
	}
	if e, ok := errors.AsType[*clickhouse.Exception](err); ok {
		switch e.Code {
		case tooManyQueries, memoryLimitExceeded:
			return feature.Errorf(feature.CodeOverloaded, "offline store: %s: %s", doing, message(e))
		case socketTimeout, networkError, allConnectionsTried, keeperException: // its own network, with addresses
			return feature.Errorf(feature.CodeUnavailable, "offline store: %s: %w", doing, feature.Hide(err, "a part of ClickHouse cannot be reached"))
		case timeoutExceeded, tableIsReadOnly, queryWasCancelled:
			return feature.Errorf(feature.CodeUnavailable, "offline store: %s: %s", doing, message(e))
		}
		if e.Code == notEnoughSpace || strings.Contains(e.Message, "No space left on device") { // it comes with several codes, and names files
			return feature.Errorf(feature.CodeUnavailable, "offline store: %s: %w", doing, feature.Hide(err, "a disk of ClickHouse is full"))
		}
		return fmt.Errorf("offline store: %s: %w", doing, err)
	}
	if unreachable(err) {
		return feature.Errorf(feature.CodeUnavailable, "offline store: %s: %w", doing, feature.Hide(err, "ClickHouse cannot be reached"))
	}
	return fmt.Errorf("offline store: %s: %w", doing, err)
}

func unreachable(err error) bool {
	_, isNet := errors.AsType[net.Error](err)
	_, isErrno := errors.AsType[syscall.Errno](err)
	return isNet || isErrno || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// refused turns an error of ClickHouse about the caller's own SQL into a CodeInvalid; other errors go through failure.
func refused(doing string, err error) error {
	e, ok := errors.AsType[*clickhouse.Exception](err)
	if !ok {
		return failure(doing, err)
	}
	if wrapped := failure(doing, err); feature.CodeOf(wrapped) != feature.CodeInternal {
		return wrapped
	}
	return feature.Errorf(feature.CodeInvalid, "ClickHouse does not take the SQL: %s", message(e))
}

var noise = regexp.MustCompile(`(?s)^(Code: \d+\. )?(DB::Exception: )?(.*?)(: While (processing|executing) .*|: In scope .*|\. Stack trace:.*)?( \([A-Z_]+\))?( \(version .*\))?\s*$`)

// syntax matches a syntax error. Its position is one in the statement around the caller's text, and what was
// expected is a list of all that the grammar has.
var syntax = regexp.MustCompile(`(?s)^.*?Syntax error: failed at position \d+ \((.*?)\)(?: \(line \d+, col \d+\))?: .*$`)

const longestMessage = 400

// message is ClickHouse's text without its code, scope and version.
func message(e *clickhouse.Exception) string {
	m := e.Message
	if found := noise.FindStringSubmatch(m); found != nil {
		m = found[3]
	}
	if found := syntax.FindStringSubmatch(m); found != nil {
		m = "syntax error at " + found[1]
		if found[1] == ")" || found[1] == "end of query" {
			m = "syntax error at the end, or at a bracket that nothing opened"
		}
	}
	m = strings.TrimSpace(m)
	if r := []rune(m); len(r) > longestMessage {
		m = string(r[:longestMessage]) + "..."
	}
	return m
}
