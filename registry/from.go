package registry

import (
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/schedule"
)

// from decodes where the events of a source come from.
func (d *decoder) from(p **feature.From) func(*node) {
	return func(n *node) {
		f := &feature.From{}
		d.members(n, "a from", []member{
			{name: "table", set: d.reference(&f.Table, "a table, DATABASE.TABLE")},
			{name: "sql", set: d.reference(&f.SQL, "a SELECT")},
			{name: "cursor", set: d.reference(&f.Cursor, "a column of the table")},
			{name: "overlap", set: d.span(&f.Overlap, 0)},
			{name: "schedule", set: d.text(&f.Schedule)},
		})
		if n.shape == shapeMap {
			*p = f
		}
	}
}

// from checks what can be said without looking at the table.
func (c *checker) from(s *Source) {
	f := s.From
	if f == nil {
		return
	}
	database, table, _ := strings.Cut(f.Table, ".")
	switch {
	case f.Table != "" && f.SQL != "", f.Table == "" && f.SQL == "" && !s.broken:
		c.problems.add(s.value("from"), "expected either table or sql")
	case f.Table != "" && (database == "" || table == ""):
		c.problems.add(s.value("from.table"), "expected DATABASE.TABLE, got %q", f.Table)
	}
	if len(s.ID) == 0 && !s.broken {
		c.problems.add(s.value("from"), "a source with from needs an id, by which rows that were copied before are known: expected id: [COLUMN] with %s", oneOf(fieldNames(s.Columns)))
	}
	if f.Overlap > 0 && f.Cursor == "" {
		c.problems.add(s.value("from.overlap"), "an overlap is how far behind the cursor rows may turn up: name the cursor, or leave it out")
	}
	if f.Schedule != "" || s.nodes["from.schedule"] != nil {
		if _, err := schedule.Parse(f.Schedule); err != nil {
			c.problems.add(s.value("from.schedule"), "%v", err)
		}
	}
}

// Spot returns where the definition says what path names, such as from.table, as the place of a problem there.
func (s *Source) Spot(path string) feature.Detail {
	at := s.value(path)
	return feature.Detail{File: at.file, Line: at.line, Column: at.column, Field: at.path}
}
