package eventlog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

func TestTailFollows(t *testing.T) {
	l := open(t, eventlog.Config{})
	publish(t, l, rows(0, 1))
	ctx, cancel := context.WithCancel(within(t))
	got := make(chan int64) // unbuffered: the reader waits for the test
	ended := make(chan error, 1)
	go func() {
		ended <- l.Tail(ctx, 1, func(e eventlog.Entry) error {
			select {
			case got <- e.Batch.Column("id").Ints[0]:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	for i := range 50 {
		if id := <-got; id != int64(i) {
			t.Fatalf("got row %d, want %d", id, i)
		}
		publish(t, l, rows(i+1, 1))
	}
	start := time.Now()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Tail = %v, want %v", err, context.Canceled)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("Tail ended %s after its context", d)
	}
}

func TestTailEnds(t *testing.T) {
	l := open(t, eventlog.Config{})
	for i := range 10 {
		publish(t, l, rows(i, 1))
	}
	if err := l.Trim(within(t), 5); err != nil {
		t.Fatal(err)
	}
	none := func(eventlog.Entry) error { return errors.New("an entry") }
	if err := l.Tail(within(t), 4, none); !errors.Is(err, eventlog.ErrTruncated) {
		t.Errorf("Tail from 4 of a log from 5: %v, want %v", err, eventlog.ErrTruncated)
	}
	if got := ids(read(t, l, 5, 10)); !slices.Equal(got, []int64{4, 5, 6, 7, 8, 9}) {
		t.Errorf("ids from 5: %v", got)
	}
	if err := l.Tail(within(t), 12, none); !errors.Is(err, eventlog.ErrAhead) {
		t.Errorf("Tail from 12 of a log to 10: %v, want %v", err, eventlog.ErrAhead)
	}
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	if err := l.Tail(ctx, 11, none); !errors.Is(err, context.Canceled) && !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("Tail with an ended context: %v", err)
	}
	mine := errors.New("mine")
	if err := l.Tail(within(t), 6, func(eventlog.Entry) error { return mine }); err != mine {
		t.Errorf("Tail = %v, want fn's error", err)
	}
}

// TestTailFallsBehind trims the log under a slow reader.
func TestTailFallsBehind(t *testing.T) {
	l := open(t, eventlog.Config{Durability: eventlog.OS})
	const n = 3000 // more than is on its way to a reader
	for i := range n {
		publish(t, l, rows(i, 1))
	}
	err := l.Tail(within(t), 1, func(e eventlog.Entry) error {
		if e.Seq == 1 {
			return l.Trim(within(t), n)
		}
		return nil
	})
	if !errors.Is(err, eventlog.ErrTruncated) {
		t.Errorf("Tail = %v, want %v", err, eventlog.ErrTruncated)
	}
}

func TestCorruption(t *testing.T) {
	l := open(t, eventlog.Config{})
	for i := range 6 {
		publish(t, l, rows(i, 1))
	}
	js := l.JetStream()
	if _, err := js.Publish(within(t), "lockstep.log.clicks.0", []byte("not a row group")); err != nil {
		t.Fatal(err)
	}
	tail := func(from uint64) (seq uint64) {
		err := l.Tail(within(t), from, func(eventlog.Entry) error { return nil })
		c, ok := errors.AsType[*eventlog.CorruptError](err)
		if !ok || !errors.Is(err, eventlog.ErrCorrupt) {
			t.Fatalf("Tail = %v, want %v", err, eventlog.ErrCorrupt)
		}
		return c.Seq
	}
	if seq := tail(1); seq != 7 {
		t.Errorf("corrupt at %d, want 7", seq)
	}
	s, err := js.Stream(within(t), "LOCKSTEP_LOG")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(within(t), 3); err != nil {
		t.Fatal(err)
	}
	if seq := tail(1); seq != 3 {
		t.Errorf("corrupt at %d, want 3", seq)
	}
}

// TestForeignStream opens logs over streams that do not keep what a log promises.
func TestForeignStream(t *testing.T) {
	l := open(t, eventlog.Config{Listen: "127.0.0.1:0"})
	js := l.JetStream()
	if err := js.DeleteStream(within(t), "LOCKSTEP_LOG"); err != nil {
		t.Fatal(err)
	}
	_, err := js.CreateStream(within(t), jetstream.StreamConfig{Name: "LOCKSTEP_LOG", Subjects: []string{"lockstep.log.>"}, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = eventlog.Open(within(t), eventlog.Config{URL: l.ClientURL()})
	if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "allow_atomic: true") || !strings.Contains(err.Error(), "discard: ") {
		t.Errorf("Open: %v, want %s that names the settings", err, feature.CodeInvalid)
	}
}

// publishForever is the other process of TestKill.
func publishForever(dir string) {
	l, err := eventlog.Open(context.Background(), eventlog.Config{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for i := 0; ; i += 10 {
		n := 10
		if i%500 == 0 {
			n = 10_000 // an atomic batch; its ids are those of no other call
		}
		first := i
		if n > 10 {
			first = 1_000_000 + i*1000
		}
		seq, err := l.Publish(context.Background(), rows(first, n))
		if err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println(first, n, seq)
	}
}

// TestKill kills a process that publishes, without a warning, several times over the same folder: what it had
// acknowledged is there, each call's rows all or none.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	type call struct{ first, n int }
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked := map[call]uint64{}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f := strings.Fields(lines.Text())
			if len(f) != 3 {
				t.Fatalf("the other process says %q", lines.Text())
			}
			first, _ := strconv.Atoi(f[0])
			n, _ := strconv.Atoi(f[1])
			seq, _ := strconv.ParseUint(f[2], 10, 64)
			if acked[call{first, n}] = seq; len(acked) == 130+round {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		l := open(t, eventlog.Config{Dir: dir})
		at := map[int64]uint64{}
		for _, e := range read(t, l, 1, last(t, l)) {
			for _, id := range e.Batch.Column("id").Ints {
				at[id] = e.Seq
			}
		}
		for c, seq := range acked {
			for i := range c.n {
				if at[int64(c.first+i)] == 0 {
					t.Fatalf("round %d: row %d, acknowledged at %d, is not there", round, c.first+i, seq)
				}
			}
		}
		for id := int64(1_000_000); at[id] != 0; id += 500_000 {
			for i := range int64(10_000) {
				if at[id+i] == 0 {
					t.Fatalf("round %d: row %d is there, row %d of the same call is not", round, id, id+i)
				}
			}
		}
		_ = l.Close()
	}
}
