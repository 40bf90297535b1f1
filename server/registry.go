package server

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

func notFound(what, name string, known []string) error {
	if len(known) == 0 {
		return feature.Errorf(feature.CodeNotFound, "unknown %s %q: there is none", what, name)
	}
	slices.Sort(known)
	return feature.Errorf(feature.CodeNotFound, "unknown %s %q: expected one of %s", what, name, strings.Join(slices.Compact(known), ", "))
}

func entityNames(c *feature.Catalog) (out []string) {
	for _, e := range c.Entities {
		out = append(out, e.Name)
	}
	return out
}

func viewNames(c *feature.Catalog) (out []string) {
	for _, v := range c.Views {
		out = append(out, v.Name)
	}
	return out
}

func (s *Server) sourceNamed(name string) (*feature.Source, error) {
	c := s.cfg.Catalog()
	if src := c.Source(name); src != nil {
		return src, nil
	}
	var known []string
	for _, src := range c.Sources {
		known = append(known, src.Name)
	}
	return nil, notFound("source", name, known)
}

func (s *Server) entities(c *gin.Context) error {
	out := api.Entities{Entities: []feature.Entity{}}
	for _, e := range s.cfg.Catalog().Entities {
		out.Entities = append(out.Entities, *e)
	}
	writeJSON(c, http.StatusOK, out)
	return nil
}

func (s *Server) entity(c *gin.Context) error {
	e := s.cfg.Catalog().Entity(c.Param("name"))
	if e == nil {
		return notFound("entity", c.Param("name"), entityNames(s.cfg.Catalog()))
	}
	writeJSON(c, http.StatusOK, e)
	return nil
}

func (s *Server) sources(c *gin.Context) error {
	out := api.Sources{Sources: []feature.Source{}}
	for _, src := range s.cfg.Catalog().Sources {
		out.Sources = append(out.Sources, *src)
	}
	writeJSON(c, http.StatusOK, out)
	return nil
}

func (s *Server) source(c *gin.Context) error {
	src, err := s.sourceNamed(c.Param("name"))
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, src)
	return nil
}

func (s *Server) views(c *gin.Context) error {
	out := api.Views{Views: []api.View{}}
	for _, v := range s.cfg.Catalog().Views {
		out.Views = append(out.Views, describeView(v))
	}
	writeJSON(c, http.StatusOK, out)
	return nil
}

func (s *Server) view(c *gin.Context) error {
	ref, err := feature.ParseRef(c.Param("name"))
	if err != nil {
		return err
	}
	catalog := s.cfg.Catalog()
	v := catalog.View(ref.Name, ref.Version)
	if v == nil {
		var known []string
		for _, v := range catalog.Views {
			known = append(known, v.Ref().String())
		}
		return notFound("view", c.Param("name"), known)
	}
	writeJSON(c, http.StatusOK, describeView(v))
	return nil
}

func describeView(v *feature.View) api.View {
	out := api.View{
		Name: v.Name, Version: v.Version, Entity: v.Entity, Keys: v.Keys, Source: v.Source, Delay: v.Delay, History: v.History,
		Features: []api.Feature{},
	}
	for _, f := range v.Features {
		out.Features = append(out.Features, api.Feature{Name: f.Name, Type: f.Type, Latest: f.Latest, Window: f.Window, TTL: f.TTL, Default: f.Default})
	}
	return out
}

func serviceRefs(c *feature.Catalog) (out []string) {
	for _, v := range c.Services {
		out = append(out, v.Ref().String())
	}
	return out
}

func (s *Server) services(c *gin.Context) error {
	catalog := s.cfg.Catalog()
	return s.listServices(c, func(v *feature.Service) bool { return catalog.Service(v.Name, 0) == v })
}

func (s *Server) serviceVersions(c *gin.Context) error {
	catalog, name := s.cfg.Catalog(), c.Param("name")
	if catalog.Service(name, 0) == nil {
		return notFound("service", name, serviceRefs(catalog))
	}
	return s.listServices(c, func(v *feature.Service) bool { return v.Name == name })
}

func (s *Server) listServices(c *gin.Context, listed func(*feature.Service) bool) error {
	catalog := s.cfg.Catalog()
	out := api.Services{Services: []api.Service{}}
	for _, v := range catalog.Services {
		if !listed(v) {
			continue
		}
		d, err := s.describeService(catalog, v)
		if err != nil {
			return err
		}
		out.Services = append(out.Services, d)
	}
	writeJSON(c, http.StatusOK, out)
	return nil
}

func (s *Server) service(c *gin.Context) error {
	ref, err := feature.ParseRef(c.Param("name"))
	if err != nil {
		return err
	}
	catalog := s.cfg.Catalog()
	v := catalog.Service(ref.Name, ref.Version)
	if v == nil {
		return notFound("service", c.Param("name"), serviceRefs(catalog))
	}
	d, err := s.describeService(catalog, v)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, d)
	return nil
}

func (s *Server) describeService(catalog *feature.Catalog, v *feature.Service) (api.Service, error) {
	c, err := s.plans.plan(catalog, v.Ref().String(), nil)
	if err != nil {
		return api.Service{}, err
	}
	out := api.Service{Name: v.Name, Version: v.Version, Keys: c.plan.Keys, Inputs: c.plan.Inputs, Views: viewRefs(c.plan), OnDemand: c.plan.OnDemandRefs(), Features: []feature.Field{}}
	for i, name := range c.plan.Names {
		out.Features = append(out.Features, feature.Field{Name: name, Type: c.plan.Type(i)})
	}
	return out, nil
}

func (s *Server) definitions(c *gin.Context) error {
	if s.cfg.Registry == nil {
		return absent("keep definitions")
	}
	found, err := s.cfg.Registry.Describe(c.Query("name"))
	if err != nil {
		return err
	}
	out := api.Definitions{Definitions: append([]api.Definition{}, found...)}
	for i := range out.Definitions {
		if d := &out.Definitions[i]; d.Versions == nil {
			d.Versions = []api.DefinitionVersion{}
		}
	}
	writeJSON(c, http.StatusOK, out)
	return nil
}

func (s *Server) registryPlan(c *gin.Context) error {
	return s.change(c, func(ctx context.Context, r *api.RegistryRequest) (any, error) { return s.cfg.Registry.Plan(ctx, r) })
}

func (s *Server) registryApply(c *gin.Context) error {
	return s.change(c, func(ctx context.Context, r *api.RegistryRequest) (any, error) { return s.cfg.Registry.Apply(ctx, r) })
}

func (s *Server) change(c *gin.Context, do func(context.Context, *api.RegistryRequest) (any, error)) error {
	if s.cfg.Registry == nil {
		return absent("keep definitions")
	}
	body, err := s.readJSON(c)
	if err != nil {
		return err
	}
	var req api.RegistryRequest
	if err := decode(body, &req); err != nil {
		return err
	}
	if req.Files == nil {
		return fieldError("files", "missing: expected an object of file names and texts")
	}
	if c.FullPath() == api.PathRegistryApply {
		files := list(slices.Sorted(maps.Keys(req.Files)))
		if err := s.begin(c, "", map[string]string{"files": files, "upgrade": list(req.Upgrade), "delete": list(req.Delete)}); err != nil {
			return err
		}
	}
	plan, err := do(c.Request.Context(), &req)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, plan)
	return nil
}

func (s *Server) rollback(c *gin.Context) error {
	if s.cfg.Registry == nil {
		return absent("keep definitions")
	}
	body, err := s.readJSON(c)
	if err != nil {
		return err
	}
	var req api.RollbackRequest
	if err := decode(body, &req); err != nil {
		return err
	}
	if req.Service == "" {
		return fieldError("service", "missing: expected NAME or NAME@VERSION")
	}
	if err := s.begin(c, req.Service, nil); err != nil {
		return err
	}
	plan, err := s.cfg.Registry.Rollback(c.Request.Context(), req.Service)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, plan)
	return nil
}

func (s *Server) registrySchema(c *gin.Context) error {
	if s.cfg.Schema == nil {
		return absent("keep definitions")
	}
	c.Data(http.StatusOK, api.MediaSchema, s.cfg.Schema)
	return nil
}
