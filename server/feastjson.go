package server

import (
	"bytes"
	"strconv"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

// appendFeast writes the results of an answer to a Feast client, column by column: first the keys, then the
// width features of every row. counts gets the number of values by status.
func appendFeast(b []byte, keys [][]feature.Value, cells []feature.Cell, width int, counts *[4]int) []byte {
	b = append(b, `{"results":[`...)
	for _, column := range keys {
		b = append(b, `{"values":[`...)
		for _, v := range column {
			b = append(appendFeastValue(b, v), ',')
		}
		b = append(endColumn(b), `,"statuses":[`...)
		for range column {
			b = append(b, feastStatus[feature.Present]...)
		}
		b = append(endColumn(b), `,"event_timestamps":[`...)
		for range column {
			b = append(b, noFeastTime...)
		}
		b = append(endColumn(b), '}', ',')
	}
	var times timeEncoder
	for slot := range width {
		b = append(b, `{"values":[`...)
		for i := slot; i < len(cells); i += width {
			b = append(appendFeastValue(b, cells[i].Value), ',')
		}
		b = append(endColumn(b), `,"statuses":[`...)
		for i := slot; i < len(cells); i += width {
			status := cells[i].Status & 3
			counts[status]++
			b = append(b, feastStatus[status]...)
		}
		b = append(endColumn(b), `,"event_timestamps":[`...)
		for i := slot; i < len(cells); i += width {
			if cells[i].HasTime {
				b = append(times.append(b, cells[i].EventTime), ',')
			} else {
				b = append(b, noFeastTime...)
			}
		}
		b = append(endColumn(b), '}', ',')
	}
	return endColumn(b)
}

// endColumn ends an array whose elements each have a comma behind them.
func endColumn(b []byte) []byte {
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, ']')
}

// feastStatus are Feast's names of our statuses, each with a comma.
var feastStatus = [4]string{feature.Missing: `"NOT_FOUND",`, feature.Expired: `"OUTSIDE_MAX_AGE",`, feature.Null: `"NULL_VALUE",`, feature.Present: `"PRESENT",`}

// noFeastTime stands where there is no time: Feast's clients do not take null there.
const noFeastTime = `"1970-01-01T00:00:00Z",`

// appendFeastValue writes a value so that Feast's clients, who go by the JSON alone, find its type: a float64
// always has a point or an exponent, a timestamp is whole seconds since 1970.
func appendFeastValue(b []byte, v feature.Value) []byte {
	switch {
	case v.IsNull():
		return append(b, "null"...)
	case v.Type().List:
		b = append(b, '[')
		for _, e := range v.List() {
			b = append(appendFeastValue(b, e), ',')
		}
		return endColumn(b)
	case v.Type() == feature.Timestamp:
		return strconv.AppendInt(b, floorSeconds(v.Time()), 10)
	case v.Type() == feature.Float64:
		start := len(b)
		if b = appendFloat(b, v); !bytes.ContainsAny(b[start:], ".e") {
			b = append(b, ".0"...)
		}
		return b
	default:
		return v.AppendJSON(b)
	}
}

func floorSeconds(t feature.Time) int64 {
	const second = int64(feature.Second)
	n := int64(t) / second
	if int64(t)%second < 0 {
		n--
	}
	return n
}

// feastValue returns a token as a value of a type. Feast's clients send timestamps in features as whole seconds.
func feastValue(t *rowjson.Token, typ feature.Type) (feature.Value, error) {
	if typ.Kind != feature.KindTimestamp {
		return t.Value(typ)
	}
	if typ.List && t.Kind == rowjson.Array {
		for i := range t.Elems {
			if err := secondsToTime(&t.Elems[i]); err != nil {
				return feature.Value{}, err
			}
		}
	} else if err := secondsToTime(t); err != nil {
		return feature.Value{}, err
	}
	return t.Value(typ)
}

// secondsToTime makes a time of a number of seconds, as text.
func secondsToTime(t *rowjson.Token) error {
	if t.Kind != rowjson.Number {
		return nil
	}
	v, err := t.Value(feature.Int64)
	if err != nil {
		return err
	}
	const second = int64(feature.Second)
	n := v.Int64()
	if n < int64(feature.MinTime)/second || n > int64(feature.MaxTime)/second {
		return feature.Errorf(feature.CodeInvalid, "%d seconds since 1970 are outside the years 1900 to 2299", n)
	}
	t.Kind, t.Text = rowjson.String, []byte(feature.Time(n*second).String())
	return nil
}
