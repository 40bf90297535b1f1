package server

import (
	"math"
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
	b = appendValues(append(b, `,"values":`...), a.Cells, width)
	b = appendStatuses(append(b, `,"statuses":`...), a.Cells, width, counts)
	return appendTimes(append(b, `,"event_times":`...), a.Cells, width)
}

// The three functions below each write an array of arrays of width places. Every place gets a comma; the one
// behind a row's last place becomes the row's end.

func appendValues(b []byte, cells []feature.Cell, width int) []byte {
	b = append(b, '[')
	var times timeEncoder
	for from := 0; from < len(cells); from += width {
		b = append(b, '[')
		row := cells[from : from+width]
		for i := range row {
			switch v := row[i].Value; v.Type() {
			case feature.Timestamp:
				b = times.append(b, v.Time())
			case feature.Float64:
				b = appendFloat(b, v)
			default:
				b = v.AppendJSON(b)
			}
			b = append(b, ',')
		}
		b = endRow(b)
	}
	return endRows(b)
}

func appendStatuses(b []byte, cells []feature.Cell, width int, counts *[4]int) []byte {
	b = append(b, '[')
	for from := 0; from < len(cells); from += width {
		b = append(b, '[')
		row := cells[from : from+width]
		for i := range row {
			status := row[i].Status & 3
			counts[status]++
			b = append(b, quotedStatus[status]...)
		}
		b = endRow(b)
	}
	return endRows(b)
}

var quotedStatus = [4]string{
	strconv.Quote(feature.Missing.String()) + ",", strconv.Quote(feature.Expired.String()) + ",",
	strconv.Quote(feature.Null.String()) + ",", strconv.Quote(feature.Present.String()) + ",",
}

func appendTimes(b []byte, cells []feature.Cell, width int) []byte {
	b = append(b, '[')
	var times timeEncoder
	for from := 0; from < len(cells); from += width {
		b = append(b, '[')
		row := cells[from : from+width]
		for i := range row {
			if row[i].HasTime {
				b = times.append(b, row[i].EventTime)
			} else {
				b = append(b, "null"...)
			}
			b = append(b, ',')
		}
		b = endRow(b)
	}
	return endRows(b)
}

func endRow(b []byte) []byte {
	b[len(b)-1] = ']'
	return append(b, ',')
}

func endRows(b []byte) []byte {
	if b[len(b)-1] == '[' {
		return append(b, ']')
	}
	b[len(b)-1] = ']'
	return b
}

// appendFloat writes a float64 as feature.Value.AppendJSON does. Most floats in practice are whole or have a
// few decimals; such a number is f = r / 10^k with r under 10^15, and since two decimals of so few digits are
// never the same float64, r's digits without zeros at the end are the shortest that read back as f.
func appendFloat(b []byte, v feature.Value) []byte {
	const scale = 1e4
	f := v.Float64()
	r := math.Round(f * scale)
	if r/scale != f || math.Abs(r) >= 1e15 || r == 0 {
		return v.AppendJSON(b)
	}
	n := int64(r)
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/scale, 10)
	if n %= scale; n == 0 {
		return b
	}
	b = append2(append2(append(b, '.'), n/100), n%100)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

func appendMeta(b []byte, p *compiled, a *feature.Answer, lagMS int64) []byte {
	b = append(b, `,"meta":{`...)
	b = append(b, p.made...)
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
