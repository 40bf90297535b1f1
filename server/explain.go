package server

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/feature"
)

// explain answers POST /v1/features/explain.
func (s *Server) explain(c *gin.Context) error {
	if s.cfg.Verifier == nil {
		return absent("explain reads")
	}
	req, err := s.parseOnline(c)
	if err != nil {
		return err
	}
	if req.path != feature.PathAuto {
		return fieldError("path", "an explanation is of both paths: leave it out")
	}
	_, l, err := s.lookupOf(c, req)
	if err != nil {
		return err
	}
	if l.Rows() != 1 {
		return fieldError("entities", "expected one key to explain, got %d", l.Rows())
	}
	if err := s.charge(c, traceCost*int64(len(l.Plan.Base().Slots))); err != nil {
		return err
	}
	x, err := s.cfg.Verifier.Explain(c.Request.Context(), l)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, x)
	return nil
}
