package semtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/registry"
)

// needs returns what the script says in its first command, needs, that an execution must have.
func needs(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			if words := strings.Fields(line); words[0] == "needs" {
				return words[1:], nil
			}
			break
		}
	}
	return nil, nil
}

// script is a run of one file: the world that the last define made, and where its log stands.
type script struct {
	execution Execution
	draft     *registry.Draft
	catalog   *feature.Catalog
	engine    Engine
	pushes    int
	asked     []*feature.Batch // that the next read brings
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	out, err := s.do(t, d)
	if err == nil {
		return out
	}
	if e, ok := errors.AsType[*feature.Error](err); ok {
		if e.Code == feature.CodeBelowFloor {
			return "below floor"
		}
		if e.Code == feature.CodeInvalid || e.Code == feature.CodeNotFound || e.Code == feature.CodeConflict {
			return "refused: " + refusal(e)
		}
	}
	d.Fatalf(t, "%s: %v", s.execution.Name, err)
	return ""
}

// refusal returns the places of what was refused, a line each, or the code if none is named. How it is said is not a
// matter of the law.
func refusal(e *feature.Error) string {
	if !slices.ContainsFunc(e.Details, func(d feature.Detail) bool { return d.Field != "" }) {
		return string(e.Code)
	}
	lines := make([]string, len(e.Details))
	for i, d := range e.Details {
		lines[i] = d.Field
		if d.Row != nil {
			lines[i] = fmt.Sprintf("row %d: %s", *d.Row, d.Field)
		}
	}
	return strings.Join(lines, "\n")
}

func (s *script) do(t *testing.T, d *datadriven.TestData) (string, error) {
	if s.engine == nil && d.Cmd != "define" && d.Cmd != "needs" {
		d.Fatalf(t, "define comes first")
	}
	switch d.Cmd {
	case "needs":
		return "", nil // Run has looked at it
	case "define":
		return "", s.define(t, d.Input)
	case "apply", "rollback":
		return s.change(t, d)
	case "push", "import", "replace":
		return s.write(t, d)
	case "with":
		return "", s.with(t, d)
	case "erase":
		return "", s.erase(t, d)
	case "read":
		return s.read(t, d)
	case "train":
		return s.train(t, d)
	default:
		d.Fatalf(t, "unknown command %s: expected needs, define, apply, rollback, push, import, replace, erase, with, read or train", d.Cmd)
		return "", nil
	}
}

// define begins a new world: the definitions of the input and no events.
func (s *script) define(t *testing.T, yaml string) error {
	defs, err := parse(yaml)
	if err != nil {
		return err
	}
	draft := &registry.Draft{}
	_, catalog, err := draft.Apply(defs, registry.Options{})
	if err != nil {
		return err
	}
	s.close(t)
	s.draft, s.catalog, s.pushes = draft, catalog, 0
	// The world outlives the command, whose context ends with its subtest.
	if s.engine, err = s.execution.Open(context.WithoutCancel(t.Context()), catalog); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return nil
}

// change applies the definitions of the input to those that there are, or rolls a service back (G1), and prints what
// happens to each name that does not stay as it is.
func (s *script) change(t *testing.T, d *datadriven.TestData) (string, error) {
	var plan *registry.Plan
	var catalog *feature.Catalog
	var err error
	if d.Cmd == "rollback" {
		plan, catalog, err = s.draft.Rollback(positional(t, d))
	} else {
		var defs *registry.Definitions
		if defs, err = parse(d.Input); err != nil {
			return "", err
		}
		var o registry.Options
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "upgrade":
				o.Upgrade = a.Vals
			case "delete":
				o.Delete = a.Vals
			default:
				d.Fatalf(t, "unknown argument %s", a)
			}
		}
		plan, catalog, err = s.draft.Apply(defs, o)
	}
	if err != nil {
		return "", err
	}
	return s.planned(t, plan, catalog)
}

// planned makes the catalog the current one and prints how it came about.
func (s *script) planned(t *testing.T, plan *registry.Plan, catalog *feature.Catalog) (string, error) {
	s.catalog = catalog
	var out strings.Builder
	for _, c := range plan.Changes {
		if c.Action != registry.Unchanged && c.Action != registry.Missing {
			fmt.Fprintf(&out, "%s %s %s\n", c.Action, c.Kind, versioned(c))
		}
	}
	return out.String(), s.engine.Change(t.Context(), catalog)
}

// versioned returns the name with its newest version after the change, or with the one that was deleted.
func versioned(c registry.PlanChange) string {
	if strings.Contains(c.Name, "@") {
		return c.Name
	}
	if c.To == 0 {
		return feature.Ref{Name: c.Name, Version: c.From}.String()
	}
	return feature.Ref{Name: c.Name, Version: c.To}.String()
}

func (s *script) close(t *testing.T) {
	if s.engine == nil {
		return
	}
	if err := s.engine.Close(); err != nil {
		t.Errorf("%s: close: %v", s.execution.Name, err)
	}
	s.engine = nil
}

// Define returns the catalog that the definitions in the YAML text make.
func Define(yaml string) (*feature.Catalog, error) {
	defs, err := parse(yaml)
	if err != nil {
		return nil, err
	}
	return registry.Resolve(defs)
}

func parse(yaml string) (*registry.Definitions, error) {
	return registry.Parse(map[string][]byte{"definitions.yaml": []byte(yaml)})
}

// firstTaken is when the log takes a script's first message if the script does not say; later ones follow a
// microsecond apart.
const firstTaken feature.Time = 1767225600_000000 // 2026-01-01

func (s *script) write(t *testing.T, d *datadriven.TestData) (string, error) {
	src := s.catalog.Source(positional(t, d))
	if src == nil {
		d.Fatalf(t, "no source of that name is defined")
	}
	m := Message{Source: src.Name, Taken: firstTaken + feature.Time(s.pushes)}
	for _, a := range d.CmdArgs[1:] {
		if a.Key != "taken" || len(a.Vals) != 1 || d.Cmd != "push" {
			d.Fatalf(t, "unknown argument %s", a)
		}
		m.Taken = s.time(t, d, a.Vals[0])
	}
	var err error
	if m.Rows, err = jsonRows(d.Input, src.Columns); err != nil {
		d.Fatalf(t, "%v", err)
	}
	s.pushes++
	add := map[string]func(context.Context, Message) (Receipt, error){"push": s.engine.Push, "import": s.engine.Import, "replace": s.engine.Replace}[d.Cmd]
	receipt, err := add(t.Context(), m)
	if err != nil {
		return "", err
	}
	replaced := ""
	if d.Cmd == "replace" {
		plan, catalog, err := s.draft.Replace(src.Name, receipt.Edition)
		if err != nil {
			return "", err
		}
		if replaced, err = s.planned(t, plan, catalog); err != nil {
			return "", err
		}
	}
	if receipt.Duplicates == 0 {
		return replaced, nil
	}
	out := replaced + fmt.Sprintf("%d of %d rows are copies", receipt.Duplicates, len(m.Rows))
	if receipt.Conflicts > 0 {
		out += fmt.Sprintf(", %d in conflict", receipt.Conflicts)
	}
	return out, nil
}

// with keeps the rows of the input for the next read (D4).
func (s *script) with(t *testing.T, d *datadriven.TestData) error {
	src := s.catalog.Source(positional(t, d))
	if src == nil {
		d.Fatalf(t, "no source of that name is defined")
	}
	m := Message{Source: src.Name, Taken: firstTaken + feature.Time(s.pushes)}
	var err error
	if m.Rows, err = jsonRows(d.Input, src.Columns); err != nil {
		d.Fatalf(t, "%v", err)
	}
	b, err := s.engine.Asked(m)
	if err == nil {
		s.asked = append(s.asked, b)
	}
	return err
}

// erase erases the key that the arguments give.
func (s *script) erase(t *testing.T, d *datadriven.TestData) error {
	entity := s.catalog.Entity(positional(t, d))
	if entity == nil {
		d.Fatalf(t, "no entity of that name is defined")
	}
	key := make(feature.Key, len(entity.Key))
	for _, a := range d.CmdArgs[1:] {
		i := feature.FieldIndex(entity.Key, a.Key)
		if i < 0 || len(a.Vals) != 1 {
			d.Fatalf(t, "argument %s is no part of the key of %s", a, entity.Name)
		}
		var err error
		if key[i], err = cellValue(a.Vals[0], entity.Key[i].Type); err != nil {
			d.Fatalf(t, "%v", err)
		}
	}
	s.pushes++
	_, err := s.engine.Erase(t.Context(), entity.Name, key)
	return err
}

func positional(t *testing.T, d *datadriven.TestData) string {
	if len(d.CmdArgs) == 0 || len(d.CmdArgs[0].Vals) > 0 {
		d.Fatalf(t, "%s what? Its first argument is a name", d.Cmd)
	}
	return d.CmdArgs[0].Key
}

func (s *script) time(t *testing.T, d *datadriven.TestData, text string) feature.Time {
	at, err := feature.ParseTime(longTime(text))
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return at
}

// plan resolves "service", "service@1" or "view.feature,view.other".
func (s *script) plan(what string) (*feature.Plan, error) {
	if strings.Contains(what, ".") {
		return s.catalog.PlanFeatures(strings.Split(what, ","))
	}
	return s.catalog.PlanService(what)
}

func (s *script) read(t *testing.T, d *datadriven.TestData) (string, error) {
	plan, err := s.plan(positional(t, d))
	if err != nil {
		return "", err
	}
	r := reading{plan: plan, path: feature.PathAuto, asked: s.asked}
	s.asked = nil
	inline := map[string]string{}
	for _, a := range d.CmdArgs[1:] {
		switch {
		case a.Key == "at":
			for _, v := range a.Vals {
				r.times = append(r.times, s.time(t, d, v))
			}
		case len(a.Vals) != 1:
			d.Fatalf(t, "argument %s has no value", a.Key)
		case a.Key == "path":
			r.path = feature.Path(a.Vals[0])
		case a.Key == "cut":
			if r.cut, err = strconv.ParseUint(a.Vals[0], 10, 64); err != nil {
				d.Fatalf(t, "%v", err)
			}
		default:
			inline[a.Key] = a.Vals[0]
		}
	}
	if len(r.times) == 0 {
		d.Fatalf(t, "read at= when?")
	}
	if !s.can(r.path, r.cut) {
		return d.Expected, nil
	}
	if err := r.parseKeys(d.Input, inline); err != nil {
		return "", err
	}
	return r.run(t, s.engine)
}

// can reports whether the execution has the path asked for; a replica has no cuts.
func (s *script) can(path feature.Path, cut uint64) bool {
	_, replica := s.engine.(Replica)
	_, archive := s.engine.(Archive)
	switch {
	case path == feature.PathOnline:
		return replica
	case path == feature.PathOffline || cut != 0:
		return archive
	default:
		return true
	}
}

func (s *script) train(t *testing.T, d *datadriven.TestData) (string, error) {
	archive, ok := s.engine.(Archive)
	if !ok {
		return d.Expected, nil
	}
	plan, err := s.plan(positional(t, d))
	if err != nil {
		return "", err
	}
	r := Training{Plan: plan, Time: "ts"}
	all := false
	for _, a := range d.CmdArgs[1:] {
		if len(a.Vals) != 1 {
			d.Fatalf(t, "argument %s has no value", a.Key)
		}
		v := a.Vals[0]
		switch a.Key {
		case "clock":
			r.Clock, err = feature.ParseClock(v)
		case "cut":
			r.Cut, err = strconv.ParseUint(v, 10, 64)
		case "time":
			r.Time = v
		case "keys":
			all = v == "all"
		case "at":
			r.At = s.time(t, d, v)
		default:
			d.Fatalf(t, "unknown argument %s", a)
		}
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
	}
	if all {
		r.Time = AllKeysTime
	} else {
		if r.Spine, err = spineOf(d.Input, plan, r.Time); err != nil {
			return "", err
		}
	}
	set, err := archive.Train(t.Context(), r)
	if err != nil {
		return "", err
	}
	return printTable(set), nil
}

// spineOf reads a spine: a table whose columns are keys of the plan and the time, which have their types unless
// declared otherwise, as inputs of on-demand features do, and others, which are strings unless declared otherwise as name:type.
func spineOf(text string, plan *feature.Plan, timeColumn string) (*feature.Batch, error) {
	header, rows, err := splitTable(text)
	if err != nil {
		return nil, err
	}
	b := &feature.Batch{}
	for _, h := range header {
		name, typ, declared := strings.Cut(h, ":")
		f := feature.Field{Name: name, Type: feature.String}
		if i := feature.FieldIndex(plan.Keys, name); i >= 0 {
			f.Type = plan.Keys[i].Type
		}
		if i := feature.FieldIndex(plan.Inputs, name); i >= 0 {
			f.Type = plan.Inputs[i].Type
		}
		if name == timeColumn {
			f.Type = feature.Timestamp
		}
		if declared {
			if f.Type, err = feature.ParseType(typ); err != nil {
				return nil, err
			}
		}
		b.Fields = append(b.Fields, f)
		b.Columns = append(b.Columns, feature.Column{Type: f.Type})
	}
	for i, row := range rows {
		values := make([]feature.Value, len(row))
		for k, cell := range row {
			if values[k], err = cellValue(cell, b.Fields[k].Type); err != nil {
				return nil, &feature.Error{Code: feature.CodeInvalid, Details: []feature.Detail{{Row: &i, Field: b.Fields[k].Name, Message: err.Error()}}}
			}
		}
		b.Append(values)
	}
	return b, nil
}

// cellValue reads a cell of a table as a value of type t.
func cellValue(cell string, t feature.Type) (feature.Value, error) {
	raw, err := cellJSON(cell, t)
	if err != nil {
		return feature.Value{}, err
	}
	v, err := feature.ParseJSON(raw)
	if err != nil {
		return feature.Value{}, err
	}
	return feature.Convert(v, t)
}
