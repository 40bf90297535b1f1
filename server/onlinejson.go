package server

import (
	"strconv"
	"sync"

	"github.com/lockstepfs/lockstep/feature"
)

// buffers holds byte slices for answers, so that the hot path does not grow one each time.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// maxPooled is the largest buffer that goes back to buffers: one huge answer must not stay in memory.
const maxPooled = 1 << 20

// appendAnswer writes an answer up to its "meta", by hand: reflection costs more than all the rest of a read.
// counts gets the number of values by status.
func appendAnswer(b []byte, p *compiled, l *feature.Lookup, a *feature.Answer, counts *[4]int) []byte {
	b = append(b, `{"keys":{`...)
	for i, f := range l.Plan.Keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = feature.StringValue(f.Name).AppendJSON(b)
		b = append(b, ':', '[')
		for j, v := range l.Keys[i] {
			if j > 0 {
				b = append(b, ',')
			}
			b = v.AppendJSON(b)
		}
		b = append(b, ']')
	}
	b = append(b, '}', ',')
	b = append(b, p.names...)

	width := len(p.plan.Slots)
	b = append(b, `,"values":`...)
	b = appendRows(b, a.Cells, width, appendValue)
	b = append(b, `,"statuses":`...)
	b = appendRows(b, a.Cells, width, func(b []byte, c *feature.Cell) []byte {
		counts[c.Status&3]++
		return append(b, quotedStatus[c.Status&3]...)
	})
	b = append(b, `,"event_times":`...)
	var last feature.Time // features of one view share their event: copy what was written a moment ago
	from, to := 0, 0
	return appendRows(b, a.Cells, width, func(b []byte, c *feature.Cell) []byte {
		if !c.HasTime {
			return append(b, "null"...)
		}
		if to > from && c.EventTime == last {
			return append(b, b[from:to]...)
		}
		last, from = c.EventTime, len(b)
		b = append(b, '"')
		b = appendTime(b, c.EventTime)
		b = append(b, '"')
		to = len(b)
		return b
	})
}

var quotedStatus = [4]string{
	strconv.Quote(feature.Missing.String()), strconv.Quote(feature.Expired.String()),
	strconv.Quote(feature.Null.String()), strconv.Quote(feature.Present.String()),
}

// appendRows writes an array of arrays of width cells.
func appendRows(b []byte, cells []feature.Cell, width int, one func([]byte, *feature.Cell) []byte) []byte {
	b = append(b, '[')
	for from := 0; from < len(cells); from += width {
		if from > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		row := cells[from : from+width]
		for i := range row {
			if i > 0 {
				b = append(b, ',')
			}
			b = one(b, &row[i])
		}
		b = append(b, ']')
	}
	return append(b, ']')
}

func appendValue(b []byte, c *feature.Cell) []byte {
	if c.Value.Type() == feature.Timestamp {
		b = appendTime(append(b, '"'), c.Value.Time())
		return append(b, '"')
	}
	return c.Value.AppendJSON(b)
}

func appendMeta(b []byte, p *compiled, a *feature.Answer, lagMS int64) []byte {
	b = append(b, `,"meta":{"service":`...)
	b = append(b, p.service...)
	b = append(b, `,"path":"`...)
	b = append(b, a.Path...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, a.Cut.Seq, 10)
	b = append(b, `,"lag_ms":`...)
	b = strconv.AppendInt(b, lagMS, 10)
	b = append(b, `,"stale":[`...)
	for i, s := range a.Stale {
		if i > 0 {
			b = append(b, ',')
		}
		b = feature.StringValue(s).AppendJSON(b)
	}
	return append(b, "]}}\n"...)
}

// appendTime writes t as feature.Value.AppendJSON does, without the quotes, in a fraction of the time.
func appendTime(b []byte, t feature.Time) []byte {
	day, rest := int64(t)/int64(feature.Day), int64(t)%int64(feature.Day)
	if rest < 0 {
		day, rest = day-1, rest+int64(feature.Day)
	}
	year, month, mday := civil(day)
	if year < 0 || year > 9999 {
		return t.Std().AppendFormat(b, "2006-01-02T15:04:05.999999Z07:00") // not a valid instant (T1)
	}
	second, micro := rest/1_000_000, rest%1_000_000
	b = append2(b, year/100)
	b = append2(b, year%100)
	b = append2(append(b, '-'), month)
	b = append2(append(b, '-'), mday)
	b = append2(append(b, 'T'), second/3600)
	b = append2(append(b, ':'), second/60%60)
	b = append2(append(b, ':'), second%60)
	if micro > 0 {
		b = append(b, '.')
		b = append2(b, micro/10_000)
		b = append2(b, micro/100%100)
		b = append2(b, micro%100)
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, 'Z')
}

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
