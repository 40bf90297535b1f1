package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// mediaType returns the media type of the request's body without parameters, "" for none given.
func mediaType(c *gin.Context) (string, error) {
	if e := c.GetHeader("Content-Encoding"); e != "" && e != "identity" {
		return "", feature.Errorf(feature.CodeInvalid, "content encoding %q is not supported: send the body as it is", e)
	}
	header := c.GetHeader("Content-Type")
	if header == "" {
		return "", nil
	}
	media, _, err := mime.ParseMediaType(header)
	if err != nil {
		return "", feature.Errorf(feature.CodeInvalid, "content type %q is malformed", header)
	}
	return media, nil
}

func wrongMedia(media string, expected ...string) error {
	return feature.Errorf(feature.CodeInvalid, "content type %s is not supported here: expected %s", media, strings.Join(expected, ", "))
}

// body returns the request's body: it ends with CodeTooLarge after limit bytes, and with CodeInvalid when the
// client stalls or breaks off. Call the function when done reading.
func (s *Server) body(c *gin.Context, limit int64) (io.Reader, func(), error) {
	if c.Request.ContentLength > limit {
		return nil, nil, tooLarge(limit)
	}
	control := http.NewResponseController(c.Writer)
	done := func() { _ = control.SetReadDeadline(time.Time{}) }
	until, _ := c.Request.Context().Deadline()
	return &timedBody{http.MaxBytesReader(c.Writer, c.Request.Body, limit), control, s.cfg.Limits.StallTime, until}, done, nil
}

func tooLarge(limit int64) error {
	return feature.Errorf(feature.CodeTooLarge, "the body is larger than the limit of %d bytes", limit)
}

// timedBody gives every read its own deadline, none later than the request's.
type timedBody struct {
	body    io.Reader
	control *http.ResponseController
	stall   time.Duration
	until   time.Time
}

func (b *timedBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(deadline(b.stall, b.until)) // a writer without deadlines reads without one
	n, err := b.body.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if limit, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return n, tooLarge(limit.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if !time.Now().Before(b.until) {
			return n, feature.Errorf(feature.CodeInvalid, "the body did not arrive in the time that the request has")
		}
		return n, feature.Errorf(feature.CodeInvalid, "the body stopped arriving for %s", b.stall)
	}
	return n, feature.Errorf(feature.CodeInvalid, "the body was cut off: %w", err)
}

// deadline is the time at which to give up waiting for a client: after stall, but not after until.
func deadline(stall time.Duration, until time.Time) time.Time {
	at := time.Now().Add(stall)
	if !until.IsZero() && until.Before(at) {
		return until
	}
	return at
}

// readBody returns the whole body, which must fit the limit for bodies in memory, and charges for it before it is
// there.
func (s *Server) readBody(c *gin.Context) ([]byte, error) {
	r, done, err := s.body(c, s.cfg.Limits.BodyBytes)
	if err != nil {
		return nil, err
	}
	defer done()
	size := c.Request.ContentLength + 1 // one more, so that the end is seen without growing
	if size == 0 {
		size = 4 << 10 // it is not known
	}
	if err := s.charge(c, bodyCost*size); err != nil {
		return nil, err
	}
	b := make([]byte, 0, size)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) < cap(b) {
			continue
		}
		if err := s.charge(c, bodyCost*int64(cap(b))); err != nil {
			return nil, err
		}
		b = slices.Grow(b, cap(b))
	}
}

// readJSON returns the whole body of a request that sends JSON and nothing else.
func (s *Server) readJSON(c *gin.Context) ([]byte, error) {
	media, err := mediaType(c)
	if err != nil {
		return nil, err
	}
	if media != "" && media != api.MediaJSON {
		return nil, wrongMedia(media, api.MediaJSON)
	}
	return s.readBody(c)
}

// decode reads a JSON object into the struct that to points to, strictly: a name that the struct does not
// have, or that comes twice, is an error that names it.
func decode(b []byte, to any) error {
	var known []string
	for f := range reflect.TypeOf(to).Elem().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known = append(known, name)
	}
	sc := scanner{data: b}
	err := sc.object(func(name []byte) error {
		if !slices.Contains(known, string(name)) {
			return unknownName("field", string(name), known)
		}
		return sc.skip()
	})
	if err == nil {
		err = sc.end()
	}
	if err != nil {
		return invalid(err)
	}
	err = json.Unmarshal(b, to)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return feature.Errorf(feature.CodeInvalid, "field %s: expected %s, got %s", wrong.Field, kindWords(wrong.Type), wrong.Value)
	}
	return invalid(err)
}

// invalid gives an error about a text its code.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*feature.Error](err); ok {
		return e
	}
	return feature.Errorf(feature.CodeInvalid, "%w", err)
}

func kindWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "a whole number"
	}
}

// upload is a request body that was spooled to a file.
type upload struct {
	path   string
	name   string // what the client calls it, "" when it does not say
	format string // by content type or name, "" when neither tells
}

func (u *upload) remove() { os.Remove(u.path) }

// spool writes the body, or the one file in a multipart body, to a temporary file. The caller removes it.
func (s *Server) spool(c *gin.Context) (*upload, error) {
	media, err := mediaType(c)
	if err != nil {
		return nil, err
	}
	r, done, err := s.body(c, s.cfg.Limits.UploadBytes)
	if err != nil {
		return nil, err
	}
	defer done()
	u := &upload{format: api.FormatOf(media)}
	if media == api.MediaForm {
		c.Request.Body = io.NopCloser(r)
		return u, s.spoolPart(c, u)
	}
	if u.format == "" && media != "" && media != api.MediaOctets {
		return nil, wrongMedia(media, api.MediaParquet, api.MediaArrow, api.MediaFeather, api.MediaCSV, api.MediaNDJSON, api.MediaOctets, api.MediaForm)
	}
	return u, s.save(r, u)
}

func (s *Server) spoolPart(c *gin.Context, u *upload) error {
	parts, err := c.Request.MultipartReader()
	if err != nil {
		return feature.Errorf(feature.CodeInvalid, "the multipart body is malformed: %w", err)
	}
	part, err := parts.NextPart()
	if err != nil {
		return multipartError(err)
	}
	u.name = part.FileName()
	if media, _, err := mime.ParseMediaType(part.Header.Get("Content-Type")); err == nil {
		u.format = api.FormatOf(media)
	}
	if u.format == "" {
		u.format = formatOfName(u.name)
	}
	if err := s.save(part, u); err != nil {
		return multipartError(err)
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		u.remove()
		if err == nil {
			return feature.Errorf(feature.CodeInvalid, "the multipart body has more than one part: send one file, and everything else in the query")
		}
		return multipartError(err)
	}
	return nil
}

func multipartError(err error) error {
	if errors.Is(err, io.EOF) {
		return feature.Errorf(feature.CodeInvalid, "the multipart body has no file")
	}
	if e, ok := errors.AsType[*feature.Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return err
	}
	return feature.Errorf(feature.CodeInvalid, "the multipart body is malformed: %w", err)
}

func (s *Server) save(r io.Reader, u *upload) error {
	f, err := os.CreateTemp(s.cfg.TempDir, "lockstep-upload-*")
	if err != nil {
		return fmt.Errorf("spool the body: %w", err)
	}
	u.path = f.Name()
	n, err := io.Copy(f, r)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil && n == 0 {
		err = feature.Errorf(feature.CodeInvalid, "the file is empty")
	}
	if err != nil {
		u.remove()
		return fmt.Errorf("spool the body: %w", err)
	}
	return nil
}

// formatOfName returns the format that a file's ending tells, or "".
func formatOfName(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".parquet", ".pq":
		return "parquet"
	case ".csv":
		return "csv"
	case ".jsonl", ".ndjson", ".json":
		return "jsonl"
	case ".arrow", ".arrows":
		return "arrow"
	case ".feather", ".ipc":
		return "feather"
	default:
		return ""
	}
}

// checkFormat returns format when it is one of api.Formats.
func checkFormat(what, format string) (string, error) {
	if !slices.Contains(api.Formats(), format) {
		return "", feature.Errorf(feature.CodeInvalid, "unknown %s %q: expected %s", what, format, strings.Join(api.Formats(), ", "))
	}
	return format, nil
}
