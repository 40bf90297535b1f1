package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// historical answers POST /v1/features/historical.
func (s *Server) historical(c *gin.Context) error {
	if s.cfg.Trainer == nil {
		return absent("make training sets")
	}
	media, err := mediaType(c)
	if err != nil {
		return err
	}
	w, err := s.streamWriter(c)
	if err != nil {
		return err
	}
	if err := s.chargeTable(c, tableCost); err != nil {
		return err
	}
	var t *Training
	if media == api.MediaJSON || media == "" {
		t, err = s.trainingFromJSON(c)
	} else {
		t, err = s.trainingFromFile(c)
	}
	if err != nil {
		return err
	}
	if t.Spine.File != "" {
		defer os.Remove(t.Spine.File)
	}
	service := ""
	if t.Plan.Service.Name != "" {
		service = t.Plan.Service.String()
	}
	if err := s.begin(c, service, trainingDetails(t)); err != nil {
		return err
	}
	set, err := s.cfg.Trainer.Train(c.Request.Context(), t)
	if err != nil {
		return err
	}
	if err := trainingHeader(c, t.Format, set); err != nil {
		return err
	}
	if err := set.Write(w); err != nil {
		return s.abort(w, err, api.HeaderMeta, api.HeaderFields, "Content-Disposition")
	}
	w.end()
	return nil
}

// trainingDetails is what the audit trail says of a training set: it takes data out.
func trainingDetails(t *Training) map[string]string {
	var views []string
	for _, it := range t.Plan.Items {
		views = append(views, it.View.Ref().String())
	}
	return map[string]string{"views": list(views), "format": t.Format, "spine_sql": t.Spine.SQL, "keys_all": t.Spine.KeysAll}
}

func trainingHeader(c *gin.Context, format string, set *TrainingSet) error {
	meta, err := json.Marshal(set.Meta)
	if err != nil {
		return fmt.Errorf("encode the metadata: %w", err)
	}
	c.Header(api.HeaderMeta, string(meta))
	if format == "jsonl" {
		fields, err := json.Marshal(set.Fields)
		if err != nil {
			return fmt.Errorf("encode the fields: %w", err)
		}
		c.Header(api.HeaderFields, string(fields))
	}
	c.Header("Content-Type", api.MediaOf(format))
	c.Header("Content-Disposition", `attachment; filename="training.`+format+`"`)
	return nil
}

// trainingFromJSON reads an api.TrainingRequest. The caller removes the spine's file.
func (s *Server) trainingFromJSON(c *gin.Context) (*Training, error) {
	body, err := s.readJSON(c)
	if err != nil {
		return nil, err
	}
	if c.Request.URL.RawQuery != "" {
		return nil, feature.Errorf(feature.CodeInvalid, "query parameters go with a file as the body; in a JSON body give the same names as fields")
	}
	var req api.TrainingRequest
	if err := decode(body, &req); err != nil {
		return nil, err
	}
	t, err := s.training(&req)
	if err != nil {
		return nil, err
	}
	return t, s.spine(&req, t)
}

// spine fills in t.Spine.
func (s *Server) spine(req *api.TrainingRequest, t *Training) error {
	inline := len(req.Spine) > 0 && string(req.Spine) != "null"
	given := 0
	for _, has := range []bool{inline, req.SpineSQL != "", req.KeysAll != ""} {
		if has {
			given++
		}
	}
	if given != 1 {
		return feature.Errorf(feature.CodeInvalid, "give exactly one of spine, spine_sql and keys_all, or send a file as the body")
	}
	if req.At != "" && req.KeysAll == "" {
		return feature.Errorf(feature.CodeInvalid, "field at: only with keys_all; the rows of a spine have their own times")
	}
	switch {
	case req.SpineSQL != "" && !s.cfg.AllowSQL:
		return feature.Errorf(api.CodeForbidden, "spine_sql is not allowed by this server: set allow_sql there, or send the spine's rows")
	case req.SpineSQL != "":
		t.Spine = Spine{SQL: req.SpineSQL}
		return nil
	case req.KeysAll != "":
		return s.keysAll(req, t)
	}
	lines, err := spineLines(req.Spine, s.cfg.Limits.Rows)
	if err != nil {
		return err
	}
	u := &upload{}
	if err := s.save(bytes.NewReader(lines), u); err != nil {
		return err
	}
	t.Spine = Spine{File: u.path, Format: "jsonl"}
	return nil
}

func (s *Server) keysAll(req *api.TrainingRequest, t *Training) error {
	e := s.cfg.Catalog().Entity(req.KeysAll)
	if e == nil {
		return notFound("entity", req.KeysAll, entityNames(s.cfg.Catalog()))
	}
	at, err := feature.TimeOf(s.cfg.Now())
	if req.At != "" {
		at, err = feature.ParseTime(req.At)
	}
	if err != nil {
		return feature.Errorf(feature.CodeInvalid, "field at: %w", err)
	}
	t.Spine = Spine{KeysAll: e.Name, At: at}
	return nil
}

// training checks everything of the request but the spine.
func (s *Server) training(req *api.TrainingRequest) (*Training, error) {
	p, err := s.plans.plan(s.cfg.Catalog(), req.Service, req.Features)
	if err != nil {
		return nil, err
	}
	t := &Training{Plan: p.plan, Time: req.Time, Keys: req.Keys, Format: req.Format}
	if t.Format == "" {
		t.Format = "parquet"
	}
	if t.Format, err = checkFormat("format", t.Format); err != nil {
		return nil, err
	}
	if t.Clock, err = feature.ParseClock(req.Clock); err != nil {
		return nil, err
	}
	if req.Cut != "" {
		cut, err := feature.ParseCut(req.Cut)
		if err != nil {
			return nil, err
		}
		t.Cut = &cut
	}
	var known []string
	for _, k := range t.Plan.Keys {
		known = append(known, k.Name)
	}
	for key, column := range t.Keys {
		switch {
		case feature.FieldIndex(t.Plan.Keys, key) < 0:
			return nil, unknownName("key in keys", key, known)
		case column == "":
			return nil, feature.Errorf(feature.CodeInvalid, "field keys: key %q has no column", key)
		}
	}
	return t, nil
}

// spineLines returns an inline spine as JSON lines.
func spineLines(raw json.RawMessage, limit int) ([]byte, error) {
	switch {
	case raw[0] == '{':
		return tableLines(raw, limit)
	case raw[0] != '[':
		return nil, feature.Errorf(feature.CodeInvalid, "field spine: expected an object with columns and rows, or an array of objects, got %s", kindOf(raw))
	}
	var out bytes.Buffer
	sc, row := &scanner{data: raw}, 0
	err := sc.array(func() error {
		if row == limit {
			return tooManyRows(limit)
		}
		one, err := sc.span()
		if err != nil {
			return err
		}
		if one[0] != '{' {
			return spineError(row, "expected an object, got %s", kindOf(one))
		}
		if err := json.Compact(&out, one); err != nil {
			return err
		}
		out.WriteByte('\n')
		row++
		return nil
	})
	if err == nil && row == 0 {
		err = feature.Errorf(feature.CodeInvalid, "field spine: it has no rows")
	}
	return out.Bytes(), invalid(err)
}

func spineError(row int, format string, args ...any) error {
	err := feature.Errorf(feature.CodeInvalid, "the spine cannot be taken")
	err.Details = []feature.Detail{{Row: &row, Message: fmt.Sprintf(format, args...)}}
	return err
}

func tableLines(raw json.RawMessage, limit int) ([]byte, error) {
	var t api.SpineTable
	if err := decode(raw, &t); err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "field spine: %w", err)
	}
	if len(t.Rows) == 0 || len(t.Columns) == 0 {
		return nil, feature.Errorf(feature.CodeInvalid, "field spine: it needs columns and rows")
	}
	if len(t.Rows) > limit {
		return nil, tooManyRows(limit)
	}
	var seen names
	quoted := make([][]byte, len(t.Columns))
	for i, name := range t.Columns {
		if !seen.add([]byte(name)) {
			return nil, feature.Errorf(feature.CodeInvalid, "field spine: the column %q comes twice", name)
		}
		quoted[i] = append(feature.StringValue(name).AppendJSON(nil), ':')
	}
	var out bytes.Buffer
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return nil, spineError(i, "expected %d values, one for each column, got %d", len(t.Columns), len(row))
		}
		for j, v := range row {
			out.WriteByte("{,"[min(j, 1)])
			out.Write(quoted[j])
			if err := json.Compact(&out, v); err != nil {
				return nil, spineError(i, "%v", err)
			}
		}
		out.WriteString("}\n")
	}
	return out.Bytes(), nil
}

// trainingFromFile reads a request whose body is the spine. The caller removes the spine's file.
func (s *Server) trainingFromFile(c *gin.Context) (*Training, error) {
	req := api.TrainingRequest{
		Service: c.Query("service"), Time: c.Query("time"), Clock: c.Query("clock"), Cut: c.Query("cut"), Format: c.Query("format"), Keys: map[string]string{},
	}
	for _, list := range c.QueryArray("features") {
		req.Features = append(req.Features, strings.Split(list, ",")...)
	}
	for _, pair := range c.QueryArray("keys") {
		key, column, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, feature.Errorf(feature.CodeInvalid, "parameter keys is %q: expected KEY=COLUMN", pair)
		}
		req.Keys[key] = column
	}
	t, err := s.training(&req)
	if err != nil {
		return nil, err
	}
	u, err := s.spool(c)
	if err != nil {
		return nil, err
	}
	t.Spine.File = u.path
	t.Spine.Format, err = u.formatOr("spine_format", c.Query("spine_format"))
	if err != nil {
		u.remove()
	}
	return t, err
}

// formatOr returns the format that the parameter names, else the one found out.
func (u *upload) formatOr(parameter, named string) (string, error) {
	switch {
	case named != "":
		return checkFormat(parameter, named)
	case u.format != "":
		return u.format, nil
	default:
		return "", feature.Errorf(feature.CodeInvalid, "cannot tell the file's format: give %s, or the content type", parameter)
	}
}
