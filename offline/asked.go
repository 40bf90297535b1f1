package offline

import (
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/lockstepfs/lockstep/feature"
)

// askedTable is the name under which a query sees the events that a read brings.
const askedTable = "_asked"

// newAskedEvents makes a table of the events that a read brings, with the columns through which they would go into the
// event table of src.
func newAskedEvents(src *feature.Source, b *feature.Batch) (*ext.Table, error) {
	columns := []stored{{"_idx", "UInt32", make([]uint32, b.Rows)}}
	for i, idx := 0, columns[0].data.([]uint32); i < b.Rows; i++ {
		idx[i] = uint32(i)
	}
	for _, f := range src.Columns {
		c := b.Column(f.Name)
		if c == nil { // the source has gained it meanwhile
			none := newColumnFor(f.Type, b.Rows)
			for range b.Rows {
				none.Append(feature.Value{})
			}
			c = &none
		}
		columns = append(columns, eventColumns(f, c, f.Name == src.EventTime)...)
	}
	t, err := ext.NewTable(askedTable)
	for i := 0; i < len(columns) && err == nil; i++ {
		if err = ext.Column(columns[i].name, column.Type(columns[i].typ))(t); err == nil {
			_, err = t.Block().Columns[i].Append(columns[i].data)
		}
	}
	return t, failure("make a table of the request's events", err)
}

// ask makes the events of askedTable visible too, as if they were the newest in the log (rule D4).
func (e *events) ask(src *feature.Source) {
	e.Sequence++ // theirs: at the cut nothing has it
	var stored, asked []string
	for _, c := range newTable(src).Columns {
		if c.Default == "EPHEMERAL" || c.Plain == availableAt {
			continue
		}
		stored = append(stored, c.Name)
		if c.Default == "" {
			asked = append(asked, c.Name)
		} else {
			asked = append(asked, strings.TrimPrefix(c.Default, "DEFAULT ")+" AS "+c.Name)
		}
	}
	e.Table = fmt.Sprintf("(SELECT %s, _available_at, _row, _seq, _idx, _gen FROM %s WHERE _seq < {seq:UInt64} UNION ALL "+
		"SELECT %s, %s AS _available_at, toUInt64(0) AS _row, {seq:UInt64} AS _seq, _idx, toUInt64(0) AS _gen FROM %s)",
		strings.Join(stored, ", "), e.Table, strings.Join(asked, ", "), e.EventTime, askedTable)
}
