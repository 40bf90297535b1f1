package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Opaque stands for a JSON document that this package does not describe.
type Opaque struct{}

type object = map[string]any

// OpenAPI returns the description of all routes as an OpenAPI 3.1 document in JSON, made from Routes and the
// types of the bodies, so that it cannot differ from them.
func OpenAPI(version string) []byte {
	d := describer{schemas: object{}}
	paths := object{}
	for _, r := range Routes() {
		item, _ := paths[r.Path].(object)
		if item == nil {
			item = object{}
			paths[r.Path] = item
		}
		item[strings.ToLower(r.Method)] = d.operation(r)
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Lockstep", "version": version,
			"description": "A feature store: features are defined once, and a model reads the same values in training and in production.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"paths": paths,
		"components": object{
			"schemas":         d.schemas,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "Needed where the server has tokens configured, as it must have to listen anywhere but on loopback."}},
		},
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic("the OpenAPI document does not encode: " + err.Error()) // it holds maps, strings and slices only
	}
	return b
}

type describer struct{ schemas object }

func (d describer) operation(r Route) object {
	op := object{"operationId": r.Name, "summary": r.Summary, "tags": []string{tag(r.Path)}}
	if r.Scope != ScopeNone {
		op["security"] = []object{{}, {"token": []string{}}}
		op["description"] = "Needs scope " + string(r.Scope) + "."
		op["x-lockstep-scope"], op["x-lockstep-class"] = r.Scope, r.Class
		if r.Audited {
			op["x-lockstep-audited"] = true
		}
	}
	if params := parameters(r); len(params) > 0 {
		op["parameters"] = params
	}
	content := object{}
	if r.Body != nil {
		content[MediaJSON] = object{"schema": d.schema(reflect.TypeOf(r.Body))}
	}
	for _, media := range r.Files {
		content[media] = object{}
	}
	if len(content) > 0 {
		op["requestBody"] = object{"required": true, "content": content}
	}
	op["responses"] = d.responses(r)
	return op
}

func (d describer) responses(r Route) object {
	media := r.Media
	if len(media) == 0 {
		media = []string{MediaJSON}
	}
	content := object{}
	for _, m := range media {
		content[m] = object{}
		if r.Answer != nil {
			content[m] = object{"schema": d.schema(reflect.TypeOf(r.Answer))}
		}
	}
	failure := object{
		"description": "What went wrong. 400 can be mended by the caller, 401 and 403 are about access, 404 names what does not exist; " +
			"409 is a conflict, 413 a limit; 429 and 503 pass, see Retry-After.",
		"content": object{MediaJSON: object{"schema": d.schema(reflect.TypeFor[ErrorBody]())}},
	}
	return object{"200": object{"description": "Success.", "content": content}, "default": failure}
}

func tag(path string) string {
	switch path {
	case PathFeastOnline, PathFeastPush, PathFeastWrite:
		return "feast"
	}
	part, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	switch part {
	case "entities", "sources", "views", "services", "registry":
		return "registry"
	case "features", "events", "import":
		return "data"
	default:
		return "operation"
	}
}

func parameters(r Route) []object {
	var out []object
	for part := range strings.SplitSeq(r.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, p := range r.Params {
		schema := object{"type": p.Type}
		if p.Many {
			schema = object{"type": "array", "items": schema}
		}
		where := "query"
		if p.Header {
			where = "header"
		}
		param := object{"name": p.Name, "in": where, "schema": schema}
		if p.Doc != "" {
			param["description"] = p.Doc
		}
		out = append(out, param)
	}
	return out
}

// scalars are the types whose JSON is not that of their Go kind.
var scalars = map[reflect.Type]object{
	reflect.TypeFor[json.RawMessage](): {},
	reflect.TypeFor[Opaque]():          {},
	reflect.TypeFor[feature.Value]():   {"description": "a value: a number, a string, a boolean, a list of them, or null"},
	reflect.TypeFor[feature.Type]():    {"type": "string", "examples": []string{"int64", "list<string>", "vector<3>"}},
	reflect.TypeFor[feature.Span]():    {"type": "string", "examples": []string{"7d", "3h30m"}},
	reflect.TypeFor[feature.Status]():  {"type": "string", "enum": []string{"missing", "expired", "null", "present"}},
	reflect.TypeFor[feature.Path]():    {"type": "string", "enum": []string{"auto", "online", "offline"}},
	reflect.TypeFor[time.Time]():       {"type": "string", "format": "date-time"},
}

// schema returns the JSON Schema of t; structs become components and are referred to.
func (d describer) schema(t reflect.Type) object {
	if s, ok := scalars[t]; ok {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Slice:
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		return d.component(t)
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	default:
		return object{}
	}
}

func (d describer) component(t reflect.Type) object {
	name := componentName(t)
	ref := object{"$ref": "#/components/schemas/" + name}
	if _, ok := d.schemas[name]; ok {
		return ref
	}
	d.schemas[name] = object{} // ends the recursion of a type that contains itself
	properties, required := object{}, []string{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		properties[name] = d.property(f, strings.Contains(options, "omitempty"))
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	schema := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		schema["required"] = required
	}
	d.schemas[name] = schema
	return ref
}

func (d describer) property(f reflect.StructField, optional bool) object {
	schema := d.schema(f.Type)
	if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Slice && f.Type.Elem().Elem().Kind() == reflect.Pointer {
		schema = object{"type": "array", "items": object{"type": "array", "items": object{"type": []string{"string", "null"}}}}
	}
	if f.Type.Kind() == reflect.Pointer && !optional {
		schema = object{"anyOf": []any{schema, object{"type": "null"}}}
	}
	doc := f.Tag.Get("doc")
	if doc == "" {
		return schema
	}
	out := object{"description": doc}
	maps.Copy(out, schema)
	return out
}

// componentName returns the type's name; that of an instance of a generic type has its arguments in it.
func componentName(t reflect.Type) string {
	name := t.Name()
	base, argument, generic := strings.Cut(name, "[")
	if generic {
		argument = strings.TrimSuffix(argument[strings.LastIndexByte(argument, '.')+1:], "]")
		return argument + base
	}
	return name
}
