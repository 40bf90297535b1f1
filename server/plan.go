package server

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lockstepfs/lockstep/feature"
)

// compiled is a plan with what every answer to it has in common.
type compiled struct {
	plan     *feature.Plan
	names    []byte // "names":[...] of the answer
	made     []byte // "service":...,"views":[...] of the meta: the versions that it was made from
	types    string // of the features, for api.HeaderTypes
	keyTypes string // of the keys, for api.HeaderKeyTypes
}

func compile(p *feature.Plan) *compiled {
	c := &compiled{plan: p}
	list, _ := json.Marshal(p.Names) // strings cannot fail to encode
	c.names = append([]byte(`"names":`), list...)
	service := ""
	if p.Service.Name != "" {
		service = p.Service.String()
	}
	c.made = fmt.Appendf(nil, `"service":%q,"views":["%s"]`, service, strings.Join(viewRefs(p), `","`)) // names need no escapes
	if refs := p.OnDemandRefs(); len(refs) > 0 {
		c.made = fmt.Appendf(c.made, `,"ondemand":["%s"]`, strings.Join(refs, `","`))
	}
	types := make([]string, len(p.Slots))
	for i := range p.Slots {
		types[i] = p.Type(i).String()
	}
	c.types = strings.Join(types, ",")
	keys := url.Values{}
	for _, k := range p.Keys {
		keys.Set(k.Name, k.Type.String())
	}
	c.keyTypes = keys.Encode()
	return c
}

// viewRefs returns the view versions of a plan, each once, in order.
func viewRefs(p *feature.Plan) []string {
	var refs []string
	for _, it := range p.Items {
		refs = append(refs, it.View.Ref().String())
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// Lists of features are chosen by clients, who may ask for one many times.
const (
	maxFeatures = 10_000   // of a list
	maxPlans    = 1024     // that a planCache keeps
	maxPlanKey  = 16 << 10 // bytes of a list whose plan is kept
)

// planCache remembers the plans of one catalog.
type planCache struct{ current atomic.Pointer[planSet] }

type planSet struct {
	catalog *feature.Catalog
	plans   sync.Map // key → *compiled
	size    atomic.Int64
}

// plan returns the plan of a service or of a list of features; exactly one must be given.
func (p *planCache) plan(catalog *feature.Catalog, service string, features []string) (*compiled, error) {
	switch {
	case service == "" && len(features) == 0:
		return nil, feature.Errorf(feature.CodeInvalid, "name a service, or features")
	case service != "" && len(features) > 0:
		return nil, feature.Errorf(feature.CodeInvalid, "name either a service or features, not both")
	case len(features) > maxFeatures:
		return nil, feature.Errorf(feature.CodeTooLarge, "%d features are asked for: at most %d are read at a time", len(features), maxFeatures)
	}
	set := p.current.Load()
	if set == nil || set.catalog != catalog {
		set = &planSet{catalog: catalog}
		p.current.Store(set)
	}
	key := service
	if service == "" {
		key = "\x00" + strings.Join(features, "\x00")
	}
	if c, ok := set.plans.Load(key); ok {
		return c.(*compiled), nil
	}
	var plan *feature.Plan
	var err error
	if service != "" {
		plan, err = catalog.PlanService(service)
	} else {
		plan, err = catalog.PlanFeatures(features)
	}
	if err != nil {
		return nil, err
	}
	c := compile(plan)
	if len(key) <= maxPlanKey && set.size.Add(1) <= maxPlans {
		set.plans.Store(key, c)
	}
	return c, nil
}
