package killtest_test

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/lockstepfs/lockstep/internal/chtest"
)

func TestMain(m *testing.M) {
	natsMain()
	chtest.Main(m)
}

// natsEnv is set, to PORT DIR, in the environment of the process that is to be a NATS server.
const natsEnv = "LOCKSTEP_KILL_NATS"

// natsMain turns the process into a NATS server that syncs every message if it was started to be one.
func natsMain() {
	text := os.Getenv(natsEnv)
	if text == "" {
		return
	}
	if err := runNATS(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runNATS(text string) error {
	var port int
	var dir string
	if _, err := fmt.Sscanf(text, "%d %s", &port, &dir); err != nil {
		return fmt.Errorf("read %s=%q: %w", natsEnv, text, err)
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, SyncAlways: true, MaxPayload: 8 << 20, NoSigs: true,
		JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 1 << 50,
	})
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("the NATS server at port %d is not ready", port)
	}
	stop := make(chan os.Signal, 1) // one is enough
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func natsSetting(port int, dir string) string { return natsEnv + "=" + strconv.Itoa(port) + " " + dir }
