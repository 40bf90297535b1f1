package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

func (s *Server) health(c *gin.Context) error {
	writeJSON(c, http.StatusOK, api.Health{Status: "ok"})
	return nil
}

// ready says whether the process answers reads: 503 when it does not, and while it stops, so that load balancers turn
// away; 200 with what is not as it should be when it does.
func (s *Server) ready(c *gin.Context) error {
	if s.draining.Load() {
		return feature.Errorf(feature.CodeUnavailable, "the server is stopping")
	}
	if err := s.cfg.Ready(c.Request.Context()); err != nil {
		return feature.Errorf(feature.CodeUnavailable, "not ready: %w", err)
	}
	h := api.Health{Status: "ok", Degraded: s.cfg.Degraded()}
	if len(h.Degraded) > 0 {
		h.Status = "degraded"
	}
	writeJSON(c, http.StatusOK, h)
	return nil
}

func (s *Server) serveOpenAPI(c *gin.Context) error {
	c.Data(http.StatusOK, api.MediaJSON, s.openAPI)
	return nil
}

func (s *Server) status(c *gin.Context) error {
	if s.cfg.Operator == nil {
		return absent("know its state")
	}
	st, err := s.cfg.Operator.Status(c.Request.Context())
	if err != nil {
		return err
	}
	if st.Stale == nil {
		st.Stale = []string{}
	}
	writeJSON(c, http.StatusOK, st)
	return nil
}

func (s *Server) materialize(c *gin.Context) error {
	if s.cfg.Materializer == nil {
		return absent("materialize")
	}
	body, err := s.readJSON(c)
	if err != nil {
		return err
	}
	var req api.MaterializeRequest
	if err := decode(body, &req); err != nil {
		return err
	}
	catalog := s.cfg.Catalog()
	for _, name := range req.Views {
		ref, err := feature.ParseRef(name)
		if err != nil {
			return err
		}
		if catalog.View(ref.Name, ref.Version) == nil && (ref.Version != 0 || catalog.Source(ref.Name) == nil) {
			known := viewNames(catalog)
			for _, src := range catalog.Sources {
				known = append(known, src.Name)
			}
			return notFound("view or source", name, known)
		}
	}
	err = s.begin(c, list(req.Views), map[string]string{"full": strconv.FormatBool(req.Full), "dry_run": strconv.FormatBool(req.DryRun)})
	if err != nil {
		return err
	}
	return stream(s, c, func(ctx context.Context, progress func(api.Progress)) (*api.MaterializeResult, error) {
		return s.cfg.Materializer.Materialize(ctx, &req, progress)
	})
}

func (s *Server) verify(c *gin.Context) error {
	if s.cfg.Verifier == nil {
		return absent("verify")
	}
	body, err := s.readJSON(c)
	if err != nil {
		return err
	}
	var req api.VerifyRequest
	if err := decode(body, &req); err != nil {
		return err
	}
	p, err := s.reads.plan(s.cfg.Serving(), req.Service, req.Features)
	if err != nil {
		return err
	}
	v := &Verification{Plan: p.plan, Sample: req.Sample}
	if req.Sample < 0 {
		return fieldError("sample", "expected a whole number from 0, got %d", req.Sample)
	}
	for _, at := range req.At {
		t, err := feature.ParseTime(at)
		if err != nil {
			return fieldError("at", "%w", err)
		}
		v.At = append(v.At, t)
	}
	return stream(s, c, func(ctx context.Context, progress func(api.Progress)) (*api.VerifyResult, error) {
		result, err := s.cfg.Verifier.Verify(ctx, v, progress)
		if err == nil && result.Differences == nil {
			result.Differences = []api.Difference{}
		}
		return result, err
	})
}

// sql answers POST /v1/sql. The rows are streamed; an answer that was cut off is not ended.
func (s *Server) sql(c *gin.Context) error {
	if !s.cfg.AllowSQL {
		return feature.Errorf(api.CodeForbidden, "SQL is not allowed by this server: set allow_sql there")
	}
	if s.cfg.Querier == nil {
		return absent("run queries")
	}
	body, err := s.readJSON(c)
	if err != nil {
		return err
	}
	var req api.SQLRequest
	if err := decode(body, &req); err != nil {
		return err
	}
	if strings.TrimSpace(req.Query) == "" {
		return fieldError("query", "missing")
	}
	if req.Format != "" && req.Format != "json" && req.Format != "ndjson" {
		return fieldError("format", "unknown format %q: expected json or ndjson", req.Format)
	}
	w, err := s.streamWriter(c)
	if err != nil {
		return err
	}
	if err := s.chargeTable(c, tableCost); err != nil {
		return err
	}
	if err := s.begin(c, "", map[string]string{"query": req.Query}); err != nil {
		return err
	}
	table, err := s.cfg.Querier.Query(c.Request.Context(), req.Query)
	if err != nil {
		return err
	}
	if req.Format == "ndjson" {
		c.Header("Content-Type", api.MediaNDJSON)
		err = writeLines(&rowWriter{w: w}, table)
	} else {
		c.Header("Content-Type", api.MediaJSON)
		err = writeTable(&rowWriter{w: w}, table)
	}
	if err != nil {
		return s.abort(w, err)
	}
	w.end()
	return nil
}

const flushBytes = 32 << 10

func writeTable(r *rowWriter, t *Table) error {
	r.buf = append(r.buf, `{"columns":[`...)
	for i, f := range t.Fields {
		if i > 0 {
			r.buf = append(r.buf, ',')
		}
		r.buf = append(r.buf, `{"name":`...)
		r.buf = feature.StringValue(f.Name).AppendJSON(r.buf)
		r.buf = fmt.Appendf(r.buf, `,"type":"%s"}`, f.Type)
	}
	r.buf = append(r.buf, `],"rows":[`...)
	first := true
	for b, err := range t.Batches {
		if err != nil {
			return err
		}
		for i := range b.Rows {
			if !first {
				r.buf = append(r.buf, ',')
			}
			first = false
			r.buf = appendRow(append(r.buf, '['), b, i, nil)
			r.buf = append(r.buf, ']')
			if err := r.flush(flushBytes); err != nil {
				return err
			}
		}
	}
	r.buf = append(r.buf, "]}\n"...)
	return r.flush(0)
}

func writeLines(r *rowWriter, t *Table) error {
	names := make([][]byte, len(t.Fields))
	for i, f := range t.Fields {
		names[i] = append(feature.StringValue(f.Name).AppendJSON(nil), ':')
	}
	for b, err := range t.Batches {
		if err != nil {
			return err
		}
		for i := range b.Rows {
			r.buf = appendRow(append(r.buf, '{'), b, i, names)
			r.buf = append(r.buf, "}\n"...)
			if err := r.flush(flushBytes); err != nil {
				return err
			}
		}
	}
	return r.flush(0)
}

// appendRow writes the values of row i with commas between, each behind its name if there are names.
func appendRow(dst []byte, b *feature.Batch, i int, names [][]byte) []byte {
	for k := range b.Columns {
		if k > 0 {
			dst = append(dst, ',')
		}
		if names != nil {
			dst = append(dst, names[k]...)
		}
		dst = b.Columns[k].Value(i).AppendJSON(dst)
	}
	return dst
}
