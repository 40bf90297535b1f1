// Command mutate changes the product's law, one line at a time, in a copy of the module, and sees the semantics
// suite fail each time: a change that survives is a rule that no script and no random history states.
//
//	go run ./internal/mutate [-only NAME] testdata/mutations.txt
//
// It exits with 0 only if every change was noticed.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	only := flags.String("only", "", "a regular expression: the mutations to try")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("expected one argument, the list of mutations")
	}
	text, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	list, err := Parse(string(text))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyModule(".", dir); err != nil {
		return fmt.Errorf("copy the module: %w", err)
	}
	s := suite{dir: dir, out: out}
	return s.all(ctx, list, chosen)
}

// suite runs the tests in a copy of the module.
type suite struct {
	dir string
	out io.Writer
}

func (s suite) all(ctx context.Context, list []Mutation, chosen *regexp.Regexp) error {
	fmt.Fprintln(s.out, "the suite without a change")
	if text, err := s.test(ctx, ""); err != nil {
		return fmt.Errorf("the suite fails without any change: %w\n%s", err, text)
	}
	tried, survived := 0, 0
	for _, m := range list {
		if !chosen.MatchString(m.Name) {
			continue
		}
		tried++
		began := time.Now()
		by, err := s.try(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		verdict := "killed by " + by
		if by == "" {
			survived++
			verdict = "SURVIVED"
		}
		fmt.Fprintf(s.out, "%-28s %s (%s)\n", m.Name, verdict, time.Since(began).Round(time.Second))
	}
	fmt.Fprintf(s.out, "%d mutations, %d survived\n", tried, survived)
	if survived > 0 {
		return fmt.Errorf("%d changes of the law were not noticed", survived)
	}
	return nil
}

// try makes the change, runs the suite and takes the change back. It returns the test that failed, or "".
func (s suite) try(ctx context.Context, m Mutation) (by string, err error) {
	path := filepath.Join(s.dir, filepath.FromSlash(m.File))
	before, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	after, err := m.Apply(string(before))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, []byte(after), 0o600); err != nil {
		return "", err
	}
	defer func() {
		if restored := os.WriteFile(path, before, 0o600); err == nil {
			err = restored
		}
	}()
	if text, err := s.command(ctx, "test", "-run", "^$", "./internal/semtest"); err != nil {
		return "", fmt.Errorf("the change does not compile: %w\n%s", err, text)
	}
	text, err := s.test(ctx, m.Run)
	if err == nil && m.Run != "" { // whoever should notice it did not: perhaps another does
		text, err = s.test(ctx, "")
	}
	if err == nil {
		return "", nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return firstFailure(text), nil
}

// test runs the semantics suite, or the part of it that run names.
func (s suite) test(ctx context.Context, run string) (string, error) {
	return s.command(ctx, "test", "-count=1", "-failfast", "-vet=off", "-timeout", "30m", "-run", run, "./internal/semtest", "-rapid.nofailfile", "-rapid.shrinktime=1s")
}

func (s suite) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err := cmd.Run()
	return text.String(), err
}

var failure = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// firstFailure returns the deepest of the first tests that the output says failed.
func firstFailure(text string) string {
	found := failure.FindAllStringSubmatch(text, -1)
	if len(found) == 0 {
		return "a panic or a timeout"
	}
	name := found[0][1]
	for _, f := range found {
		if strings.HasPrefix(f[1], name+"/") {
			name = f[1]
		}
	}
	return name
}
