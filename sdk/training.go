package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// TrainingRequest asks for a training set. Exactly one of Rows, File, SQL and KeysAll says what the spine is, whose columns
// are also the inputs of on-demand features.
type TrainingRequest struct {
	Service  string   // NAME or NAME@VERSION; either this or Features
	Features []string // VIEW.FEATURE names

	Rows       []map[string]any // a small spine in the request; times as time.Time or RFC 3339
	File       io.Reader        // a spine as a file, which is read once
	FileFormat string           // of File: parquet, arrow, feather, csv or jsonl
	SQL        string           // a query; only where the server allows SQL
	KeysAll    string           // an entity: every key of it
	At         time.Time        // with KeysAll the instant of every row; the zero Time for now

	Time   string            // the spine's time column; "" for the only one of event_timestamp, ts and time
	Keys   map[string]string // for a key name the spine column that holds it, where they differ
	Clock  feature.Clock
	Cut    string // SEQ or LOG:SEQ of a set's metadata makes the same set again (rule G2); "" for all that the history holds
	Format string // of TrainingFile: parquet (the default), arrow, feather, csv or jsonl
}

// Training makes a training set and yields its rows in the order of the spine, the spine's columns first. It
// yields an error at most once, last; rows before it are good, but not all.
func (c *Client) Training(ctx context.Context, req TrainingRequest) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		req.Format = "jsonl"
		resp, err := c.training(ctx, req)
		if err != nil {
			yield(Row{}, err)
			return
		}
		defer resp.Body.Close()
		var fields []feature.Field
		if err := json.Unmarshal([]byte(resp.Header.Get(api.HeaderFields)), &fields); err != nil {
			yield(Row{}, fmt.Errorf("read the header %s: %w", api.HeaderFields, err))
			return
		}
		shared, r := newColumns(fields), bufio.NewReaderSize(resp.Body, 64<<10)
		for {
			line, err := r.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Row{}, cutOff(ctx, err))
				return
			}
			row, err := parseRow(line, shared)
			if err != nil {
				yield(Row{}, fmt.Errorf("read the training set: %w", err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

func parseRow(line []byte, shared *columns) (Row, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(line, &object); err != nil {
		return Row{}, err
	}
	row := Row{shared, make([]feature.Value, len(shared.fields))}
	for i, f := range shared.fields {
		v, err := parseValue(object[f.Name], f.Type)
		if err != nil {
			return Row{}, fmt.Errorf("column %s: %w", f.Name, err)
		}
		row.values[i] = v
	}
	return row, nil
}

// TrainingFile makes a training set and writes it to w as a file of req.Format. It returns the metadata that
// says what the set was made from (rule G2). After an error w holds a part of a file: drop it.
func (c *Client) TrainingFile(ctx context.Context, req TrainingRequest, w io.Writer) (meta map[string]string, err error) {
	resp, err := c.training(ctx, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := json.Unmarshal([]byte(resp.Header.Get(api.HeaderMeta)), &meta); err != nil {
		return nil, fmt.Errorf("read the header %s: %w", api.HeaderMeta, err)
	}
	into := &sink{w: w}
	if _, err := io.Copy(into, resp.Body); err != nil {
		if into.err != nil {
			return nil, fmt.Errorf("write the training set: %w", into.err)
		}
		return nil, cutOff(ctx, err)
	}
	return meta, nil
}

// sink remembers that it was the writer that failed, not the reader.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// cutOff is the error for a stream without an end.
func cutOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return feature.Errorf(feature.CodeUnavailable, "the answer was cut off, the server's log says why: %w", err)
}

func (c *Client) training(ctx context.Context, req TrainingRequest) (*http.Response, error) {
	if req.File != nil {
		if req.Rows != nil || req.SQL != "" || req.KeysAll != "" {
			return nil, feature.Errorf(feature.CodeInvalid, "name one spine: rows, a file, SQL or all keys")
		}
		return c.trainingUpload(ctx, req)
	}
	body := api.TrainingRequest{
		Service: req.Service, Features: req.Features, SpineSQL: req.SQL, KeysAll: req.KeysAll,
		Time: req.Time, Keys: req.Keys, Clock: req.Clock.String(), Cut: req.Cut, Format: req.Format,
	}
	if !req.At.IsZero() {
		body.At = req.At.UTC().Format(time.RFC3339Nano)
	}
	if req.Rows != nil {
		rows, err := json.Marshal(req.Rows)
		if err != nil {
			return nil, feature.Errorf(feature.CodeInvalid, "encode the spine: %w", err)
		}
		body.Spine = rows
	}
	k, err := post(api.PathHistorical, body)
	if err != nil {
		return nil, err
	}
	k.repeat = true
	return c.do(ctx, k)
}

func (c *Client) trainingUpload(ctx context.Context, req TrainingRequest) (*http.Response, error) {
	query := url.Values{"clock": {req.Clock.String()}}
	for name, value := range map[string]string{"service": req.Service, "time": req.Time, "cut": req.Cut, "format": req.Format, "spine_format": req.FileFormat} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for _, f := range req.Features {
		query.Add("features", f)
	}
	for key, column := range req.Keys {
		query.Add("keys", key+"="+column)
	}
	return c.do(ctx, call{method: http.MethodPost, path: api.PathHistorical, query: query, media: api.MediaOctets, stream: req.File})
}
