package chdb_test

import (
	"testing"

	"github.com/lockstepfs/lockstep/internal/chtest"
)

func TestMain(m *testing.M) { chtest.Main(m) }

func TestVersion(t *testing.T) {
	conn := chtest.Conn(t, chtest.Engine(t))
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatalf("Ping: %v", err)
	}
	version, err := conn.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if version.Version.Major != 26 || version.Timezone.String() != "UTC" {
		t.Errorf("ServerVersion() = %s, want version 26 in UTC", version)
	}
}
