package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// promised are the commands that scripts and people rely on.
var promised = []string{
	"init", "dev", "serve", "plan", "apply", "list", "describe", "versions", "import", "push", "materialize", "train", "get", "verify",
	"deadletters list", "deadletters show", "deadletters replay", "erase", "sql", "status", "engine install", "engine serve",
}

func TestPromisedCommands(t *testing.T) {
	for _, name := range promised {
		cmd, rest, err := (&app{}).root().Find(strings.Fields(name))
		if err != nil || len(rest) > 0 || cmd.RunE == nil {
			t.Errorf("there is no command %q: %v", name, err)
		}
	}
}

// TestHelp: every command says in a line what it does, shows examples, and says what each of its flags is for.
func TestHelp(t *testing.T) {
	each((&app{}).root(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its line is %q, want one without a full stop", path, cmd.Short)
		}
		if !strings.Contains(cmd.Example, "  lockstep ") {
			t.Errorf("%s has no example", path)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no explanation", path, f.Name)
			}
		})
	})
}

// TestExamples: the examples are of the command that they stand with, and it takes their flags and arguments.
func TestExamples(t *testing.T) {
	each((&app{}).root(), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			for _, words := range commands(line) {
				root := (&app{}).root()
				found, rest, err := root.Find(words)
				if err != nil {
					t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
					continue
				}
				if cmd.HasParent() && found.CommandPath() != cmd.CommandPath() && found.Parent().CommandPath() != cmd.CommandPath() {
					if words[0] != "dev" {
						t.Errorf("%s: example %q is of %s", cmd.CommandPath(), line, found.CommandPath())
					}
				}
				if err := found.ParseFlags(rest); err != nil {
					t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
				}
				if err := found.ValidateArgs(found.Flags().Args()); err != nil {
					t.Errorf("%s: example %q: %v", cmd.CommandPath(), line, err)
				}
			}
		}
	})
}

func each(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, sub := range cmd.Commands() {
		each(sub, fn)
	}
}

// commands returns the words behind "lockstep" for each call of it in a line of shell. It knows the quotes that
// examples have, variables before a command, and what ends one.
func commands(line string) [][]string {
	line, _, _ = strings.Cut(line, " #")
	var words []string
	var word strings.Builder
	quote := rune(0)
	for _, r := range strings.TrimSpace(line) + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case quote == 0 && r == ' ':
			if word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	var out [][]string
	for len(words) > 0 {
		end := slices.IndexFunc(words, func(w string) bool { return w == "&&" || w == "|" || w == ">" })
		part := words
		if end >= 0 {
			part, words = words[:end], words[end+1:]
		} else {
			words = nil
		}
		if at := slices.Index(part, "lockstep"); at >= 0 {
			out = append(out, part[at+1:])
		}
	}
	return out
}
