package chdb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// childEnv is set, to a childConfig, in the environment of the process that is to be the engine.
const childEnv = "LOCKSTEP_ENGINE_CHILD"

// childConfig is what the parent tells the child.
type childConfig struct {
	Library     string            `json:"library"`
	Dir         string            `json:"dir"`
	Socket      string            `json:"socket"`
	Connections int               `json:"connections"`
	Threads     int               `json:"threads"`
	MaxMemory   int64             `json:"max_memory"`
	Settings    map[string]string `json:"settings"`
}

// childStatus is what the child answers, once, on the pipe that is its file 3: that it serves, or why it does not.
type childStatus struct {
	Version string `json:"version"`
	Error   string `json:"error"`
	InUse   bool   `json:"in_use"`
}

// process is a running child. Whoever starts one calls stop, or waits for exited.
type process struct {
	cmd     *exec.Cmd
	stdin   io.Closer // closing it tells the child that its parent is gone
	version string
	since   time.Time
	exited  chan struct{} // closed when the process is gone and its output is read
	err     error         // how it ended; read after exited

	mu   sync.Mutex
	tail []string // the last lines it printed
}

// startProcess starts a child and returns when it serves.
func startProcess(ctx context.Context, cfg Config, socket string) (*process, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this executable: %w", err)
	}
	text, err := json.Marshal(childConfig{
		Library: cfg.Library, Dir: cfg.Dir, Socket: socket, Connections: cfg.Connections,
		Threads: cfg.Threads, MaxMemory: cfg.MaxMemory, Settings: cfg.Settings,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the engine's configuration: %w", err)
	}
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer statusRead.Close()
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(ctx), executable), exited: make(chan struct{}), since: time.Now()}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text), "TZ=UTC")
	p.cmd.ExtraFiles = []*os.File{statusWrite}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell signals whole groups; the parent decides what becomes of the child
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, statusWrite.Close())
	}
	output, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, statusWrite.Close(), stdin.Close())
	}
	p.cmd.Stdout = p.cmd.Stderr
	p.stdin = stdin
	err = p.cmd.Start()
	statusWrite.Close()
	if err != nil {
		return nil, fmt.Errorf("start the engine process: %w", err)
	}
	go p.follow(output, cfg.Logger)
	return p, p.await(ctx, statusRead)
}

// await reads the child's status; unless it serves, the process is gone when await returns.
func (p *process) await(ctx context.Context, pipe *os.File) error {
	// A child that is still starting has nothing to finish, and may be deep in the engine.
	interrupt := context.AfterFunc(ctx, func() { p.signal(syscall.SIGKILL) })
	defer interrupt()
	var status childStatus
	err := json.NewDecoder(pipe).Decode(&status)
	switch {
	case err == nil && status.Error == "":
		p.version = status.Version
		return nil
	case err == nil && status.InUse:
		err = fmt.Errorf("%w: %s", ErrInUse, status.Error)
	case err == nil:
		err = fmt.Errorf("start the engine: %s", status.Error)
	default:
		err = nil
	}
	stopped := p.stop()
	if err != nil {
		return err
	}
	return fmt.Errorf("start the engine: %w", errors.Join(p.failure(), stopped))
}

// follow hands the child's output to the log and collects its end.
func (p *process) follow(output io.Reader, logger *slog.Logger) {
	defer close(p.exited)
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		logger.Warn("engine output", slog.String("line", lines.Text()))
		p.mu.Lock()
		p.tail = append(p.tail, lines.Text())
		if len(p.tail) > 40 {
			p.tail = p.tail[1:]
		}
		p.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, output) // after a line that was too long
	p.err = p.cmd.Wait()
}

// stop asks the child to finish and waits until it is gone; it is killed when it does not finish in time. A nil process
// is gone already.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	p.signal(syscall.SIGTERM)
	defer p.stdin.Close()
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopWait):
		p.signal(syscall.SIGKILL)
		<-p.exited
		return fmt.Errorf("stop the engine: it did not finish within %s and was killed", stopWait)
	}
}

// failure says how a process ended that was not told to.
func (p *process) failure() error {
	<-p.exited
	p.stdin.Close()
	how := "it exited"
	if p.err != nil {
		how = p.err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tail) == 0 {
		return fmt.Errorf("engine process %d: %s", p.pid(), how)
	}
	return fmt.Errorf("engine process %d: %s: %s", p.pid(), how, strings.Join(p.tail, "\n"))
}

// signal sends s to the child; one that is gone needs none.
func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) pid() int { return p.cmd.Process.Pid }
