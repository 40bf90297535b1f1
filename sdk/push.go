package sdk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"reflect"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// PushRequest pushes rows of one source.
type PushRequest struct {
	Source string
	// Rows is a slice or an iter.Seq of anything that encodes as a JSON object with the source's columns:
	// map[string]any, structs with json tags, json.RawMessage.
	Rows    any
	Partial bool // take the good rows and list the refused ones, instead of taking none
	// IdempotencyKey makes a repetition of the push harmless for 10 minutes; "" draws one for this call.
	IdempotencyKey string
}

// Push pushes rows into the log, all or none, and returns when the log has them on disk. Rows is as in
// PushRequest. A refused row is feature.ErrInvalid with a detail for each.
func (c *Client) Push(ctx context.Context, source string, rows any) error {
	_, err := c.PushRows(ctx, PushRequest{Source: source, Rows: rows})
	return err
}

// PushRows is Push with a choice of how.
func (c *Client) PushRows(ctx context.Context, req PushRequest) (*api.PushResponse, error) {
	body, err := encodeRows(req.Rows)
	if err != nil {
		return nil, err
	}
	return c.pushBody(ctx, req, body)
}

func (c *Client) pushBody(ctx context.Context, req PushRequest, body []byte) (*api.PushResponse, error) {
	k := call{
		method: http.MethodPost, path: api.Fill(api.PathEvents, req.Source), query: url.Values{},
		media: api.MediaNDJSON, body: body, key: req.IdempotencyKey, repeat: true,
	}
	if k.key == "" {
		k.key = rand.Text()
	}
	if req.Partial {
		k.query.Set("partial", "true")
	}
	var out api.PushResponse
	if err := c.json(ctx, k, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// encodeRows returns rows as JSON lines.
func encodeRows(rows any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	n := 0
	add := func(row any) error {
		if err := enc.Encode(row); err != nil {
			return feature.Errorf(feature.CodeInvalid, "encode row %d: %w", n, err)
		}
		n++
		return nil
	}
	v := reflect.ValueOf(rows)
	switch {
	case rows == nil:
		return nil, feature.Errorf(feature.CodeInvalid, "no rows are given")
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		for i := range v.Len() {
			if err := add(v.Index(i).Interface()); err != nil {
				return nil, err
			}
		}
	case v.Kind() == reflect.Func && v.Type().CanSeq():
		for row := range v.Seq() {
			if err := add(row.Interface()); err != nil {
				return nil, err
			}
		}
	default:
		return nil, feature.Errorf(feature.CodeInvalid, "rows are a %T: expected a slice or an iter.Seq", rows)
	}
	return out.Bytes(), nil
}

// LinesRequest pushes JSON lines of any number.
type LinesRequest struct {
	Source   string
	Lines    io.Reader              // one row a line; blank lines are left out
	Partial  bool                   // skip refused rows, instead of stopping at the first batch that has one
	Batch    int                    // rows of one push; default 5,000
	Progress func(api.PushResponse) // called after each push with the sums so far; may be nil
}

const (
	defaultBatch = 5000
	batchBytes   = 4 << 20
)

// PushLines pushes JSON lines in batches, one after the other, each all or none unless req.Partial. The
// response has the sums, and of refused rows the line and the place among all rows. When it fails, the response
// says what was taken before.
func (c *Client) PushLines(ctx context.Context, req LinesRequest) (*api.PushResponse, error) {
	if req.Batch <= 0 {
		req.Batch = defaultBatch
	}
	total, done := &api.PushResponse{Refused: []feature.Detail{}}, 0
	for b, err := range batches(req.Lines, req.Batch) {
		if err != nil {
			return total, fmt.Errorf("read the lines: %w", err)
		}
		part, err := c.pushBody(ctx, PushRequest{Source: req.Source, Partial: req.Partial}, b.lines)
		if e, ok := errors.AsType[*feature.Error](err); ok {
			return total, &feature.Error{Code: e.Code, Message: e.Message, Details: b.place(e.Details, done)}
		}
		if err != nil {
			return total, err
		}
		total.Accepted += part.Accepted
		total.Seq = max(total.Seq, part.Seq)
		total.Duplicates += part.Duplicates
		total.Conflicts += part.Conflicts
		total.Refused = append(total.Refused, b.place(part.Refused, done)...)
		total.Differing = append(total.Differing, b.place(part.Differing, done)...)
		done += len(b.at)
		if req.Progress != nil {
			req.Progress(*total)
		}
	}
	return total, nil
}

type batch struct {
	lines []byte
	at    []int // the line, from 1, of each row
}

// place returns the details with their lines, and their rows counted from the first of all rows, of which done
// are before the batch.
func (b batch) place(details []feature.Detail, done int) []feature.Detail {
	for i, d := range details {
		if d.Row != nil && *d.Row < len(b.at) {
			row := *d.Row + done
			details[i].Row, details[i].Line = &row, b.at[*d.Row]
		}
	}
	return details
}

// batches cuts r into batches of whole lines.
func batches(r io.Reader, rows int) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		in, b := bufio.NewReaderSize(r, 256<<10), batch{}
		for number := 1; ; number++ {
			line, err := in.ReadBytes('\n')
			if line = bytes.TrimSpace(line); len(line) > 0 {
				b.lines = append(append(b.lines, line...), '\n')
				b.at = append(b.at, number)
			}
			end := errors.Is(err, io.EOF)
			if err != nil && !end {
				yield(batch{}, err)
				return
			}
			if len(b.at) > 0 && (end || len(b.at) >= rows || len(b.lines) >= batchBytes) {
				if !yield(b, nil) {
					return
				}
				b = batch{}
			}
			if end {
				return
			}
		}
	}
}

// ImportRequest imports a file into the history of a source.
type ImportRequest struct {
	Source  string
	File    io.Reader // read once
	Name    string    // the file's name, for messages; its ending tells the format unless Format does
	Format  string    // parquet, arrow, feather, csv or jsonl
	Replace bool      // in place of everything imported before: views on the source become new versions (rule E2)
}

// Import sends the file and returns when the log records the import. progress may be nil.
func (c *Client) Import(ctx context.Context, req ImportRequest, progress func(api.Progress)) (*api.ImportResult, error) {
	if req.File == nil {
		return nil, feature.Errorf(feature.CodeInvalid, "no file is given")
	}
	query := url.Values{}
	if req.Name != "" {
		query.Set("name", req.Name)
	}
	if req.Format != "" {
		query.Set("format", req.Format)
	}
	if req.Replace {
		query.Set("replace", "true")
	}
	k := call{method: http.MethodPost, path: api.Fill(api.PathImport, req.Source), query: query, media: api.MediaOctets, stream: req.File}
	return lines[api.ImportResult](ctx, c, k, progress)
}
