package expr_test

import (
	"testing"

	"github.com/lockstepfs/lockstep/internal/chtest"
)

func TestMain(m *testing.M) { chtest.Main(m) }
