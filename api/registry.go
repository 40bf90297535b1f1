package api

import (
	"encoding/json"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// RegistryRequest asks for the difference between definitions and the registry, or to make it.
type RegistryRequest struct {
	Files   map[string]string `json:"files" doc:"the YAML files by name"`
	Upgrade []string          `json:"upgrade,omitempty" doc:"services to move to the newest versions of their views (rule G1)"`
	Delete  []string          `json:"delete,omitempty" doc:"names to delete, such as view/departures"`
	Yes     bool              `json:"yes,omitempty" doc:"make views even if they are estimated to need more state than state_budget allows; plan ignores it"`
}

// RollbackRequest asks to make an earlier version of a service its newest again.
type RollbackRequest struct {
	Service string `json:"service" doc:"NAME for the version before the newest, or NAME@VERSION"`
}

// Definition is what the registry knows of one name.
type Definition struct {
	Kind        string              `json:"kind"`
	Name        string              `json:"name"`
	Version     int                 `json:"version" doc:"the one described"`
	Description string              `json:"description,omitempty"`
	Owner       string              `json:"owner,omitempty"`
	Tags        map[string]string   `json:"tags,omitempty"`
	Definition  json.RawMessage     `json:"definition" doc:"in normal form; reads back as YAML"`
	Versions    []DefinitionVersion `json:"versions" doc:"oldest first"`
	UsedBy      []string            `json:"used_by,omitempty" doc:"what is live and needs it"`
}

// DefinitionVersion is one version of a definition.
type DefinitionVersion struct {
	Version    int             `json:"version"`
	Since      time.Time       `json:"since"`
	Live       bool            `json:"live" doc:"it is served"`
	Views      map[string]int  `json:"views,omitempty" doc:"of a service: the view versions that it pins (rule G1)"`
	OnDemand   map[string]int  `json:"ondemand,omitempty" doc:"of a service: the versions of on-demand features that it pins"`
	Edition    uint64          `json:"edition,omitempty" doc:"of a source and of a view: the generation that began the set of imported events it sees; 0 for the first set (rule E2)"`
	Definition json.RawMessage `json:"definition"`
}

// Definitions lists what is registered.
type Definitions struct {
	Definitions []Definition `json:"definitions"`
}

// Entities lists the entities.
type Entities struct {
	Entities []feature.Entity `json:"entities"`
}

// Sources lists the sources.
type Sources struct {
	Sources []feature.Source `json:"sources"`
}

// Feature is one feature of a view.
type Feature struct {
	Name    string          `json:"name"`
	Type    feature.Type    `json:"type"`
	Latest  string          `json:"latest,omitempty" doc:"of a row feature: the source column whose newest value it is"`
	Window  *feature.Window `json:"window,omitempty" doc:"of a window feature: what it computes"`
	TTL     feature.Span    `json:"ttl,omitempty"`
	Default feature.Value   `json:"default" doc:"replaces the value where there is none; null: no default"`
}

// View is a version of a view.
type View struct {
	Name     string         `json:"name"`
	Version  int            `json:"version"`
	Entity   feature.Entity `json:"entity"`
	Keys     []string       `json:"keys" doc:"the source column of each part of the entity's key"`
	Source   string         `json:"source"`
	Delay    feature.Span   `json:"delay,omitempty"`
	History  feature.Span   `json:"history"`
	Features []Feature      `json:"features"`
}

// Views lists the live versions of the views.
type Views struct {
	Views []View `json:"views"`
}

// Service is a version of a service.
type Service struct {
	Name     string          `json:"name"`
	Version  int             `json:"version"`
	Views    []string        `json:"views" doc:"the view versions it pins (rule G1)"`
	OnDemand []string        `json:"ondemand,omitempty" doc:"the versions of on-demand features that it pins"`
	Keys     []feature.Field `json:"keys" doc:"the key names of requests and spines, with their types"`
	Inputs   []feature.Field `json:"inputs,omitempty" doc:"what requests and spines bring besides, for on-demand features"`
	Features []feature.Field `json:"features" doc:"the feature columns in order, with their types"`
}

// Services lists the newest version of every service, or all live versions of one.
type Services struct {
	Services []Service `json:"services"`
}
