package feature

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Time is an instant: whole microseconds since 1970-01-01 UTC (rule T1). Two valid instants may lie
// further apart than a time.Duration can hold, which is why instants are not time.Time inside Lockstep.
type Time int64

// Span is a length of time in microseconds.
type Span int64

// Spans of common units.
const (
	Microsecond Span = 1
	Millisecond      = 1000 * Microsecond
	Second           = 1000 * Millisecond
	Minute           = 60 * Second
	Hour             = 60 * Minute
	Day              = 24 * Hour
	Week             = 7 * Day
)

// The first and the last instant of rule T1: 1900-01-01 and the last microsecond of 2299.
const (
	MinTime Time = -2208988800000000
	MaxTime Time = 10413791999999999
)

// Valid reports whether t lies in the years 1900 to 2299.
func (t Time) Valid() bool { return t >= MinTime && t <= MaxTime }

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// String returns t in RFC 3339 with as many fractional digits as it needs.
func (t Time) String() string { return t.Std().Format(time.RFC3339Nano) }

// Add returns t + s. The sum may leave the valid range; comparing it stays right.
func (t Time) Add(s Span) Time { return t + Time(s) }

// Sub returns t - u.
func (t Time) Sub(u Time) Span { return Span(t - u) }

// TimeOf floors x to a microsecond (toward the past) and fails outside the years 1900 to 2299.
func TimeOf(x time.Time) (Time, error) {
	// time.Time keeps seconds and a nanosecond part counted upwards, so this floors before 1970 too.
	if sec := x.Unix(); sec < int64(MinTime/1e6) || sec > int64(MaxTime/1e6) {
		return 0, errRange(x.UTC().Format(time.RFC3339Nano))
	}
	return Time(x.Unix()*1e6 + int64(x.Nanosecond()/1000)), nil
}

func errRange(s string) error {
	return fmt.Errorf("time %s is outside the years 1900 to 2299", s)
}

// timeLayouts are the forms accepted; without a zone they are UTC (rule T1).
var timeLayouts = [...]string{
	"2006-01-02T15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04Z07:00",
	"2006-01-02 15:04Z07:00",
	"2006-01-02T15:04",
	"2006-01-02 15:04",
	"2006-01-02",
}

// ParseTime reads an instant: RFC 3339, the same with a blank for the T, without seconds, without a zone
// (then it is UTC), or a date alone. Finer digits than microseconds are floored.
func ParseTime(s string) (Time, error) {
	if t, ok := parseUTC(s); ok {
		if !t.Valid() {
			return 0, errRange(t.String())
		}
		return t, nil
	}
	for _, layout := range timeLayouts {
		if x, err := time.Parse(layout, s); err == nil {
			return TimeOf(x)
		}
	}
	return 0, fmt.Errorf("cannot read %q as a time: expected RFC 3339, such as 2001-06-25T12:00:00Z", abbreviate(s))
}

// parseUTC reads the usual form of an instant, with seconds and in UTC, several times faster than time.Parse
// over the layouts. It leaves every other form to those.
func parseUTC(s string) (Time, bool) {
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	year, month, day := digits(s[0:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}
	micros, rest := 0, strings.TrimSuffix(s[19:], "Z")
	if rest != "" {
		if rest[0] != '.' || len(rest) < 2 || len(rest) > 10 || digits(rest[1:]) < 0 {
			return 0, false
		}
		micros = digits((rest[1:] + "00000")[:6])
	}
	seconds := int64(daysSince1970(year, month, day))*86400 + int64(hour*3600+minute*60+second)
	return Time(seconds*1e6 + int64(micros)), true
}

// digits returns the number that s writes in decimal digits, -1 if there is anything else in it.
func digits(s string) int {
	n := 0
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return -1
		}
		n = n*10 + int(c)
	}
	return n
}

func daysIn(year, month int) int {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4 || month == 6 || month == 9 || month == 11:
		return 30
	default:
		return 31
	}
}

// daysSince1970 counts days in the Gregorian calendar, with years that begin in March so that the day that
// some years have more is their last. The year is at least 0.
func daysSince1970(year, month, day int) int {
	y, m := year+400, month-3 // 400 years on, which is 146097 days, so that nothing is negative
	if m < 0 {
		y, m = y-1, m+12
	}
	return y*365 + y/4 - y/100 + y/400 + (153*m+2)/5 + day - 1 - 719468 - 146097
}

var spanUnits = [...]struct {
	name string
	span Span
}{{"us", Microsecond}, {"\u00b5s", Microsecond}, {"\u03bcs", Microsecond}, {"ms", Millisecond}, {"s", Second}, {"m", Minute}, {"h", Hour}, {"d", Day}, {"w", Week}}

// String returns s in the form that ParseSpan reads, largest units first, such as "6d23h59m59.999999s".
func (s Span) String() string {
	if s == 0 {
		return "0s"
	}
	var b strings.Builder
	u := uint64(s)
	if s < 0 {
		b.WriteByte('-')
		u = -u
	}
	for _, unit := range [...]struct {
		name string
		span Span
	}{{"d", Day}, {"h", Hour}, {"m", Minute}} {
		if n := u / uint64(unit.span); n > 0 {
			b.WriteString(strconv.FormatUint(n, 10))
			b.WriteString(unit.name)
			u %= uint64(unit.span)
		}
	}
	switch {
	case u == 0:
	case u < 1000:
		b.WriteString(strconv.FormatUint(u, 10) + "us")
	case u < 1e6 && u%1000 == 0:
		b.WriteString(strconv.FormatUint(u/1000, 10) + "ms")
	default:
		b.WriteString(strconv.FormatUint(u/1e6, 10))
		if frac := u % 1e6; frac > 0 {
			b.WriteString("." + strings.TrimRight(fmt.Sprintf("%06d", frac), "0"))
		}
		b.WriteByte('s')
	}
	return b.String()
}

// maxSpan is longer than the whole of valid time, so that sums of an instant and a few spans never overflow.
const maxSpan = 1000 * 366 * Day

// ParseSpan reads a span such as 7d, 3h30m, 1us or 6d23h59m59.999999s: numbers with the units us, ms, s, m,
// h, d and w, each at most once or repeated, summed. It fails on negative spans, on anything finer than a
// microsecond and on spans over a thousand years.
func ParseSpan(s string) (Span, error) {
	bad := func(why string) (Span, error) {
		return 0, fmt.Errorf("cannot read %q as a span: %s; expected something like 7d, 3h30m or 1us", abbreviate(s), why)
	}
	if s == "0" {
		return 0, nil
	}
	rest, total := s, Span(0)
	for first := true; first || rest != ""; first = false {
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end <= 0 {
			return bad("a number and a unit are needed")
		}
		number := rest[:end]
		rest = rest[end:]
		stop := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' })
		if stop < 0 {
			stop = len(rest)
		}
		unitName := rest[:stop]
		unit, ok := spanUnit(unitName)
		if !ok {
			return bad(fmt.Sprintf("unknown unit %q", unitName))
		}
		rest = rest[stop:]
		part, ok := scaleSpan(number, unit)
		if !ok {
			return bad(fmt.Sprintf("%s%s is no number, too long or finer than a microsecond", number, unitName))
		}
		if total += part; total > maxSpan {
			return bad("it is longer than a thousand years")
		}
	}
	return total, nil
}

func spanUnit(name string) (Span, bool) {
	for _, u := range spanUnits {
		if u.name == name {
			return u.span, true
		}
	}
	return 0, false
}

// scaleSpan returns number times unit if that is a whole number of microseconds.
func scaleSpan(number string, unit Span) (Span, bool) {
	whole, frac, dotted := strings.Cut(number, ".")
	if dotted && frac == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > int64(maxSpan/unit) {
		return 0, false
	}
	total := Span(n) * unit
	frac = strings.TrimRight(frac, "0")
	if len(frac) > 12 {
		return 0, false
	}
	scale := uint64(1)
	for range frac {
		scale *= 10
	}
	f := digits(frac)
	if f < 0 {
		return 0, false
	}
	// f < scale, so the quotient is less than the unit.
	high, low := bits.Mul64(uint64(f), uint64(unit))
	part, lost := bits.Div64(high, low, scale)
	return total + Span(part), lost == 0
}

// MarshalText writes the span as String does.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Span) UnmarshalText(b []byte) error {
	parsed, err := ParseSpan(string(b))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
