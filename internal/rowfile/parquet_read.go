package rowfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"

	"github.com/lockstepfs/lockstep/feature"
)

// parquetTable reads row groups one after the other, in each all columns page by page: what is in memory is a
// page and a dictionary of each column.
type parquetTable struct {
	file    *parquet.File
	out     []feature.Field
	columns []*parquetColumn
	group   int   // the next row group
	left    int64 // rows not yet read of the one before it
	row     int64 // rows read so far
}

// checkFrame looks at what every Parquet file begins and ends with: PAR1, and the length of the footer before the
// second.
func checkFrame(in *os.File, size int64) error {
	const magic, frame = "PAR1", 12
	if size < frame {
		return refuse("", "not a whole Parquet file: it has %d bytes, fewer than any", size)
	}
	var head [4]byte
	var tail [8]byte
	_, err := in.ReadAt(head[:], 0)
	if err == nil {
		_, err = in.ReadAt(tail[:], size-int64(len(tail)))
	}
	footer := int64(binary.LittleEndian.Uint32(tail[:4]))
	switch {
	case err != nil:
		return err
	case string(head[:]) != magic:
		return refuse("", "not a Parquet file: it begins with %q, expected %q", head[:], magic)
	case string(tail[4:]) != magic:
		return refuse("", "not a whole Parquet file: it ends with %q, expected %q", tail[4:], magic)
	case footer > size-frame:
		return refuse("", "not a whole Parquet file: its footer of %d bytes is longer than the file", footer)
	default:
		return nil
	}
}

func openParquet(in *os.File, size int64, types map[string]feature.Type) (*parquetTable, error) {
	if err := checkFrame(in, size); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(in, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(256<<10))
	if err != nil {
		return nil, refuse("", "not a whole Parquet file: its footer is broken")
	}
	p := &parquetTable{file: file}
	seen := map[string]bool{}
	for _, node := range file.Root().Columns() {
		name := node.Name()
		if seen[name] {
			return nil, refuse(name, "there are two columns of this name")
		}
		seen[name] = true
		c, err := newParquetColumn(node)
		if err != nil {
			return nil, err
		}
		want, ok := types[name]
		if !ok && c.decimal {
			return nil, refuse(name, "type %s is not supported: decimals have no exact counterpart; cast the column, or say whether it is float64, int64 or string", node.Type())
		}
		if !ok {
			want = c.typ
		}
		p.columns = append(p.columns, c)
		p.out = append(p.out, feature.Field{Name: name, Type: want})
	}
	return p, nil
}

func (p *parquetTable) fields() []feature.Field { return p.out }

func (p *parquetTable) next() (*feature.Batch, error) {
	for p.left == 0 {
		groups := p.file.RowGroups()
		if p.group == len(groups) {
			return nil, io.EOF
		}
		if err := p.close(); err != nil {
			return nil, err
		}
		chunks := groups[p.group].ColumnChunks()
		for _, c := range p.columns {
			c.start(chunks[c.index])
		}
		p.left = groups[p.group].NumRows()
		p.group++
	}
	b := &feature.Batch{Fields: p.out, Columns: make([]feature.Column, len(p.columns)), Rows: int(min(p.left, ChunkRows))}
	for i, c := range p.columns {
		native, err := c.read(b.Rows)
		if _, ok := errors.AsType[*placeError](err); ok {
			return nil, refuseRow(p.row+int64(native.Len()), p.out[i].Name, err)
		}
		if err != nil {
			return nil, refuse(p.out[i].Name, "row group %d is broken: %s", p.group-1, said(err))
		}
		settled, at, err := settle(&native, p.out[i].Type)
		if err != nil {
			return nil, refuseRow(p.row+int64(at), p.out[i].Name, err)
		}
		b.Columns[i] = settled
	}
	p.left -= int64(b.Rows)
	p.row += int64(b.Rows)
	return b, nil
}

func (p *parquetTable) close() error {
	var err error
	for _, c := range p.columns {
		err = errors.Join(err, c.stop())
	}
	return err
}

// parquetColumn reads the column chunks of one column.
type parquetColumn struct {
	leaf
	typ   feature.Type
	index int  // among the leaves of the file
	max   byte // definition level of a value that is there
	outer byte // of a list: definition level from which the list itself is there

	pages parquet.Pages
	def   []byte // levels of the page
	rep   []byte
	n     int // places of the page: values, NULLs and, of lists, empty lists
	at    int // of them, read
	page  dense
	next  int // of page, read

	dictionary parquet.Dictionary
	table      dense // the values of dictionary
}

// newParquetColumn finds out how to read the top-level column node.
func newParquetColumn(node *parquet.Column) (*parquetColumn, error) {
	c := &parquetColumn{max: byte(node.MaxDefinitionLevel())}
	at, list := node, node.Repeated()
	switch {
	case node.Leaf():
		if list {
			c.outer = c.max - 1
		}
	case isList(node) && !list && len(node.Columns()) == 1 && node.Columns()[0].Repeated():
		c.outer = byte(node.MaxDefinitionLevel())
		at, list = node.Columns()[0], true
		if !at.Leaf() && len(at.Columns()) == 1 {
			at = at.Columns()[0]
		}
		c.max = byte(at.MaxDefinitionLevel())
	}
	if !at.Leaf() || at.MaxRepetitionLevel() > 1 {
		return nil, refuse(node.Name(), "columns of structs, maps and nested lists are not supported: expected scalars or lists of scalars")
	}
	l, err := leafOf(at.Type())
	if err != nil {
		return nil, refuse(node.Name(), "type %s is not supported: %v", at.Type(), err)
	}
	c.leaf, c.index = l, at.Index()
	c.typ = feature.Type{Kind: l.kind, List: list}
	return c, nil
}

func isList(node *parquet.Column) bool {
	t := node.Type()
	return t != nil && t.String() == parquet.List(parquet.Leaf(parquet.Int32Type)).Type().String()
}

func (c *parquetColumn) start(chunk parquet.ColumnChunk) {
	c.pages = chunk.Pages()
	c.n, c.at, c.dictionary = 0, 0, nil
}

func (c *parquetColumn) stop() error {
	if c.pages == nil {
		return nil
	}
	err := c.pages.Close()
	c.pages = nil
	return err
}

// load reads the next page that has places; io.EOF after the last one.
func (c *parquetColumn) load() error {
	for {
		page, err := c.pages.ReadPage()
		if err != nil {
			return err
		}
		err = c.unpack(page)
		parquet.Release(page)
		if err != nil || c.n > 0 {
			return err
		}
	}
}

// unpack copies what the page holds, so that the page can be released.
func (c *parquetColumn) unpack(page parquet.Page) error {
	c.n, c.at, c.next = int(page.NumValues()), 0, 0
	c.def = append(c.def[:0], page.DefinitionLevels()...)
	c.rep = append(c.rep[:0], page.RepetitionLevels()...)
	if c.max > 0 && len(c.def) != c.n || c.typ.List && len(c.rep) != c.n {
		return fmt.Errorf("a page has %d values but %d and %d levels", c.n, len(c.def), len(c.rep))
	}
	present := c.n
	for _, d := range c.def {
		if d != c.max {
			present--
		}
	}
	values := page.Data()
	dictionary := page.Dictionary()
	if dictionary == nil {
		return c.decode(values, present, &c.page)
	}
	if dictionary != c.dictionary {
		if err := c.decode(dictionary.Page().Data(), dictionary.Len(), &c.table); err != nil {
			return err
		}
		c.dictionary = dictionary
	}
	indexes := values.Int32()
	if len(indexes) < present {
		return errShort
	}
	return c.page.lookup(&c.table, indexes[:present])
}

var errShort = errors.New("it has fewer values than rows")

// read returns the next rows as a column of c.typ. The column that is returned with a
// *placeError has only the rows before the bad one.
func (c *parquetColumn) read(rows int) (feature.Column, error) {
	out := feature.Column{Type: c.typ}
	if c.typ.List {
		err := c.readLists(&out, rows)
		return out, err
	}
	makeRoom(&out, rows)
	for rows > 0 {
		if c.at == c.n {
			if err := c.load(); errors.Is(err, io.EOF) {
				return out, errShort
			} else if err != nil {
				return out, err
			}
		}
		k := min(rows, c.n-c.at)
		c.take(&out, k)
		rows -= k
	}
	if c.unsigned {
		for i, x := range out.Ints {
			if x < 0 {
				return out.Slice(0, i), tooGreat(x)
			}
		}
	}
	return out, nil
}

// take moves the next k places of the page to out.
func (c *parquetColumn) take(out *feature.Column, k int) {
	from := out.Len()
	end := c.at + k
	if c.max > 0 {
		for c.at < end {
			i := c.at
			for i < end && c.def[i] == c.max {
				i++
			}
			c.page.move(out, c.next, i-c.at)
			c.next += i - c.at
			for c.at = i; c.at < end && c.def[c.at] != c.max; c.at++ {
				if out.Nulls == nil {
					out.Nulls = make([]bool, from, from+k)
				}
				out.Nulls = append(out.Nulls, make([]bool, out.Len()-len(out.Nulls))...)
				c.page.null(out)
				out.Nulls = append(out.Nulls, true)
			}
		}
	} else {
		c.page.move(out, c.next, k)
		c.next += k
		c.at = end
	}
	if out.Nulls != nil {
		out.Nulls = append(out.Nulls, make([]bool, out.Len()-len(out.Nulls))...)
	}
}

// placeError says what is wrong with the value of one row.
type placeError struct{ message string }

func (e *placeError) Error() string { return e.message }

func nullInside(element int) error {
	return &placeError{fmt.Sprintf("element %d is NULL; a list has no NULL inside", element)}
}

func tooGreat(x int64) error {
	return &placeError{fmt.Sprintf("the number %d does not fit an int64", uint64(x))}
}

func (c *parquetColumn) readLists(out *feature.Column, rows int) error {
	for range rows {
		if more, err := c.more(); err != nil {
			return err
		} else if !more {
			return errShort
		}
		v, err := c.readList()
		if err != nil {
			return err
		}
		out.Append(v)
	}
	return nil
}

// readList reads one row. A row may go on in the next page.
func (c *parquetColumn) readList() (feature.Value, error) {
	first := c.def[c.at]
	if first < c.outer {
		c.at++
		return feature.Value{}, nil
	}
	elems := []feature.Value{}
	if first == c.outer {
		c.at++
		return feature.ListValue(c.typ.Kind, elems), nil
	}
	for {
		if c.def[c.at] != c.max {
			return feature.Value{}, nullInside(len(elems))
		}
		v := c.page.value(c.typ.Kind, c.next)
		if v.IsNull() { // NaN
			return feature.Value{}, nullInside(len(elems))
		}
		if c.unsigned && v.Int64() < 0 {
			return feature.Value{}, tooGreat(v.Int64())
		}
		elems = append(elems, v)
		c.next++
		c.at++
		if more, err := c.more(); err != nil {
			return feature.Value{}, err
		} else if !more || c.rep[c.at] == 0 {
			return feature.ListValue(c.typ.Kind, elems), nil
		}
	}
}

// more makes sure that there is a place to read, in the next page if need be.
func (c *parquetColumn) more() (bool, error) {
	if c.at < c.n {
		return true, nil
	}
	err := c.load()
	if errors.Is(err, io.EOF) {
		c.n, c.at = 0, 0
		return false, nil
	}
	return err == nil, err
}
