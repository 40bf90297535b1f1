package killtest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// orders is a source over a table that somebody else keeps in ClickHouse.
const orders = `
---
kind: source
name: orders
columns: {number: int64, account: int64, shop: string, amount: int64, note: string, at: timestamp, gone: bool}
event_time: at
id: [number]
from: {table: shop.orders, cursor: updated_at, overlap: 1h}
---
kind: view
name: orders_each
entity: event
source: orders
history: 3000d
features:
  - {name: amount, latest: amount}
`

// makeOrders makes the table of the source orders.
func (r *round) makeOrders(ctx context.Context) error {
	return r.foreign(ctx, func(conn driver.Conn) error {
		if err := conn.Exec(ctx, "CREATE DATABASE shop"); err != nil {
			return err
		}
		return conn.Exec(ctx, `CREATE TABLE shop.orders (number Int64, account Int64, shop String, amount Nullable(Int64), note String,
			at DateTime64(6, 'UTC'), gone Bool, updated_at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY updated_at`)
	})
}

// order lets somebody else write rows into the table. They are there when it returns.
func (r *round) order(ctx context.Context, rows int) error {
	x := r.book.begin("orders", rows)
	err := r.foreign(ctx, func(conn driver.Conn) error {
		b, err := conn.PrepareBatch(ctx, "INSERT INTO shop.orders")
		if err != nil {
			return err
		}
		now := time.Now().UTC()
		for i := range x.rows {
			w := rowOf(number(x.id, i))
			amount := &w.amount
			if w.null {
				amount = nil
			}
			if err := b.Append(w.number, w.account, w.shop, amount, w.note, w.at, w.gone, now); err != nil {
				return err
			}
		}
		return b.Send()
	})
	if err == nil {
		r.book.ack(x, 0)
	}
	return err
}

// foreign speaks to ClickHouse past Lockstep.
func (r *round) foreign(ctx context.Context, do func(driver.Conn) error) error {
	conn, err := clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{fmt.Sprintf("127.0.0.1:%d", r.stack.httpPort)}})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := do(conn); err != nil {
		return fmt.Errorf("the keeper of the table: %w", err)
	}
	return nil
}

// copied copies what is not copied yet, which must succeed.
func (r *round) copied(ctx context.Context) error {
	if !r.orders {
		return nil
	}
	for begun := time.Now(); ; pause(ctx, 500*time.Millisecond) {
		command, err := r.command("materialize")
		if err != nil {
			return err
		}
		err = ended(ctx, command)
		if err == nil {
			return nil
		}
		if !heldByTheDead(command) || time.Since(begun) > time.Minute {
			return fmt.Errorf("materialize after all: %w", err)
		}
	}
}

// compareOrders checks that every row of the table is visible once.
func (r *round) compareOrders(ctx context.Context, f *found) error {
	if !r.orders {
		return nil
	}
	want := 0
	for _, x := range r.book.batches {
		if x.source == "orders" {
			want += x.rows
			f.tables[x.id] = true
		}
	}
	got, err := r.stack.api().SQL(ctx, `SELECT count(), uniqExact(number) FROM events_orders
		WHERE _gen IN (SELECT generation FROM generations WHERE source = 'orders')`)
	if err != nil {
		return err
	}
	if v := got.Rows[0].Values(); v[0].Int64() != int64(want) || v[1].Int64() != int64(want) {
		return fmt.Errorf("%d rows of the table are visible, %d of them different, want %d", v[0].Int64(), v[1].Int64(), want)
	}
	return nil
}
