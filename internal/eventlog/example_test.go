package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

func Example() {
	dir, err := os.MkdirTemp("", "lockstep")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	l, err := eventlog.Open(ctx, eventlog.Config{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	clicks := feature.NewBatch(&feature.Source{Name: "clicks", Columns: []feature.Field{{Name: "user", Type: feature.String}}})
	clicks.Append([]feature.Value{feature.StringValue("ann")})
	clicks.Append([]feature.Value{feature.StringValue("bob")})
	if _, err := l.Publish(ctx, clicks); err != nil {
		log.Fatal(err)
	}
	last, err := l.PublishRecord(ctx, eventlog.Record{Kind: eventlog.RecordImport, Source: "clicks", Generation: 1})
	if err != nil {
		log.Fatal(err)
	}

	done := errors.New("done")
	err = l.Tail(ctx, 1, func(e eventlog.Entry) error {
		switch {
		case e.Batch != nil:
			fmt.Println(e.Seq, e.Batch.Source, e.Batch.Columns[0].Strs)
		case e.Record != nil:
			fmt.Println(e.Seq, e.Record.Kind, e.Record.Source, e.Record.Generation)
		}
		if e.Seq == last {
			return done
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 1 clicks [ann bob]
	// 2 import clicks 1
	// done
}
