package server

import (
	"cmp"
	"context"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
)

// importFile answers POST /v1/import/{source}.
func (s *Server) importFile(c *gin.Context) error {
	if s.cfg.Importer == nil {
		return absent("import files")
	}
	src, err := s.sourceNamed(c.Param("source"))
	if err != nil {
		return err
	}
	replace, err := queryBool(c, "replace")
	if err != nil {
		return err
	}
	if named := c.Query("format"); named != "" {
		if _, err := checkFormat("format", named); err != nil {
			return err
		}
	}
	if err := s.chargeTable(c, tableCost); err != nil {
		return err
	}
	u, err := s.spool(c)
	if err != nil {
		return err
	}
	defer u.remove()
	im := &Import{Source: src, File: u.path, Name: cmp.Or(c.Query("name"), u.name), Replace: replace}
	u.format = cmp.Or(u.format, formatOfName(im.Name))
	if im.Format, err = u.formatOr("format", c.Query("format")); err != nil {
		return err
	}
	err = s.begin(c, src.Name, map[string]string{"name": im.Name, "format": im.Format, "replace": strconv.FormatBool(replace)})
	if err != nil {
		return err
	}
	return stream(s, c, func(ctx context.Context, progress func(api.Progress)) (*api.ImportResult, error) {
		return s.cfg.Importer.Import(ctx, im, progress)
	})
}
