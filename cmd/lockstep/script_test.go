package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestMain makes this binary the commands lockstep and nats-server where a test calls them, and the engine where
// lockstep starts it.
func TestMain(m *testing.M) {
	testscript.Main(checked{m}, map[string]func(){"lockstep": main, "nats-server": natsServer})
}

// checked runs the tests and then looks for goroutines that are left.
type checked struct{ *testing.M }

func (c checked) Run() int {
	code := c.M.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// TestScripts runs testdata/script. Scripts in its folder shared are clients of one server, LOCKSTEP_SERVER; they
// define names of their own. Those in its folder alone run servers themselves.
func TestScripts(t *testing.T) {
	server := startDev(t)
	t.Run("shared", func(t *testing.T) { runScripts(t, "testdata/script/shared", "LOCKSTEP_SERVER="+server) })
	t.Run("alone", func(t *testing.T) { runScripts(t, "testdata/script/alone") })
}

// passed are the variables of the test's environment that scripts see: where the engine is.
var passed = []string{"HOME", "XDG_CACHE_HOME", "LOCKSTEP_ENGINE"}

func runScripts(t *testing.T, dir string, environment ...string) {
	testscript.Run(t, testscript.Params{
		Dir: dir, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			for _, name := range passed {
				if value, ok := os.LookupEnv(name); ok {
					env.Setenv(name, value)
				}
			}
			env.Vars = append(env.Vars, environment...)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"json": cmdJSON, "sigterm": cmdSigterm, "waitfile": cmdWaitFile, "lines": cmdLines, "await": cmdAwait},
	})
}

// startDev starts a server that scripts share and returns its URL.
func startDev(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	url := filepath.Join(dir, "url")
	background(t, nil, "lockstep", "dev", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--url-file", url)
	text, err := awaitFile(url)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// background starts a command with the settings of env and no others. When the test ends it is asked to stop as a
// shell does, with its whole process group, and must then end well and without complaint.
func background(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &output, &output, t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "LOCKSTEP_") || slices.Contains(passed, name) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // Wait tells if it had ended before
		err := cmd.Wait()
		if err != nil || strings.Contains(output.String(), "level=ERROR") {
			t.Errorf("%s %s ended with %v", name, strings.Join(args, " "), err)
		}
		if t.Failed() {
			t.Logf("%s %s printed:\n%s", name, strings.Join(args, " "), output.String())
		}
	})
	return cmd
}

// await returns once ok does, and fails the test with what if that takes a minute.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !eventually(ok) {
		t.Fatal(what)
	}
}

// eventually asks ok again and again, for a minute, and reports whether it was true in the end.
func eventually(ok func() bool) bool {
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
	return true
}

// awaitFile returns what is in a file once there is a whole line.
func awaitFile(path string) (text string, err error) {
	written := eventually(func() bool {
		b, err := os.ReadFile(path)
		text = string(b)
		return err == nil && strings.HasSuffix(text, "\n")
	})
	if !written {
		return "", fmt.Errorf("%s is not written after a minute", path)
	}
	return strings.TrimSpace(text), nil
}

// waitfile FILE [VARIABLE] waits until the file is written and sets the variable to what it says.
func cmdWaitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: waitfile FILE [VARIABLE]")
	}
	text, err := awaitFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(args) == 2 {
		ts.Setenv(args[1], text)
	}
}

// await PATTERN COMMAND... runs a command again and again until its output matches.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await PATTERN COMMAND...")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	found := eventually(func() bool {
		err = ts.Exec(args[1], args[2:]...)
		return pattern.MatchString(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	})
	if !found {
		ts.Fatalf("%s does not print %q; it ended with %v", args[1], args[0], err)
	}
}

// sigterm asks all background commands to stop, as an operator's service manager does.
func cmdSigterm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: sigterm")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// lines N FILE checks how many lines a file has.
func cmdLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines N FILE")
	}
	if got := strings.Count(ts.ReadFile(args[1]), "\n"); fmt.Sprint(got) != args[0] {
		ts.Fatalf("%s has %d lines, want %s", args[1], got, args[0])
	}
}

// json FILE [PATH=VALUE...] checks that every line of a file is JSON, and what stands in the first of them: PATH is
// names and indexes joined by dots, VALUE is JSON.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: json FILE [PATH=VALUE...]")
	}
	text := ts.ReadFile(args[0])
	if text == "" {
		ts.Fatalf("%s is empty, want JSON", args[0])
	}
	var first any
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		var value any
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			ts.Fatalf("line %d is not JSON: %v\n%s", i+1, err, line)
		}
		if i == 0 {
			first = value
		}
	}
	for _, arg := range args[1:] {
		path, want, ok := strings.Cut(arg, "=")
		if !ok {
			ts.Fatalf("%q: expected PATH=VALUE", arg)
		}
		got, err := json.Marshal(at(first, strings.Split(path, ".")))
		ts.Check(err)
		if string(got) != want {
			ts.Fatalf("%s = %s, want %s", path, got, want)
		}
	}
}

// at returns what stands at path, or nil.
func at(value any, path []string) any {
	for _, name := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}
