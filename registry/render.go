package registry

import (
	"fmt"
	"strings"
)

// String returns the plan for people: a line for each name that changes or stays behind, what differs below
// it, and the counts.
func (p *Plan) String() string {
	var b strings.Builder
	counts := map[Action]int{}
	for _, c := range p.Changes {
		counts[c.Action]++
		if c.Action == Unchanged {
			continue
		}
		b.WriteString(c.String())
		b.WriteByte('\n')
		for _, note := range c.Notes {
			b.WriteString("      " + note + "\n")
		}
		if c.State != nil {
			b.WriteString("      " + c.State.String() + "\n")
		}
	}
	if !p.Changed() {
		fmt.Fprintf(&b, "Nothing to change; %d unchanged.\n", counts[Unchanged])
		return b.String()
	}
	fmt.Fprintf(&b, "%d to create, %d to change, %d to delete; %d unchanged.\n",
		counts[Create], counts[Change]+counts[Upgrade]+counts[Annotate], counts[Delete], counts[Unchanged])
	return b.String()
}

// String returns the change on one line, without its notes.
func (c PlanChange) String() string {
	name := string(c.Kind) + " " + c.Name
	switch c.Action {
	case Create:
		return fmt.Sprintf("  + %s: new, version %d", name, c.To)
	case Change:
		return fmt.Sprintf("  ~ %s: version %d to %d", name, c.From, c.To)
	case Upgrade:
		return fmt.Sprintf("  ~ %s: version %d to %d, on the newest versions", name, c.From, c.To)
	case Annotate:
		return fmt.Sprintf("  ~ %s: described differently, still version %d", name, c.To)
	case Delete:
		return fmt.Sprintf("  - %s: deleted", name)
	case Behind:
		return fmt.Sprintf("  ! %s: version %d stays on older versions (move it with --upgrade %s)", name, c.From, c.Name)
	case Missing:
		return fmt.Sprintf("  ? %s: not in these definitions, stays registered (delete it with --delete %s)", name, c.Name)
	default:
		return fmt.Sprintf("    %s: unchanged, version %d", name, c.To)
	}
}
