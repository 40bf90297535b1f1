package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Plan says what applying definitions would change, as the registry's JSON.
func (c *Client) Plan(ctx context.Context, req api.RegistryRequest) (json.RawMessage, error) {
	return c.change(ctx, api.PathRegistryPlan, req, true)
}

// Apply applies definitions and says what changed, as the registry's JSON.
func (c *Client) Apply(ctx context.Context, req api.RegistryRequest) (json.RawMessage, error) {
	return c.change(ctx, api.PathRegistryApply, req, false)
}

// Rollback makes the version of a service (NAME) before its newest, or the one named (NAME@VERSION), its newest again,
// as a new version, and says what changed, as the registry's JSON.
func (c *Client) Rollback(ctx context.Context, service string) (json.RawMessage, error) {
	k, err := post(api.PathRollback, api.RollbackRequest{Service: service})
	if err != nil {
		return nil, err
	}
	var out json.RawMessage
	return out, c.json(ctx, k, &out)
}

func (c *Client) change(ctx context.Context, path string, req api.RegistryRequest, repeat bool) (json.RawMessage, error) {
	k, err := post(path, req)
	if err != nil {
		return nil, err
	}
	k.repeat = repeat
	var out json.RawMessage
	return out, c.json(ctx, k, &out)
}

// Definitions describes what is registered: everything, or with a name (NAME, NAME@VERSION or KIND/NAME) that one.
func (c *Client) Definitions(ctx context.Context, name string) ([]api.Definition, error) {
	query := url.Values{}
	if name != "" {
		query.Set("name", name)
	}
	var out api.Definitions
	err := c.get(ctx, api.PathRegistry, query, &out)
	return out.Definitions, err
}

// Schema returns the JSON Schema of definitions, for editors.
func (c *Client) Schema(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.get(ctx, api.PathRegistrySchema, nil, &out)
	return out, err
}

// Entities lists the entities.
func (c *Client) Entities(ctx context.Context) ([]feature.Entity, error) {
	var out api.Entities
	err := c.get(ctx, api.PathEntities, nil, &out)
	return out.Entities, err
}

// Entity describes an entity.
func (c *Client) Entity(ctx context.Context, name string) (*feature.Entity, error) {
	return describe[feature.Entity](ctx, c, api.PathEntity, name)
}

// Sources lists the sources.
func (c *Client) Sources(ctx context.Context) ([]feature.Source, error) {
	var out api.Sources
	err := c.get(ctx, api.PathSources, nil, &out)
	return out.Sources, err
}

// Source describes a source.
func (c *Client) Source(ctx context.Context, name string) (*feature.Source, error) {
	return describe[feature.Source](ctx, c, api.PathSource, name)
}

// Views lists the live versions of the views.
func (c *Client) Views(ctx context.Context) ([]api.View, error) {
	var out api.Views
	err := c.get(ctx, api.PathViews, nil, &out)
	return out.Views, err
}

// View describes a view, NAME or NAME@VERSION.
func (c *Client) View(ctx context.Context, name string) (*api.View, error) {
	return describe[api.View](ctx, c, api.PathView, name)
}

// Services lists the newest version of every service.
func (c *Client) Services(ctx context.Context) ([]api.Service, error) {
	var out api.Services
	err := c.get(ctx, api.PathServices, nil, &out)
	return out.Services, err
}

// Service describes a service, NAME or NAME@VERSION.
func (c *Client) Service(ctx context.Context, name string) (*api.Service, error) {
	return describe[api.Service](ctx, c, api.PathService, name)
}

// ServiceVersions lists the live versions of a service.
func (c *Client) ServiceVersions(ctx context.Context, name string) ([]api.Service, error) {
	var out api.Services
	err := c.get(ctx, api.Fill(api.PathServiceVersions, name), nil, &out)
	return out.Services, err
}

func describe[T any](ctx context.Context, c *Client, path, name string) (*T, error) {
	out := new(T)
	if err := c.get(ctx, api.Fill(path, name), nil, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Ready returns nil when the server answers reads, else feature.ErrUnavailable.
func (c *Client) Ready(ctx context.Context) error {
	var out api.Health
	return c.get(ctx, api.PathReady, nil, &out)
}

// Status says how the server is.
func (c *Client) Status(ctx context.Context) (*api.Status, error) {
	out := new(api.Status)
	if err := c.get(ctx, api.PathStatus, nil, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Materialize moves what ClickHouse has to the replicas and returns when they have it. progress may be nil.
func (c *Client) Materialize(ctx context.Context, req api.MaterializeRequest, progress func(api.Progress)) (*api.MaterializeResult, error) {
	k, err := post(api.PathMaterialize, req)
	if err != nil {
		return nil, err
	}
	return lines[api.MaterializeResult](ctx, c, k, progress)
}

// Verify compares both paths (rule C6). Values that differ are in the result, whose Problem says so; they are
// no error. progress may be nil.
func (c *Client) Verify(ctx context.Context, req api.VerifyRequest, progress func(api.Progress)) (*api.VerifyResult, error) {
	k, err := post(api.PathVerify, req)
	if err != nil {
		return nil, err
	}
	return lines[api.VerifyResult](ctx, c, k, progress)
}

// Table is the result of a query.
type Table struct {
	Fields []feature.Field
	Rows   []Row
}

// SQL looks into the offline store, where the server allows it. The whole result is held in memory.
func (c *Client) SQL(ctx context.Context, query string) (*Table, error) {
	k, err := post(api.PathSQL, api.SQLRequest{Query: query})
	if err != nil {
		return nil, err
	}
	var answer api.SQLResponse
	if err := c.json(ctx, k, &answer); err != nil {
		return nil, err
	}
	shared := newColumns(answer.Columns)
	t := &Table{Fields: answer.Columns, Rows: make([]Row, len(answer.Rows))}
	for i, raw := range answer.Rows {
		if len(raw) != len(t.Fields) {
			return nil, fmt.Errorf("read the answer: row %d has %d values for %d columns", i, len(raw), len(t.Fields))
		}
		t.Rows[i] = Row{shared, make([]feature.Value, len(raw))}
		for j := range raw {
			if t.Rows[i].values[j], err = parseValue(raw[j], t.Fields[j].Type); err != nil {
				return nil, fmt.Errorf("read the answer: row %d, %s: %w", i, t.Fields[j].Name, err)
			}
		}
	}
	return t, nil
}

// Audit lists the newest entries of the server's audit trail that q selects, oldest first.
func (c *Client) Audit(ctx context.Context, q api.AuditQuery) ([]api.AuditEntry, error) {
	query := url.Values{}
	for name, value := range map[string]string{"action": q.Action, "who": q.Who} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if !q.Since.IsZero() {
		query.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if q.Limit != 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	var out api.Audit
	err := c.get(ctx, api.PathAudit, query, &out)
	return out.Entries, err
}
