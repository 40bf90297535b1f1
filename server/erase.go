package server

import (
	"context"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// maxErased is how many keys one request erases: they go into one record of the log.
const maxErased = 1000

// erase answers POST /v1/erase.
func (s *Server) erase(c *gin.Context) error {
	if s.cfg.Eraser == nil {
		return absent("erase")
	}
	body, err := s.readJSON(c)
	if err != nil {
		return err
	}
	e, err := s.parseErasure(body)
	if err != nil {
		return invalid(err)
	}
	// the keys are to be gone, from here too
	err = s.begin(c, e.Entity.Name, map[string]string{"keys": strconv.Itoa(len(e.Keys)), "dry_run": strconv.FormatBool(e.DryRun)})
	if err != nil {
		return err
	}
	return stream(s, c, func(ctx context.Context, progress func(api.Progress)) (*api.EraseResult, error) {
		return s.cfg.Eraser.Erase(ctx, e, progress)
	})
}

func (s *Server) parseErasure(body []byte) (*Erasure, error) {
	e, entity := &Erasure{}, ""
	r := onlineRequest{limit: maxErased} // for its way to read text and keys
	sc := &scanner{data: body}
	err := sc.object(func(name []byte) error {
		switch string(name) {
		case "entity":
			return r.text(sc, "entity", func(v string) error { entity = v; return nil })
		case "keys":
			return r.parseColumns(sc, "entities", "key", &r.entities)
		case "dry_run":
			var err error
			e.DryRun, err = parseBool(sc, "dry_run")
			return err
		default:
			return unknownName("field", string(name), []string{"entity", "keys", "dry_run"})
		}
	})
	if err == nil {
		err = sc.end()
	}
	if err != nil {
		return nil, err
	}
	catalog := s.cfg.Catalog()
	if e.Entity = catalog.Entity(entity); e.Entity == nil {
		return nil, notFound("entity", entity, entityNames(catalog))
	}
	columns, err := r.keys(e.Entity.Key)
	if err != nil {
		return nil, err
	}
	for i := range columns[0] {
		key := make(feature.Key, len(columns))
		for part := range columns {
			key[part] = columns[part][i]
			if key[part].IsNull() {
				return nil, fieldError("keys", "%s of key %d is NULL, and no event has such a key", e.Entity.Key[part].Name, i)
			}
		}
		e.Keys = append(e.Keys, key)
	}
	if len(e.Keys) == 0 {
		return nil, fieldError("keys", "no key to erase")
	}
	return e, nil
}
