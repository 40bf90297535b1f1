package chdb_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/internal/chdb"
)

// A process opens the engine, runs it for as long as it lives, and talks to it with the ordinary driver. Its main
// function began with chdb.ChildMain.
func Example() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	engine, err := chdb.Open(chdb.Config{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()

	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{chdb.Addr}, DialContext: engine.DialContext,
	})
	if err != nil {
		log.Fatal(err)
	}
	var sum uint64
	if err := conn.QueryRow(ctx, "SELECT sum(number) FROM numbers(10)").Scan(&sum); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum)
	if err := conn.Close(); err != nil {
		log.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	// Output: 45
}
