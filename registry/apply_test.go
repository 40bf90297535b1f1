package registry_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/registry"
)

// TestApply runs the life of definitions as scripts against a registry in a real NATS server: plan and apply
// take YAML and the arguments upgrade=(...) and delete=(...); describe, versions and rollback take a name, replace a source and edition=N.
func TestApply(t *testing.T) {
	datadriven.Walk(t, "testdata/apply", func(t *testing.T, path string) {
		s := lifeScript{registry: open(t, embedded(t))}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := s.run(t, d)
			if err != nil {
				return fmt.Sprintf("error: %v\n", err)
			}
			return out
		})
	})
}

type lifeScript struct{ registry *registry.Registry }

func (s *lifeScript) run(t *testing.T, d *datadriven.TestData) (string, error) {
	ctx := t.Context()
	switch d.Cmd {
	case "plan", "apply":
		defs, err := registry.Parse(map[string][]byte{"a.yaml": []byte(d.Input)})
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		var o registry.Options
		for _, arg := range d.CmdArgs {
			switch arg.Key {
			case "upgrade":
				o.Upgrade = arg.Vals
			case "delete":
				o.Delete = arg.Vals
			default:
				d.Fatalf(t, "unknown argument %s", arg.Key)
			}
		}
		planned, err := s.registry.Plan(ctx, defs, o)
		if d.Cmd == "plan" || err != nil {
			return text(planned), err
		}
		applied, err := s.registry.Apply(ctx, defs, o)
		if err != nil {
			return "", err
		}
		if planned.String() != applied.String() {
			d.Fatalf(t, "Apply did\n%sbut Plan said\n%s", applied, planned)
		}
		return text(applied) + s.catalog(), nil
	case "replace":
		edition, err := strconv.ParseUint(d.CmdArgs[1].Vals[0], 10, 64)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		p, err := s.registry.Replace(ctx, d.CmdArgs[0].Key, feature.Edition{Number: edition, Seq: 3})
		if err != nil {
			return "", err
		}
		return text(p) + s.catalog(), nil
	case "rollback":
		p, err := s.registry.Rollback(ctx, d.CmdArgs[0].Key)
		if err != nil {
			return "", err
		}
		return text(p) + s.catalog(), nil
	case "describe":
		x, err := s.registry.Describe(d.CmdArgs[0].Key)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %s@%d %q %s\n%s\nused by %v\n", x.Kind, x.Name, x.Version, x.Description, x.Owner, x.Definition, x.UsedBy), nil
	case "versions":
		vs, err := s.registry.Versions(d.CmdArgs[0].Key)
		var b strings.Builder
		for _, v := range vs {
			fmt.Fprintf(&b, "%d live=%t views=%v", v.Version, v.Live, v.Views)
			if v.Edition != 0 {
				fmt.Fprintf(&b, " edition=%d", v.Edition)
			}
			b.WriteByte('\n')
		}
		return b.String(), err
	case "list":
		all, err := s.registry.List()
		var b strings.Builder
		for _, x := range all {
			fmt.Fprintf(&b, "%s %s@%d\n", x.Kind, x.Name, x.Version)
		}
		return b.String(), err
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
		return "", nil
	}
}

func text(p *registry.Plan) string {
	if p == nil {
		return ""
	}
	if _, err := json.Marshal(p); err != nil {
		return err.Error()
	}
	return p.String()
}

// catalog says what is served.
func (s *lifeScript) catalog() string {
	cat := s.registry.Catalog()
	var b strings.Builder
	fmt.Fprintf(&b, "revision %d:", cat.Revision)
	for _, x := range cat.Entities {
		fmt.Fprintf(&b, " entity %s", x.Name)
	}
	for _, x := range cat.Sources {
		fmt.Fprintf(&b, " source %s@%d", x.Name, x.Version)
	}
	for _, x := range cat.Views {
		fmt.Fprintf(&b, " view %s", x.Ref())
	}
	for _, x := range cat.Services {
		fmt.Fprintf(&b, " service %s(", x.Ref())
		for i, it := range x.Items {
			if i > 0 {
				b.WriteByte(' ')
			}
			if it.OnDemand != nil {
				b.WriteString(it.OnDemand.Ref().String())
			} else {
				fmt.Fprintf(&b, "%s=%s", it.Role, it.View.Ref())
			}
		}
		b.WriteByte(')')
	}
	b.WriteByte('\n')
	return b.String()
}
