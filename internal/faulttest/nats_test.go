package faulttest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsServer is a NATS server of its own, which syncs every message.
type natsServer struct {
	t      *testing.T
	dir    string
	port   int
	server *server.Server
}

func startNATS(t *testing.T) *natsServer {
	t.Helper()
	n := &natsServer{t: t, dir: filepath.Join(t.TempDir(), "nats"), port: server.RANDOM_PORT}
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	n.port = n.server.Addr().(*net.TCPAddr).Port
	t.Cleanup(n.stop)
	return n
}

func (n *natsServer) addr() string { return n.server.Addr().String() }

func (n *natsServer) start() (err error) {
	n.server, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: n.port, JetStream: true, StoreDir: n.dir, SyncAlways: true, MaxPayload: 8 << 20, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 40,
	})
	if err != nil {
		return err
	}
	n.server.Start()
	if !n.server.ReadyForConnections(patience) {
		return errors.New("the NATS server is not ready")
	}
	return nil
}

func (n *natsServer) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// save copies the files of the server, which is stopped meanwhile.
func (n *natsServer) save() (saved string) {
	n.t.Helper()
	saved = filepath.Join(n.t.TempDir(), "saved")
	n.stop()
	if err := errors.Join(os.CopyFS(saved, os.DirFS(n.dir)), n.start()); err != nil {
		n.t.Fatal(err)
	}
	return saved
}

// restore starts the server, which was stopped, with files that were saved; "" for none.
func (n *natsServer) restore(saved string) error {
	if err := os.RemoveAll(n.dir); err != nil {
		return err
	}
	if saved != "" {
		if err := os.CopyFS(n.dir, os.DirFS(saved)); err != nil {
			return err
		}
	}
	return n.start()
}

// do connects past Lockstep and does something with JetStream.
func (n *natsServer) do(f func(ctx context.Context, js jetstream.JetStream) error) {
	n.t.Helper()
	conn, err := nats.Connect("nats://" + n.addr())
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := f(n.t.Context(), js); err != nil {
		n.t.Fatal(err)
	}
}
