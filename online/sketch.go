package online

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// sketchBits is the logarithm of the number of registers; the error of the estimate is about 1.6 %.
const sketchBits = 12

// sketch estimates how many different hashes it was shown (HyperLogLog, with linear counting while it is
// sparse). It may be used by several goroutines.
type sketch struct {
	registers [1 << sketchBits]atomic.Uint32
}

func (k *sketch) add(hash uint64) {
	r := &k.registers[hash>>(64-sketchBits)]
	rank := uint32(bits.LeadingZeros64(hash<<sketchBits|1<<(sketchBits-1))) + 1
	for {
		old := r.Load()
		if rank <= old || r.CompareAndSwap(old, rank) {
			return
		}
	}
}

func (k *sketch) count() int64 {
	const m = 1 << sketchBits
	sum, zeros := 0.0, 0
	for i := range k.registers {
		r := k.registers[i].Load()
		if r == 0 {
			zeros++
		}
		sum += 1 / float64(uint64(1)<<r)
	}
	estimate := 0.7213 / (1 + 1.079/m) * m * m / sum
	if zeros > 0 && estimate <= 2.5*m {
		estimate = m * math.Log(m/float64(zeros))
	}
	return int64(math.Round(estimate))
}

// bytes returns the registers.
func (k *sketch) bytes() []byte {
	b := make([]byte, len(k.registers))
	for i := range b {
		b[i] = byte(k.registers[i].Load())
	}
	return b
}

// restore sets the registers to what bytes returned.
func (k *sketch) restore(b []byte) {
	for i := range min(len(b), len(k.registers)) {
		k.registers[i].Store(uint32(b[i]))
	}
}
