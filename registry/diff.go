package registry

import (
	"encoding/json"
	"fmt"
	"strings"
)

// diff says in words how the JSON of b differs from that of a, in the order in which b is written, such as
// "features.last_delay.ttl: 1d, was 7d". It returns nil when they are the same.
func diff(a, b any) []string {
	before, after := flatten(a), flatten(b)
	var out []string
	for _, path := range after.paths {
		old, had := before.leaves[path]
		switch now := after.leaves[path]; {
		case !had:
			out = append(out, "+ "+path+": "+now)
		case old != now:
			out = append(out, fmt.Sprintf("%s: %s, was %s", path, now, old))
		}
	}
	for _, path := range before.paths {
		if _, has := after.leaves[path]; !has {
			out = append(out, "- "+path+": "+before.leaves[path])
		}
	}
	if len(out) == 0 && before.raw != after.raw {
		out = append(out, "another order")
	}
	return out
}

// flat is a JSON document as paths and their scalars.
type flat struct {
	paths  []string
	leaves map[string]string
	raw    string
}

func flatten(doc any) *flat {
	f := &flat{leaves: map[string]string{}}
	raw, err := json.Marshal(doc)
	if err != nil {
		panic("registry: a definition has no JSON: " + err.Error())
	}
	f.raw = string(raw)
	f.walk("", json.NewDecoder(strings.NewReader(f.raw)))
	return f
}

func (f *flat) leaf(path, value string) {
	for _, again := f.leaves[path]; again; _, again = f.leaves[path] {
		path += "'"
	}
	f.paths = append(f.paths, path)
	f.leaves[path] = value
}

// walk reads one value from dec; its parts are known by name where they have one, else by their place.
func (f *flat) walk(path string, dec *json.Decoder) {
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return
	}
	switch raw[0] {
	case '{':
		in := json.NewDecoder(strings.NewReader(string(raw)))
		if _, err := in.Token(); err != nil {
			return
		}
		for in.More() {
			key, _ := in.Token()
			f.walk(join(path, fmt.Sprint(key)), in)
		}
	case '[':
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			return
		}
		for i, item := range items {
			f.walk(join(path, partName(item, i)), json.NewDecoder(strings.NewReader(string(item))))
		}
	default:
		f.leaf(path, strings.Trim(string(raw), `"`))
	}
}

// partName returns what an item of a list is called: its name, its role or view, itself if it is text, or its place.
func partName(item json.RawMessage, i int) string {
	var named struct{ Name, View, OnDemand, As string }
	if json.Unmarshal(item, &named) == nil {
		for _, name := range []string{named.Name, named.As, named.View, named.OnDemand} {
			if name != "" {
				return name
			}
		}
	}
	return fmt.Sprint(i)
}
