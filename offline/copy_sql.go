package offline

import (
	"fmt"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// What the templates of a copy ask of copying.

const (
	stagePrefix = "tmp_copy_"
	knownPrefix = "tmp_known_"
)

func (c *copying) stageTable() string {
	return fmt.Sprintf("%s%d_%s", stagePrefix, c.state.copied.Generation, c.src.Name)
}

func (c *copying) knownTable() string {
	return fmt.Sprintf("%s%d_%s", knownPrefix, c.state.copied.Generation, c.src.Name)
}

// Stage is the table of the rows past the cursor, Known that of events that share ids with them.
func (c *copying) Stage() string { return quote(c.stageTable()) }

// Known is the table of events with ids of the stage.
func (c *copying) Known() string { return quote(c.knownTable()) }

// Events is the event table.
func (c *copying) Events() string { return quote(eventTable(c.src.Name)) }

// From is the origin, Where leaves out what is before the cursor.
func (c *copying) From() string { return c.rows }

func (c *copying) Where() string {
	if c.least == nil {
		return ""
	}
	return c.where()
}

// CursorColumn is the cursor as it is, Cursor as an Int64.
func (c *copying) CursorColumn() string { return c.cursor.name }

func (c *copying) Cursor() string {
	if c.cursor.name == "" {
		return "CAST(NULL, 'Nullable(Int64)')"
	}
	return c.cursor.value
}

// copyColumn is a column of the stage.
type copyColumn struct {
	Theirs, In, Value, Name, Type, Label, JSON string
}

// Columns are the source's columns in the stage.
func (c *copying) Columns() []copyColumn {
	out := make([]copyColumn, len(c.columns))
	for i, t := range c.columns {
		label := fmt.Sprintf("\"%s\":", t.field.Name) // letters, digits and underscores
		out[i] = copyColumn{
			Theirs: quote(t.field.Name), In: columnIn(i), Value: t.value, Name: copiedColumn(i),
			Type: columnType(t.field.Type, true, false), Label: "'" + label + "'", JSON: t.json,
		}
	}
	return out
}

func (c *copying) column(name string) copyColumn {
	return c.Columns()[feature.FieldIndex(c.src.Columns, name)]
}

// EventTime is the staged event time.
func (c *copying) EventTime() string { return c.column(c.src.EventTime).Name }

// numberedFault is a condition with its number, from 1.
type numberedFault struct {
	When, Field, Reason string
	Number              int
}

// Faults are all reasons for which the gate would refuse a row.
func (c *copying) Faults() []numberedFault {
	var out []numberedFault
	add := func(field, when, reason string) {
		out = append(out, numberedFault{when, field, reason, len(out) + 1})
	}
	for _, t := range c.columns {
		for _, w := range t.wrong {
			add(t.field.Name, w.when, w.reason)
		}
	}
	at, latest := c.EventTime(), c.req.Arrival.Add(c.src.MaxFuture)
	add(c.src.EventTime, "isNull("+at+")", "the event time is required: expected a timestamp")
	add(c.src.EventTime, fmt.Sprintf("ifNull(%s > %d, false)", at, int64(latest)),
		fmt.Sprintf("the event time is more than %s after the copy at %s", c.src.MaxFuture, c.req.Arrival))
	for _, id := range c.src.ID {
		add(id, "isNull("+c.column(id).Name+")", "it is part of the id, which says which event a row is: expected a value")
	}
	if c.cursor.name != "" {
		add(c.src.From.Cursor, "isNull(_cursor)", "the cursor is NULL or does not fit an int64")
	}
	return out
}

// ID are the staged columns of the id, IDColumns the same with their types, KnownID those of an event.
func (c *copying) ID() []string {
	var names []string
	for _, id := range c.src.ID {
		names = append(names, c.column(id).Name)
	}
	return names
}

// IDColumns are the columns of the id in the stage.
func (c *copying) IDColumns() []copyColumn {
	var out []copyColumn
	for _, id := range c.src.ID {
		out = append(out, c.column(id))
	}
	return out
}

// KnownID are the columns of the id of an event, in the representation of the stage.
func (c *copying) KnownID() []string {
	var out []string
	for _, id := range c.src.ID {
		name := quote(id)
		if c.src.Columns[feature.FieldIndex(c.src.Columns, id)].Type.Kind == feature.KindTimestamp {
			name = "toUnixTimestamp64Micro(" + name + ")"
		}
		out = append(out, name)
	}
	return out
}

// KnownEventTime is the column of an event's time, KnownTime the same in microseconds.
func (c *copying) KnownEventTime() string { return quote(c.src.EventTime) }

// KnownTime is an event's time in microseconds.
func (c *copying) KnownTime() string { return "toUnixTimestamp64Micro(" + quote(c.src.EventTime) + ")" }

// KnownHash and StageHash are equal for rows whose columns are all equal.
func (c *copying) KnownHash() string {
	var parts []string
	for _, f := range c.src.Columns {
		v := newValueColumn(f, f.Name == c.src.EventTime)
		parts = append(parts, v.Expr, "toUInt8("+v.Null+")")
	}
	return "cityHash64(" + strings.Join(parts, ", ") + ")"
}

// StageHash is the hash of a staged row.
func (c *copying) StageHash() string {
	var parts []string
	for i, f := range c.src.Columns {
		if f.Type.Kind == feature.KindTimestamp {
			f.Type.Kind = feature.KindInt64
		}
		v := newColumn(f, copiedColumn(i), "true", false)
		parts = append(parts, v.Expr, "toUInt8("+v.Null+")")
	}
	return "cityHash64(" + strings.Join(parts, ", ") + ")"
}

// into is a column of the event table and what goes into it.
type into struct{ Name, Expr string }

// Into are the columns of the event table without those of the log.
func (c *copying) Into() []into {
	var out []into
	for i, f := range c.src.Columns {
		name, value := f.Name, copiedColumn(i)
		if f.Type.Kind == feature.KindTimestamp {
			name = rawPrefix + name
		}
		if f.Name == c.src.EventTime {
			value = "assumeNotNull(" + value + ")"
		}
		out = append(out, into{quote(name), value})
		if f.Type.List {
			out = append(out, into{quote(hasPrefix + f.Name), "true"})
		}
	}
	available := "assumeNotNull(" + c.EventTime() + ")"
	if c.src.AvailableAt != "" {
		available = "ifNull(" + c.column(c.src.AvailableAt).Name + ", " + available + ")"
	}
	return append(out, into{quote(rawPrefix + availableAt), available})
}
