package faulttest_test

import (
	"flag"
	"testing"

	"github.com/lockstepfs/lockstep/internal/chdb"
	"github.com/lockstepfs/lockstep/internal/chtest"
)

func TestMain(m *testing.M) {
	chdb.ChildMain()
	diskMain()
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // whatever the processors: these tests wait most of the time
		panic(err)
	}
	chtest.Main(m)
}
