package faulttest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
)

// diskEnv is set, to a folder, in the environment of the process that is to run all of Lockstep on a small disk there.
const diskEnv = "LOCKSTEP_FAULT_DISK"

const diskBytes = 512 << 20

// diskMain turns the process into a node with everything embedded, if it was started to be one. Its data is on a small
// disk in memory, which only it and its children see.
func diskMain() {
	dir := os.Getenv(diskEnv)
	if dir == "" {
		return
	}
	if err := runOnDisk(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runOnDisk(dir string) error {
	disk := filepath.Join(dir, "disk")
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		return fmt.Errorf("mount a small disk: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := node.Open(ctx, node.Config{
		Data: filepath.Join(disk, "data"), Listen: "127.0.0.1:0", AllowSQL: true, CacheBytes: 16 << 20, LogBytes: 256 << 20, Patience: 4 * time.Second,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "url"), []byte(n.URL()), 0o600); err != nil {
		return errors.Join(err, n.Close())
	}
	return n.Run(ctx)
}

// onDisk starts such a process in a namespace of its own.
func (s *stack) onDisk(dir string) (*running, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), diskEnv+"="+dir)
	cmd.Stdout, cmd.Stderr = s.said, s.said
	id := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: id(os.Getuid()), GidMappings: id(os.Getgid()), Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process in namespaces of its own (the system must allow unprivileged user namespaces): %w", err)
	}
	r := &running{stop: func() { _ = cmd.Process.Signal(syscall.SIGTERM) }, ended: make(chan error, 1)}
	go func() { r.ended <- cmd.Wait() }()
	s.disk = filepath.Join("/proc", fmt.Sprint(cmd.Process.Pid), "root", dir, "disk")
	s.ended = r.ended
	s.eventually("the process serves", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "url"))
		r.url = string(b)
		return err == nil && strings.HasPrefix(r.url, "http")
	})
	return r, nil
}

// fill writes a file until the disk of the process is full, and returns what removes it.
func (s *stack) fill() (free func()) {
	s.t.Helper()
	path := filepath.Join(s.disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 16
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestDiskFull fills the disk on which everything is: pushes are refused soon and reads go on, until there is room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := &stack{t: t, said: &said{}, acked: map[string][]row{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.said.tail(), s.ends)
		}
	})
	dir := t.TempDir()
	s.launch = func() (*running, error) { return s.onDisk(dir) }
	s.start()
	s.define()
	for range 2 {
		s.mustPush("clicks", "a", 5)
		s.mustPush("orders", "a", 5)
		s.wantRead("a", feature.PathOnline)
		s.level()
		free := s.fill()
		s.eventually("pushes are refused", func() bool { return s.push("clicks", "b", 100) != nil && s.push("orders", "b", 100) != nil })
		s.during(func() {
			_ = s.push("clicks", "b", 1)
			s.wantRead("a", feature.PathOnline)
		})
		s.wantAway(pushRows)
		s.wantDegraded("") // what it says depends on who meets the full disk first
		if a := s.ask(train); a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
			t.Errorf("a training set: %d %s", a.status, a.body)
		}
		free()
		s.eventually("pushes are taken again", func() bool { return s.push("clicks", "a", 1) == nil && s.push("orders", "a", 1) == nil })
		s.complete()
		s.wantWell()
	}
}
