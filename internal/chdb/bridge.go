package chdb

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// bridge speaks ClickHouse's HTTP interface for the engine in this process, as far as the driver uses it.
type bridge struct {
	pool *pool
	idle chan struct{} // closed when stop was called and nothing is running any more

	mu       sync.Mutex
	running  int
	stopping bool
}

func newBridge(p *pool) *bridge { return &bridge{pool: p, idle: make(chan struct{})} }

// stop refuses all further requests; idle is closed when the running ones are done.
func (b *bridge) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopping = true
	if b.running == 0 {
		close(b.idle)
	}
}

func (b *bridge) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopping {
		return false
	}
	b.running++
	return true
}

func (b *bridge) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	if b.stopping && b.running == 0 {
		close(b.idle)
	}
}

// ServeHTTP runs one statement.
func (b *bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{w: w}
	if !b.enter() {
		a.fail(refusal(236, "the engine is stopping"))
		return
	}
	defer b.leave()
	if r.URL.Path == "/ping" {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	if err := b.serve(r, a); err != nil {
		a.fail(err)
	}
}

func (b *bridge) serve(r *http.Request, a *answer) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	a.header("X-ClickHouse-Query-Id", q.id)
	a.header("X-ClickHouse-Timezone", b.pool.timezone)
	tables := strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data")
	if !tables && q.query == "" {
		// A statement is read before it waits for its turn: the server notices that a client is gone only after it has
		// read all that the client sent.
		if q.query, err = q.readQuery(q.body); err != nil {
			return err
		}
		q.body = http.NoBody
	}
	if strings.TrimSpace(q.query) == helloQuery {
		return a.whole(hello(b.pool.version, b.pool.timezone))
	}
	c, err := b.pool.acquire(r.Context())
	if err != nil {
		return err
	}
	defer b.pool.release(c)
	if err := c.use(q.database); err != nil {
		return err
	}
	e := &execution{pool: b.pool, conn: c, request: q, answer: a}
	if tables {
		return e.withTables(r)
	}
	return e.withBody(r.Context(), q.body)
}

// execution is one request on one connection.
type execution struct {
	pool    *pool
	conn    *conn
	request *request
	answer  *answer
}

// withTables creates the external tables that come before the query in a multipart body, and runs the query.
func (e *execution) withTables(r *http.Request) error {
	parts, err := r.MultipartReader()
	if err != nil {
		return refusal(210, "read the external tables: %v", err)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return refusal(210, "read the external tables: %v", err)
		}
		if part.FormName() == "query" {
			if e.request.query, err = e.request.readQuery(part); err != nil {
				return err
			}
			continue
		}
		if err := e.table(r.Context(), part.FormName(), part); err != nil {
			return err
		}
	}
	return e.withBody(r.Context(), http.NoBody)
}

func (e *execution) table(ctx context.Context, name string, rows io.Reader) error {
	structure := e.request.url.Get(name + "_structure")
	if structure == "" {
		return refusal(36, "the external table %s has no %s_structure", name, name)
	}
	e.conn.touched = true
	if _, err := e.conn.text("CREATE TEMPORARY TABLE " + identifier(name) + " (" + structure + ")"); err != nil {
		return err
	}
	format := e.request.url.Get(name + "_format")
	if format == "" {
		format = "TabSeparated"
	}
	_, err := e.insert(ctx, statement{sql: "INSERT INTO " + identifier(name), format: format}, rows)
	return err
}

// withBody applies the settings and runs the statement; body holds it, or the rows of an INSERT.
func (e *execution) withBody(ctx context.Context, body io.Reader) error {
	if err := e.conn.set(e.request.settings); err != nil {
		return err
	}
	if e.request.query != "" && isInsert(e.request.query) {
		rows := bufio.NewReader(body)
		if _, err := rows.Peek(1); err == nil {
			sql, format := splitInsert(e.request.query)
			n, err := e.insert(ctx, statement{sql: sql, format: format, params: e.request.params}, rows)
			if err != nil {
				return err
			}
			e.answer.header("X-ClickHouse-Summary", fmt.Sprintf(`{"written_rows":"%d"}`, n))
			return e.answer.whole(nil)
		} else if !errors.Is(err, io.EOF) {
			return refusal(210, "read the rows: %v", err)
		}
	}
	sql, err := e.request.readQuery(body)
	if err != nil {
		return err
	}
	return e.query(ctx, sql)
}

// insert runs an INSERT with its rows; a cancelled one ends.
func (e *execution) insert(ctx context.Context, s statement, rows io.Reader) (uint64, error) {
	mark, done := e.pool.killer.watch(ctx, e.conn)
	defer done()
	s.sql = mark + s.sql
	return e.conn.insert(s, rows)
}

// query runs any statement that is complete in itself.
func (e *execution) query(ctx context.Context, sql string) error {
	if withoutComments(sql) == "" {
		return refusal(62, "Empty query")
	}
	class, count := e.conn.classify(sql)
	if count > 1 {
		return refusal(62, "Multi-statements are not allowed")
	}
	if class >= classControl {
		e.conn.touched = true
	}
	s := statement{sql: sql, format: e.request.format, params: e.request.params}
	reads := class == classRead
	if reads {
		s.sql, s.format = splitFormat(sql, s.format)
	}
	e.answer.header("X-ClickHouse-Format", s.format)
	mark, done := e.pool.killer.watch(ctx, e.conn)
	defer done()
	marked := s
	marked.sql = mark + s.sql
	if reads && !e.request.whole && streamable(s.format) && !isListing(sql) {
		return e.stream(ctx, s, marked)
	}
	return e.plain(s, marked, reads)
}

// plain runs a statement and answers with the whole result.
func (e *execution) plain(s, marked statement, reads bool) error {
	r, err := e.conn.run(marked)
	if err != nil {
		return err
	}
	defer r.destroy()
	if data := r.bytes(); len(data) > 0 || !reads || s.format != "Native" {
		return e.answer.whole(data)
	}
	return e.empty(s)
}

// stream runs a SELECT and answers piece by piece; the engine is held up by a reader that is slow.
func (e *execution) stream(ctx context.Context, s, marked statement) error {
	st, err := e.conn.stream(marked)
	if err != nil {
		return err
	}
	defer st.close()
	join := newJoiner(s.format)
	for first := true; ; first = false {
		r, err := st.next()
		switch {
		case errors.Is(err, io.EOF) && ctx.Err() != nil: // one that is killed before its first row ends like one that has none
			return ctx.Err()
		case errors.Is(err, io.EOF) && first && s.format == "Native":
			st.close()
			return e.empty(s)
		case errors.Is(err, io.EOF):
			return e.answer.write(join.end())
		case err != nil:
			return err
		}
		data, err := join.piece(r.bytes())
		if err == nil {
			err = e.answer.write(data)
		}
		r.destroy()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// empty answers with the columns of a statement that had no rows.
func (e *execution) empty(s statement) error {
	columns, err := e.columns(s)
	if err != nil {
		return err
	}
	return e.answer.whole(emptyBlock(columns))
}

// columns asks for the names and types. A SELECT is described; what cannot be described is run once more, in a format
// that begins with them.
func (e *execution) columns(s statement) ([]column, error) {
	if !isListing(s.sql) {
		described := statement{sql: "DESCRIBE (" + strings.TrimRight(s.sql, "; \t\r\n") + "\n)", format: "RowBinary", params: s.params}
		if r, err := e.conn.run(described); err == nil {
			defer r.destroy()
			return readDescription(r.bytes())
		}
	}
	s.format = "RowBinaryWithNamesAndTypes"
	r, err := e.conn.run(s)
	if err != nil {
		return nil, err
	}
	defer r.destroy()
	return readHeader(r.bytes())
}

// answer is the response to one request.
type answer struct {
	w       http.ResponseWriter
	tag     string
	started bool
}

func (a *answer) header(name, value string) {
	if value != "" {
		a.w.Header().Set(name, value)
	}
}

// whole sends a complete body.
func (a *answer) whole(data []byte) error {
	a.header("Content-Length", strconv.Itoa(len(data)))
	a.started = true
	_, err := a.w.Write(data)
	return err
}

// write sends a piece of a body whose rest may still fail. The tag it announces in the headers is what tells the report
// of such a failure from data.
func (a *answer) write(data []byte) error {
	if !a.started {
		a.tag = rand.Text()[:16]
		a.header("X-ClickHouse-Exception-Tag", a.tag)
		a.started = true
	}
	_, err := a.w.Write(data)
	return err
}

// fail reports an error: with its status and code if nothing was sent, else as ClickHouse does in the middle of a body.
// The body then ends unfinished, so that no reader can take it for a complete one.
func (a *answer) fail(err error) {
	var e *exception
	if !errors.As(err, &e) {
		e = refusal(1002, "%v", err)
	}
	if !a.started {
		a.w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
		a.w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		a.w.WriteHeader(status(e.code))
		_, _ = io.WriteString(a.w, e.text+"\n")
		return
	}
	if a.tag != "" {
		fmt.Fprintf(a.w, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", a.tag, e.text, len(e.text)+1, a.tag)
		// The reader may be gone, which is then the failure.
		_ = http.NewResponseController(a.w).Flush()
	}
	panic(http.ErrAbortHandler)
}

// status is the HTTP status of an exception code, as ClickHouse chooses it where a client may care.
func status(code int) int {
	switch code {
	case 60, 81: // unknown table, unknown database
		return http.StatusNotFound
	case 36, 43, 46, 47, 62, 115, 164:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
