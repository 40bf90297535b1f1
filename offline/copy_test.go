package offline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/offline"
)

// shop is a store and, in another database, the tables of somebody else.
type shop struct {
	t      *testing.T
	store  *offline.Store
	theirs string // database
	exec   func(sql string)
	seq    uint64
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, store: openStore(t)}
	if err := s.store.Follow(t.Context(), "log", 0); err != nil {
		t.Fatal(err)
	}
	engine := chtest.Engine(t)
	s.theirs = chtest.Database(t, engine)
	conn := chtest.Open(t, engine, s.theirs)
	s.exec = func(sql string) {
		t.Helper()
		if err := conn.Exec(context.WithoutCancel(t.Context()), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return s
}

// orders is a source over the table of that name.
func (s *shop) orders(change ...func(*feature.Source)) *feature.Source {
	s.t.Helper()
	src := &feature.Source{
		Name: "orders", EventTime: "at", MaxFuture: feature.Hour, ID: []string{"id"}, Dedup: 7 * feature.Day,
		Columns: []feature.Field{{Name: "id", Type: feature.Int64}, {Name: "at", Type: feature.Timestamp}, {Name: "amount", Type: feature.Float64}},
		From:    &feature.From{Table: s.theirs + ".orders", Cursor: "changed", Overlap: feature.Hour},
	}
	for _, c := range change {
		c(src)
	}
	if err := s.store.Ensure(s.t.Context(), src); err != nil {
		s.t.Fatal(err)
	}
	return src
}

const noon = feature.Time(1_700_000_000_000_000) // 2023-11-14 22:13:20

func (s *shop) copy(src *feature.Source) feature.Copied {
	s.t.Helper()
	did, err := s.store.Copy(s.t.Context(), feature.CopyRequest{Source: src, Arrival: noon + feature.Time(30*feature.Day)}, nil)
	if err != nil {
		s.t.Fatalf("copy: %v", err)
	}
	if did.Generation != 0 {
		s.record(src, did.Generation)
	}
	return did
}

// record is what the sink does when it meets the record of a generation.
func (s *shop) record(src *feature.Source, generation uint64) {
	s.t.Helper()
	s.seq++
	entry := offline.Entry{Seq: s.seq, Taken: noon, Import: &offline.ImportRecord{Source: src.Name, Generation: generation}}
	if err := s.store.Append(s.t.Context(), "log", []offline.Entry{entry}); err != nil {
		s.t.Fatal(err)
	}
}

// rows returns the events that are visible, in order.
func (s *shop) rows(columns string) string {
	s.t.Helper()
	table, err := s.store.Query(s.t.Context(), "SELECT "+columns+" FROM events_orders WHERE _gen IN (SELECT generation FROM generations) ORDER BY ALL", 0)
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, row := range table.Rows {
		var cells []string
		for _, v := range row {
			cells = append(cells, v.String())
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return strings.Join(lines, "\n")
}

func counts(d feature.Copied) string {
	return fmt.Sprintf("read %d rows %d duplicates %d conflicts %d refused %d", d.Read, d.Rows, d.Duplicates, d.Conflicts, d.Refused)
}

func (s *shop) expect(what string, got, want string) {
	s.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s\n%s", what, diff, got)
	}
}

func TestCopyIncrementally(t *testing.T) {
	s := newShop(t)
	s.exec("CREATE TABLE orders (id UInt32, at DateTime('Europe/Berlin'), amount Decimal(9, 2), changed DateTime64(3)) ENGINE = MergeTree ORDER BY changed")
	src := s.orders()
	s.expect("an empty table", counts(s.copy(src)), "read 0 rows 0 duplicates 0 conflicts 0 refused 0")
	insert := func(id int, minute int, amount string) {
		s.exec(fmt.Sprintf("INSERT INTO orders SELECT %d, toDateTime(1700000000 + %d, 'UTC'), %s, toDateTime64(1700000000 + %d, 3, 'UTC')", id, 60*minute, amount, 60*minute))
	}
	insert(1, 0, "1.5")
	insert(2, 60, "2")
	s.expect("the first rows", counts(s.copy(src)), "read 2 rows 2 duplicates 0 conflicts 0 refused 0")
	s.expect("nothing new", counts(s.copy(src)), "read 2 rows 0 duplicates 2 conflicts 0 refused 0")
	insert(3, 90, "3")
	insert(4, 1, "4")   // late, within the overlap of the cursor at minute 60
	insert(5, -1, "5")  // late, not within it
	insert(1, 30, "99") // another row of an id that is known
	s.expect("late rows", counts(s.copy(src)), "read 5 rows 2 duplicates 3 conflicts 1 refused 0")
	all := feature.CopyRequest{Source: src, Arrival: noon + feature.Time(30*feature.Day), Full: true, DryRun: true}
	did, err := s.store.Copy(t.Context(), all, nil)
	if err != nil || did.Generation != 0 || did.First != did.Last || did.First.String() != "2023-11-14T22:12:20Z" {
		t.Errorf("dry run of all rows = %+v, %v, want that of minute -1", did, err)
	}
	s.expect("what all rows would bring", counts(did), "read 6 rows 1 duplicates 5 conflicts 1 refused 0")
	all.DryRun = false
	if did, err = s.store.Copy(t.Context(), all, nil); err != nil {
		t.Fatal(err)
	}
	s.record(src, did.Generation)
	s.expect("all rows", counts(did), "read 6 rows 1 duplicates 5 conflicts 1 refused 0")
	s.expect("after all rows the cursor goes on", counts(s.copy(src)), "read 3 rows 0 duplicates 3 conflicts 1 refused 0")
	s.expect("what is there", s.rows("id, at, amount, _available_at = at"), strings.Join([]string{
		"1 2023-11-14T22:13:20Z 1.5 1", "2 2023-11-14T23:13:20Z 2 1", "3 2023-11-14T23:43:20Z 3 1", "4 2023-11-14T22:14:20Z 4 1",
		"5 2023-11-14T22:12:20Z 5 1",
	}, "\n"))
}

// TestCopyTypes: which columns convert, and what becomes of values that the gate would refuse.
func TestCopyTypes(t *testing.T) {
	s := newShop(t)
	s.exec(`CREATE TABLE orders (
		id UUID, at DateTime64(9, 'America/New_York'), day Nullable(Date), old Date32, second DateTime('Asia/Kolkata'), milli Nullable(DateTime64(3)),
		small Nullable(Int8), big UInt64, price Float32, money Decimal(38, 10), kind Enum8('new' = 1, 'it''s, (old)' = 2), city LowCardinality(Nullable(String)),
		code FixedString(4), ok Nullable(Bool), ip IPv4, tags Array(LowCardinality(String)), marks Array(Float64), times Array(DateTime), pair Array(Float32), wide Int256, no UInt32
	) ENGINE = MergeTree ORDER BY id`)
	src := s.orders(func(src *feature.Source) {
		src.From = &feature.From{Table: src.From.Table}
		src.Columns = []feature.Field{
			{Name: "id", Type: feature.String},
			{Name: "at", Type: feature.Timestamp},
			{Name: "day", Type: feature.Timestamp},
			{Name: "old", Type: feature.Timestamp},
			{Name: "second", Type: feature.Timestamp},
			{Name: "milli", Type: feature.Timestamp},
			{Name: "small", Type: feature.Int64},
			{Name: "big", Type: feature.Int64},
			{Name: "price", Type: feature.Float64},
			{Name: "money", Type: feature.Float64},
			{Name: "kind", Type: feature.String},
			{Name: "city", Type: feature.String},
			{Name: "code", Type: feature.String},
			{Name: "ok", Type: feature.Bool},
			{Name: "ip", Type: feature.String},
			{Name: "tags", Type: feature.ListOf(feature.KindString)},
			{Name: "marks", Type: feature.ListOf(feature.KindFloat64)},
			{Name: "times", Type: feature.ListOf(feature.KindTimestamp)},
			{Name: "pair", Type: feature.Type{Kind: feature.KindFloat64, List: true, Len: 2}},
			{Name: "wide", Type: feature.String},
			{Name: "no", Type: feature.Float64},
		}
	})
	good := map[string]string{
		"id": "toUUID('00000000-0000-0000-0000-%012d')", "at": "toDateTime64('1969-12-31 18:59:59.999999999', 9, 'America/New_York')", "day": "toDate('1970-01-02')", "old": "toDate32('1900-01-01')",
		"second": "toDateTime(1, 'UTC')", "milli": "toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC')", "small": "-1", "big": "9223372036854775807", "price": "-0.0", "money": "1.5",
		"kind": "2", "city": "'Łódź'", "code": "'ab'", "ok": "true", "ip": "'10.0.0.1'", "tags": "['a', '']", "marks": "[-0.0, 1.5]", "times": "[toDateTime(0, 'UTC')]", "pair": "[1, 2]",
		"wide": "'57896044618658097711785492504343953926634992332820282019728792003956564819967'::Int256", "no": "4294967295",
	}
	var rows []string
	var names []string
	insert := func(change map[string]string) {
		names = nil
		var values []string
		for _, f := range src.Columns {
			v, ok := change[f.Name]
			if !ok {
				v = good[f.Name]
			}
			if f.Name == "id" {
				v = fmt.Sprintf(v, len(rows)+1)
			}
			names, values = append(names, f.Name), append(values, v)
		}
		rows = append(rows, "("+strings.Join(values, ", ")+")")
	}
	insert(nil)
	insert(map[string]string{"day": "NULL", "milli": "NULL", "small": "NULL", "price": "nan", "city": "NULL", "ok": "NULL", "tags": "[]", "marks": "[]"})
	for _, bad := range []map[string]string{
		{"big": "9223372036854775808"},
		{"city": "unhex('ff')"},
		{"code": "unhex('c3')"},
		{"marks": "[1, nan]"},
		{"tags": "['ok', unhex('ff')]"},
		{"pair": "[1]"},
		{"at": "toDateTime64('2100-01-01 00:00:00', 9, 'UTC')"},
	} {
		insert(bad)
	}
	s.exec("INSERT INTO orders (" + strings.Join(names, ", ") + ") VALUES " + strings.Join(rows, ", "))
	did := s.copy(src)
	s.expect("the counts", counts(did), "read 9 rows 2 duplicates 0 conflicts 0 refused 7")
	var reasons []string
	for _, e := range did.Examples {
		if !e.New {
			t.Errorf("%s is not new in the first copy", e.Raw)
		}
		reasons = append(reasons, e.Field+": "+e.Reason)
	}
	slices.Sort(reasons)
	s.expect("the reasons", strings.Join(reasons, "\n"), strings.Join([]string{
		"at: the event time is more than 1h after the copy at 2023-12-14T22:13:20Z",
		"big: the number does not fit an int64",
		"city: the text is not valid UTF-8",
		"code: the text is not valid UTF-8",
		"marks: an element of the list: a list has no NULL inside, which NaN and infinities would be",
		"pair: expected 2 elements",
		"tags: an element of the list: the text is not valid UTF-8",
	}, "\n"))
	i := slices.IndexFunc(did.Examples, func(e feature.RefusedRow) bool { return e.Field == "big" })
	s.expect("a refused row", did.Examples[i].Raw, `{"id":"00000000-0000-0000-0000-000000000003","at":"1969-12-31T23:59:59.999999Z","day":"1970-01-02T00:00:00.000000Z","old":"1900-01-01T00:00:00.000000Z",`+
		`"second":"1970-01-01T00:00:01.000000Z","milli":"2299-12-31T23:59:59.999000Z","small":-1,"big":9223372036854775808,"price":-0,"money":1.5,"kind":"it's, (old)","city":"Łódź","code":"ab","ok":true,`+
		`"ip":"10.0.0.1","tags":["a",""],"marks":[-0,1.5],"times":["1970-01-01T00:00:00.000000Z"],"pair":[1,2],"wide":"57896044618658097711785492504343953926634992332820282019728792003956564819967","no":4294967295}`)
	s.expect("what is there", s.rows("id, at, day, old, second, milli, small, big, price, toString(price) AS p, money, kind, city, code, ok, ip, tags, marks, toString(marks) AS m, times, pair, wide, no"), strings.Join([]string{
		`"00000000-0000-0000-0000-000000000001" 1969-12-31T23:59:59.999999Z 1970-01-02T00:00:00Z 1900-01-01T00:00:00Z 1970-01-01T00:00:01Z 2299-12-31T23:59:59.999Z -1 9223372036854775807 0 "0" 1.5 ` +
			`"it's, (old)" "Łódź" "ab" true "10.0.0.1" ["a" ""] [0 1.5] "[0,1.5]" [1970-01-01T00:00:00Z] [1 2] "57896044618658097711785492504343953926634992332820282019728792003956564819967" 4.294967295e+09`,
		`"00000000-0000-0000-0000-000000000002" 1969-12-31T23:59:59.999999Z NULL 1900-01-01T00:00:00Z 1970-01-01T00:00:01Z NULL NULL 9223372036854775807 NULL NULL 1.5 ` +
			`"it's, (old)" NULL "ab" NULL "10.0.0.1" [] [] "[]" [1970-01-01T00:00:00Z] [1 2] "57896044618658097711785492504343953926634992332820282019728792003956564819967" 4.294967295e+09`,
	}, "\n"))
	s.expect("again", counts(s.copy(src)), "read 9 rows 0 duplicates 2 conflicts 0 refused 7")
}

// TestCopyMisfits: what does not convert is said before anything is copied.
func TestCopyMisfits(t *testing.T) {
	s := newShop(t)
	s.exec(`CREATE TABLE orders (id Map(String, Int8), at String, amount Array(Nullable(Float64)), f Float64, u UInt8, s String, t Tuple(Int8), n UInt32, l Array(Array(Int8)), changed String) ENGINE = MergeTree ORDER BY at`)
	field := func(name string, typ feature.Type) feature.Field { return feature.Field{Name: name, Type: typ} }
	src := s.orders(func(src *feature.Source) {
		src.Columns = []feature.Field{
			field("id", feature.Int64), field("at", feature.Timestamp), field("amount", feature.ListOf(feature.KindFloat64)), field("f", feature.Int64), field("u", feature.Bool),
			field("s", feature.Int64), field("t", feature.String), field("n", feature.Timestamp), field("l", feature.ListOf(feature.KindInt64)), field("gone", feature.Int64),
		}
	})
	err := s.store.CheckFrom(t.Context(), src)
	e, ok := errors.AsType[*feature.Error](err)
	if !ok || e.Code != feature.CodeInvalid {
		t.Fatalf("CheckFrom = %v, want a CodeInvalid error", err)
	}
	var got []string
	for _, d := range e.Details {
		got = append(got, d.Field+": "+d.Message)
	}
	s.expect("the misfits", strings.Join(got, "\n"), `from.id: column id does not fit: it is Map(String, Int8), expected what becomes int64
from.at: column at does not fit: it is String, expected what becomes timestamp: use from.sql with parseDateTime64BestEffortOrNull(at, 6, 'UTC') AS at
from.amount: column amount does not fit: it is Array(Nullable(Float64)), expected what becomes list<float64>: use from.sql with arrayMap(e -> assumeNotNull(e), arrayFilter(e -> isNotNull(e), amount)) AS amount
from.f: column f does not fit: it is Float64, expected what becomes int64: use from.sql with toInt64(f) AS f
from.u: column u does not fit: it is UInt8, expected what becomes bool: use from.sql with toBool(u) AS u
from.s: column s does not fit: it is String, expected what becomes int64: use from.sql with toInt64OrNull(s) AS s
from.t: column t does not fit: it is Tuple(Int8), expected what becomes string: use from.sql with toJSONString(t) AS t
from.n: column n does not fit: it is UInt32, expected what becomes timestamp: use from.sql with toDateTime(n, 'UTC') AS n
from.l: column l does not fit: it is Array(Array(Int8)), expected what becomes list<int64>
from.gone: there is no column gone, expected what becomes int64; it has id, at, amount, f, u, s, t, n, l, changed
from.cursor: column changed is String; expected a time or an integer`)
	if _, err := s.store.Copy(t.Context(), feature.CopyRequest{Source: src, Arrival: noon}, nil); err == nil || err.Error() != e.Error() {
		t.Errorf("Copy = %v, want the same error", err)
	}
	// What is advised helps.
	advised := []string{"1 AS id", "[1] AS l", "1 AS gone", "1 AS changed"}
	for _, d := range e.Details {
		if _, advice, ok := strings.Cut(d.Message, "use from.sql with "); ok {
			advised = append(advised, advice)
		}
	}
	src.From = &feature.From{SQL: "SELECT " + strings.Join(advised, ", ") + " FROM " + s.theirs + ".orders", Cursor: "changed"}
	if err := s.store.CheckFrom(t.Context(), src); err != nil {
		t.Errorf("CheckFrom with what was advised: %v", err)
	}
}

func TestCopyFence(t *testing.T) {
	s := newShop(t)
	s.exec("CREATE TABLE orders (id Int64, at DateTime, amount Float64) ENGINE = MergeTree ORDER BY id")
	src := s.orders(func(src *feature.Source) { src.From = &feature.From{} })
	table := s.theirs + ".orders"
	for _, sql := range []string{
		"SELECT * FROM " + table, "SELECT * FROM " + table + ";  ", "WITH o AS (SELECT * FROM " + table + ") SELECT * FROM o UNION ALL SELECT * FROM " + table,
		"SELECT toInt64(number) AS id, now() AS at, 1.5 AS amount, url FROM (SELECT number, 'x' AS url FROM numbers(3))",
		"SELECT 1 AS id, format('{}', toString(now())) AS file, now() AS at, 0. AS amount",
	} {
		src.From.SQL = sql
		if err := s.store.CheckFrom(t.Context(), src); err != nil {
			t.Errorf("CheckFrom of %s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"", "DROP TABLE " + table, "INSERT INTO " + table + " VALUES (1, now(), 1)", "SELECT 1; DROP TABLE " + table, "SELECT * FROM " + table + ") UNION ALL (SELECT 1, now(), 1",
		"SELECT * FROM " + table + ") AS a, (SELECT 1", "SELECT * FROM " + table + ") WHERE id IN (1",
		"SELECT 1 AS id, now() AS at, toFloat64(length(file('/etc/passwd'))) AS amount", "SELECT 1 AS id, now() AS at, 1. AS amount FROM FILE('/etc/passwd', 'LineAsString')",
		"SELECT id, at, amount FROM " + table + " SETTINGS max_threads = 1", "SELECT id, at, amount FROM " + table + " WHERE id IN (SELECT 1 FROM file('/etc/passwd', 'LineAsString') SETTINGS readonly = 0)",
		"SELECT id, at, amount FROM url('http://127.0.0.1:1/', 'CSV', 'id Int64, at DateTime, amount Float64')", "SELECT * FROM remote('127.0.0.1', " + table + ")",
		"SELECT * FROM " + table + " WHERE id IN s3('http://127.0.0.1:1/')", "WITH f AS (SELECT * FROM file('x')) SELECT * FROM " + table, "SELECT * FROM cluster('default', " + table + ")",
		"SELECT * FROM " + table + " INTO OUTFILE '/tmp/x'", "SELECT * FROM executable('x', 'CSV', 'id Int64')",
		"SELECT number AS id, now() AS at, 1. AS amount FROM system.numbers", "SELECT id, at, toFloat64('a' IN System.users) AS amount FROM " + table,
	} {
		src.From.SQL = sql
		if err := s.store.CheckFrom(t.Context(), src); feature.CodeOf(err) != feature.CodeInvalid {
			t.Errorf("CheckFrom of %q = %v, want a CodeInvalid error", sql, err)
		}
	}
}

// TestCopyCursor: where a copy begins, for cursors of each kind.
func TestCopyCursor(t *testing.T) {
	s := newShop(t)
	for _, c := range []struct {
		typ, overlap string
		at           []string // cursors of rows 1, 2, ... that are there before the first copy, then of those after it
		after        []string
		want         string
	}{
		{"DateTime64(9, 'Asia/Tokyo')", "1s", []string{"toDateTime64('2023-11-14 22:13:20.999999999', 9, 'UTC')"}, []string{
			"toDateTime64('2023-11-14 22:13:19.999999000', 9, 'UTC')", "toDateTime64('2023-11-14 22:13:19.999998999', 9, 'UTC')",
		}, "read 2 rows 1 duplicates 1 conflicts 0 refused 0"},
		{"DateTime('Europe/Berlin')", "0", []string{"toDateTime(1700000000)"}, []string{"toDateTime(1700000000)", "toDateTime(1699999999)"}, "read 2 rows 1 duplicates 1 conflicts 0 refused 0"},
		{"Date", "1d", []string{"toDate('2023-11-14')"}, []string{"toDate('2023-11-13')", "toDate('2023-11-12')", "toDate('2023-11-15')"}, "read 3 rows 2 duplicates 1 conflicts 0 refused 0"},
		{"Date32", "0", []string{"toDate32('1950-01-01')"}, []string{"toDate32('1950-01-01')", "toDate32('1949-12-31')"}, "read 2 rows 1 duplicates 1 conflicts 0 refused 0"},
		{"UInt64", "0", []string{"7"}, []string{"7", "6", "18446744073709551615"}, "read 3 rows 1 duplicates 1 conflicts 0 refused 1"},
		{"Nullable(Int16)", "0", []string{"-3", "NULL"}, []string{"-4", "NULL", "0"}, "read 4 rows 1 duplicates 1 conflicts 0 refused 2"},
		// A cursor in the future does not hide what comes after it.
		{"DateTime64(3)", "0", []string{"toDateTime64('2200-01-01 00:00:00', 3)"}, []string{"toDateTime64('2023-12-14 22:13:20', 3)", "toDateTime64('2023-12-14 22:13:19', 3)"}, "read 2 rows 1 duplicates 1 conflicts 0 refused 0"},
	} {
		s.exec("DROP TABLE IF EXISTS orders SYNC")
		s.exec("CREATE TABLE orders (id UInt8, at DateTime, amount Float64, changed " + c.typ + ") ENGINE = MergeTree ORDER BY id")
		overlap, err := feature.ParseSpan(c.overlap)
		if err != nil {
			t.Fatal(err)
		}
		src := s.orders(func(src *feature.Source) {
			src.Name = "orders_" + strings.ToLower(strings.NewReplacer("(", "", ")", "", "'", "", ",", "", " ", "", "/", "").Replace(c.typ))
			src.From.Overlap = overlap
		})
		id := 0
		insert := func(cursors []string) {
			var rows []string
			for _, cursor := range cursors {
				id++
				rows = append(rows, fmt.Sprintf("(%d, 1700000000, 1, %s)", id, cursor))
			}
			s.exec("INSERT INTO orders VALUES " + strings.Join(rows, ", "))
		}
		insert(c.at)
		s.copy(src)
		insert(c.after)
		s.expect(c.typ, counts(s.copy(src)), c.want)
	}
}

// TestCopyInterrupted: a process dies before the rows are all there, and after that before their record is in the log.
func TestCopyInterrupted(t *testing.T) {
	s := newShop(t)
	s.exec("CREATE TABLE orders (id UInt8, at DateTime, amount Float64, changed DateTime) ENGINE = MergeTree ORDER BY id")
	src := s.orders()
	s.exec("INSERT INTO orders VALUES (1, 1700000000, 1, 1700000000)")
	req := feature.CopyRequest{Source: src, Arrival: noon + feature.Time(feature.Day)}
	copied := func() feature.Copied {
		t.Helper()
		did, err := s.store.Copy(t.Context(), req, nil)
		if err != nil {
			t.Fatal(err)
		}
		return did
	}
	recovered := func() []feature.Copied {
		t.Helper()
		whole, err := s.store.RecoverCopies(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		return whole
	}
	first := copied()
	if _, err := s.store.Copy(t.Context(), req, nil); feature.CodeOf(err) != feature.CodeConflict {
		t.Errorf("Copy over one without a record = %v, want a CodeConflict error", err)
	}
	if whole := recovered(); len(whole) != 1 || whole[0].Generation != first.Generation || whole[0].Rows != 1 {
		t.Fatalf("RecoverCopies = %+v, want generation %d", whole, first.Generation)
	}
	s.record(src, first.Generation)
	if whole := recovered(); len(whole) != 0 {
		t.Errorf("RecoverCopies = %+v, want none: all are recorded", whole)
	}
	// As if the process had died between the rows and the end of the second one.
	s.exec("INSERT INTO orders VALUES (2, 1700000060, 2, 1700000060)")
	second := copied()
	if second.Previous != first.Generation {
		t.Errorf("the second copy goes on from %d, want %d", second.Previous, first.Generation)
	}
	if err := s.store.Unfinish(t.Context(), src, second.Generation); err != nil {
		t.Fatal(err)
	}
	if whole := recovered(); len(whole) != 0 {
		t.Errorf("RecoverCopies = %+v, want none: the copy has no end", whole)
	}
	s.expect("after the recovery", s.count(second.Generation), "0")
	s.expect("once more", counts(s.copy(src)), "read 2 rows 1 duplicates 1 conflicts 0 refused 0")
	s.expect("what is there", s.rows("id, amount"), "1 1\n2 2")
	s.expect("what is left", s.tables(), "")
}

// TestCopyFails: a copy whose query fails midway leaves nothing.
func TestCopyFails(t *testing.T) {
	s := newShop(t)
	src := s.orders(func(src *feature.Source) {
		src.From = &feature.From{SQL: "SELECT number AS id, toDateTime(1700000000) AS at, throwIf(number = 70000) + 0.5 AS amount, number AS changed FROM numbers(100000)", Cursor: "changed"}
	})
	if _, err := s.store.Copy(t.Context(), feature.CopyRequest{Source: src, Arrival: noon}, nil); err == nil {
		t.Fatal("Copy succeeded, want the failure of the query")
	}
	s.expect("what is left", s.tables(), "")
	src.From.SQL = strings.ReplaceAll(src.From.SQL, "throwIf(number = 70000) + ", "")
	s.expect("the same, mended", counts(s.copy(src)), "read 100000 rows 100000 duplicates 0 conflicts 0 refused 0")
}

// TestCopyOrigins: a table that is dropped, made anew and widened; another cursor looks at everything again.
func TestCopyOrigins(t *testing.T) {
	s := newShop(t)
	src := s.orders()
	create := "CREATE TABLE orders (id UInt8, at DateTime, amount Float64, changed DateTime) ENGINE = MergeTree ORDER BY id"
	s.exec(create)
	s.exec("INSERT INTO orders VALUES (1, 1700000000, 1, 1700000000)")
	s.copy(src)
	s.exec("DROP TABLE orders SYNC")
	_, err := s.store.Copy(t.Context(), feature.CopyRequest{Source: src, Arrival: noon}, nil)
	if feature.CodeOf(err) != feature.CodeInvalid || !strings.Contains(err.Error(), s.theirs+".orders") {
		t.Errorf("Copy of a table that is gone = %v, want a CodeInvalid error that names it", err)
	}
	s.exec(create)
	s.exec("ALTER TABLE orders ADD COLUMN note Nullable(String), ADD COLUMN seen DateTime DEFAULT at + 60")
	s.exec("INSERT INTO orders (id, at, amount, changed, note) VALUES (2, 1699990000, 2, 1699990000, 'x'), (3, 1700000060, 3, 1700000060, 'y')")
	s.expect("a column that nobody asked for", counts(s.copy(src)), "read 1 rows 1 duplicates 0 conflicts 0 refused 0")
	wider := func(src *feature.Source) {
		src.Columns = append(src.Columns, feature.Field{Name: "note", Type: feature.String}, feature.Field{Name: "seen", Type: feature.Timestamp})
		src.AvailableAt = "seen"
	}
	s.exec("INSERT INTO orders (id, at, amount, changed, note) VALUES (4, 1700000120, 4, 1700000120, 'z')")
	s.expect("a wider source goes on", counts(s.copy(s.orders(wider))), "read 2 rows 1 duplicates 1 conflicts 1 refused 0")
	s.expect("another cursor begins anew", counts(s.copy(s.orders(wider, func(src *feature.Source) { src.From = &feature.From{Table: src.From.Table, Cursor: "at"} }))), "read 3 rows 1 duplicates 2 conflicts 1 refused 0")
	s.expect("what is there", s.rows("id, amount, note, toUnixTimestamp(_available_at) - toUnixTimestamp(at) AS late"), "1 1 NULL 0\n2 2 \"x\" 60\n3 3 NULL 0\n4 4 \"z\" 60")
}

func (s *shop) count(generation uint64) string {
	s.t.Helper()
	table, err := s.store.Query(s.t.Context(), fmt.Sprintf("SELECT count() FROM events_orders WHERE _gen = %d", generation), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return table.Rows[0][0].String()
}

// tables are the staged tables that are left.
func (s *shop) tables() string {
	s.t.Helper()
	names, err := s.store.Staged(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(names, " ")
}
