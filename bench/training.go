package main

import (
	"context"
)

// training is measured by BenchmarkTraining of package offline, beside the hand-written query in the same run.
func (l *lab) training(context.Context, int, int) error { return nil }
