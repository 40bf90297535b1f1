package killtest_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/registry"
)

// definitions are two sources of the same columns, of which one has an id, views with a short and a long history, a view of
// each source whose keys are its rows, and a service.
const definitions = `
kind: entity
name: account
key: [{name: account, type: int64}]
---
kind: entity
name: shop
key: [{name: shop, type: string}]
---
kind: entity
name: event
key: [{name: number, type: int64}]
---
kind: source
name: payments
columns: {number: int64, account: int64, shop: string, amount: int64, note: string, at: timestamp, gone: bool}
event_time: at
---
kind: source
name: refunds
columns: {number: int64, account: int64, shop: string, amount: int64, note: string, at: timestamp, gone: bool}
event_time: at
tiebreak: number
deleted: gone
id: [number]
---
kind: view
name: account_recent
entity: account
source: payments
history: 40d
features:
  - {name: number, latest: number, ttl: 20d}
  - {name: amount, latest: amount}
---
kind: view
name: account_ever
entity: account
source: payments
history: 3000d
features:
  - {name: number, latest: number}
---
kind: view
name: shop_recent
entity: shop
source: refunds
history: 40d
features:
  - {name: number, latest: number}
  - {name: note, latest: note, default: none}
---
kind: view
name: payments_each
entity: event
source: payments
history: 3000d
features:
  - {name: amount, latest: amount}
---
kind: view
name: refunds_each
entity: event
source: refunds
history: 3000d
features:
  - {name: amount, latest: amount}
---
kind: service
name: everything
features: [account_recent, account_ever, shop_recent]
`

const (
	months   = 60 // that the rows of a batch span; each is a partition of an event table
	accounts = 48
	shops    = 24

	batchShift = 20 // a row's number is its batch's id, shifted, plus its place in the batch
	largeEvery = 12 // every so manieth batch has rows so long that it takes several messages of the log
)

// sources are the names of the sources that producers send to.
func sources() []string { return []string{"payments", "refunds"} }

func catalog() (*feature.Catalog, error) {
	defs, err := registry.Parse(map[string][]byte{"kill.yaml": []byte(definitions)})
	if err != nil {
		return nil, err
	}
	return registry.Resolve(defs)
}

// row is an event. It is a function of its number alone, so that what comes back can be checked by itself.
type row struct {
	number  int64
	account int64
	shop    string
	amount  int64
	null    bool // the amount
	note    string
	at      time.Time
	gone    bool
}

func number(batch int64, place int) int64 { return batch<<batchShift + int64(place) }

func batchOf(number int64) int64 { return number >> batchShift }

func isLarge(batch int64) bool { return batch%largeEvery == 0 }

// rowOf returns the row of a number. The rows of a batch are spread over all months; event times are coarse, so that
// some are equal.
func rowOf(number int64) row {
	h := mix(uint64(number))
	place := int(number & (1<<batchShift - 1))
	month := time.Date(2021, time.Month(1+place%months), 1, 0, 0, 0, 0, time.UTC)
	r := row{
		number: number, account: int64(h % accounts), shop: fmt.Sprintf("s%02d", h/accounts%shops),
		amount: int64(h >> 40), null: h>>8%8 == 0, note: fmt.Sprintf("%x", h), gone: h>>12%10 == 0,
		at: month.Add(time.Duration(h>>16%336) * 2 * time.Hour),
	}
	if isLarge(batchOf(number)) {
		r.note += strings.Repeat("-", 800)
	}
	return r
}

func (r *row) shopNumber() int64 {
	n, _ := strconv.ParseInt(r.shop[1:], 10, 64)
	return n
}

// mix spreads the bits of x (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// json returns the row as a producer sends it.
func (r *row) json() json.RawMessage {
	amount := "null"
	if !r.null {
		amount = fmt.Sprint(r.amount)
	}
	return fmt.Appendf(nil, `{"number":%d,"account":%d,"shop":%q,"amount":%s,"note":%q,"at":%q,"gone":%t}`,
		r.number, r.account, r.shop, amount, r.note, r.at.Format(time.RFC3339), r.gone)
}

// csvHead names the columns of csv.
const csvHead = "number,account,shop,amount,note,at,gone\n"

func (r *row) csv() string {
	amount := ""
	if !r.null {
		amount = fmt.Sprint(r.amount)
	}
	return fmt.Sprintf("%d,%d,%s,%s,%s,%s,%t\n", r.number, r.account, r.shop, amount, r.note, r.at.Format(time.RFC3339), r.gone)
}

// values returns the row in the order of the sources' columns.
func (r *row) values() []feature.Value {
	amount := feature.Int64Value(r.amount)
	if r.null {
		amount = feature.Value{}
	}
	return []feature.Value{
		feature.Int64Value(r.number), feature.Int64Value(r.account), feature.StringValue(r.shop), amount,
		feature.StringValue(r.note), feature.TimestampValue(feature.Time(r.at.UnixMicro())), feature.BoolValue(r.gone),
	}
}
