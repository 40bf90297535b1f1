package rowfile_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

// A CSV file is read with the types that a source declares and written as JSON lines.
func Example() {
	in := strings.NewReader("origin,delay,known_at\nJFK,12,2001-06-25 11:58:00\nLAX,,2001-06-25 12:03:00\n")
	r, err := rowfile.NewReader("flights.csv", in, rowfile.CSV, map[string]feature.Type{"delay": feature.Int64, "known_at": feature.Timestamp})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	w, err := rowfile.NewWriter(os.Stdout, rowfile.JSONL, r.Fields(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		batch, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = w.Write(batch)
		}
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"origin":"JFK","delay":12,"known_at":"2001-06-25T11:58:00Z"}
	// {"origin":"LAX","delay":null,"known_at":"2001-06-25T12:03:00Z"}
}
