package server

import "github.com/lockstepfs/lockstep/feature"

// timeEncoder writes instants as feature.Value.AppendJSON does, in quotes. It remembers the instant it wrote
// last, since the features of one view share their event, and its date, since events are close together.
type timeEncoder struct {
	last feature.Time
	text [32]byte // the last instant, with its quotes
	size int      // bytes of text; 0 before the first instant
	day  int64    // of the last instant, counted from 1970-01-01
}

func (e *timeEncoder) append(b []byte, t feature.Time) []byte {
	if e.size == 0 || t != e.last {
		if !t.Valid() { // then its year may not have four digits
			return feature.TimestampValue(t).AppendJSON(b)
		}
		e.set(t)
	}
	return append(b, e.text[:e.size]...)
}

// The places of text.
const (
	datePlace  = 1
	clockPlace = datePlace + len("2001-06-25T")
	microPlace = clockPlace + len("12:00:00")
)

// set writes a valid instant into text.
func (e *timeEncoder) set(t feature.Time) {
	day, rest := int64(t)/int64(feature.Day), int64(t)%int64(feature.Day)
	if rest < 0 {
		day, rest = day-1, rest+int64(feature.Day)
	}
	if e.size == 0 || day != e.day {
		year, month, mday := civil(day)
		copy(e.text[:], `"2001-06-25T12:00:00.`)
		put2(e.text[datePlace:], year/100)
		put2(e.text[datePlace+2:], year%100)
		put2(e.text[datePlace+5:], month)
		put2(e.text[datePlace+8:], mday)
	}
	e.last, e.day = t, day
	second, micro := rest/1_000_000, rest%1_000_000
	put2(e.text[clockPlace:], second/3600)
	put2(e.text[clockPlace+3:], second/60%60)
	put2(e.text[clockPlace+6:], second%60)
	end := microPlace
	if micro > 0 {
		e.text[microPlace] = '.'
		put2(e.text[microPlace+1:], micro/10_000)
		put2(e.text[microPlace+3:], micro/100%100)
		put2(e.text[microPlace+5:], micro%100)
		end = microPlace + 7
		for e.text[end-1] == '0' {
			end--
		}
	}
	e.text[end], e.text[end+1] = 'Z', '"'
	e.size = end + 2
}

func put2(b []byte, n int64) { b[0], b[1] = byte('0'+n/10), byte('0'+n%10) }

func append2(b []byte, n int64) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// civil returns the date of a day counted from 1970-01-01. The year runs from March, so that the leap day is
// its last, and 400 years of them (146,097 days) repeat.
func civil(day int64) (year, month, mday int64) {
	day += 719_468 // days from 0000-03-01
	era := day / 146_097
	if day < 0 {
		era = (day - 146_096) / 146_097
	}
	d := day - era*146_097
	y := (d - d/1460 + d/36_524 - d/146_096) / 365
	d -= 365*y + y/4 - y/100
	m := (5*d + 2) / 153 // months of 31, 30, 31, 30, 31 days
	month = m + 3
	year = y + era*400
	if m >= 10 {
		month, year = m-9, year+1
	}
	return year, month, d - (153*m+2)/5 + 1
}
