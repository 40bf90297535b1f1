package registry

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Description is what the registry knows of one name.
type Description struct {
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`
	Version int    `json:"version"` // the one described
	About
	Definition json.RawMessage `json:"definition"`        // in normal form; reads back as YAML
	Versions   []Version       `json:"versions"`          // oldest first
	UsedBy     []string        `json:"used_by,omitempty"` // what is live and needs it, such as "view departures@2"
}

// Version is one version of a name.
type Version struct {
	Version    int             `json:"version"`
	Since      time.Time       `json:"since"`
	Live       bool            `json:"live"`            // it is served
	Views      map[string]int  `json:"views,omitempty"` // of a service: the versions that it pins (G1)
	OnDemand   map[string]int  `json:"ondemand,omitempty"`
	Edition    uint64          `json:"edition,omitempty"` // of a source and of a view; see feature.Edition
	Definition json.RawMessage `json:"definition"`
}

// List describes everything that is registered and not deleted, in the order of first registration.
func (r *Registry) List() ([]*Description, error) {
	rec := r.state.Load().record
	var out []*Description
	for _, o := range rec.Objects {
		if o.Deleted {
			continue
		}
		d, err := rec.describe(o, o.newest())
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Describe describes NAME, NAME@VERSION or, where several kinds use a name, KIND/NAME. A name that is not there
// is CodeNotFound; one that means several things is CodeInvalid.
func (r *Registry) Describe(name string) (*Description, error) {
	rec := r.state.Load().record
	o, number, err := rec.lookup(name)
	if err != nil {
		return nil, err
	}
	v := o.newest()
	if number > 0 {
		v = o.number(number)
	}
	if v == nil {
		return nil, feature.Errorf(feature.CodeNotFound, "%s has no version %d: expected 1 to %d", o, number, o.newest().Version)
	}
	return rec.describe(o, v)
}

// Versions returns the versions of a name, oldest first; see Describe for what a name is.
func (r *Registry) Versions(name string) ([]Version, error) {
	d, err := r.Describe(name)
	if err != nil {
		return nil, err
	}
	return d.Versions, nil
}

func (r *record) describe(o *object, v *version) (*Description, error) {
	d := &Description{Kind: o.Kind, Name: o.Name, Version: v.Version, About: *v.Definition.about(), UsedBy: r.dependents(o)}
	live := map[int]bool{}
	for _, l := range r.live(o) {
		live[l.Version] = true
	}
	for _, w := range o.Versions {
		raw, err := json.Marshal(w.Definition)
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", o, err)
		}
		d.Versions = append(d.Versions, Version{Version: w.Version, Since: w.Since, Live: live[w.Version], Views: w.Views, OnDemand: w.OnDemand, Edition: w.Edition.Number, Definition: raw})
		if w == v {
			d.Definition = raw
		}
	}
	return d, nil
}
