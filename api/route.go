package api

import (
	"net/http"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// Scope is what a token must allow for a route.
type Scope string

// The scopes. Each one is granted by itself: admin does not imply the others.
const (
	ScopeNone  Scope = "" // anybody may: health, metrics and the description of the server
	ScopeRead  Scope = "read"
	ScopeWrite Scope = "write"
	ScopeAdmin Scope = "admin"
)

// Class says which work a route is, and so which limits it shares with others.
type Class string

// The classes.
const (
	ClassOpen    Class = "" // health, readiness, metrics, the description of the server: never refused
	ClassRead    Class = "read"
	ClassWrite   Class = "write"
	ClassTrain   Class = "train"
	ClassImport  Class = "import"
	ClassQuery   Class = "query"
	ClassExplain Class = "explain"
	ClassOperate Class = "operate"
)

// Classes returns the classes that have limits.
func Classes() []Class {
	return []Class{ClassRead, ClassWrite, ClassTrain, ClassImport, ClassQuery, ClassExplain, ClassOperate}
}

// Param is a query parameter or a header of a request.
type Param struct {
	Name   string
	Header bool
	Type   string // string, integer or boolean
	Many   bool   // it may be given several times
	Doc    string
}

// Route describes one route of the server.
type Route struct {
	Method  string
	Path    string
	Name    string // operation id
	Summary string
	Scope   Scope
	Class   Class
	Params  []Param
	Audited bool // what it does goes into the audit trail

	Body  any      // zero value of the JSON request body; nil for none
	Files []string // media types of a request body that is not JSON

	Answer any      // zero value of the JSON answer, or of one line of an NDJSON answer; nil for none
	Media  []string // media types of the answer; JSON when empty
}

// Routes returns all routes, a new slice.
func Routes() []Route {
	return slices.Concat(dataRoutes(), registryRoutes(), operateRoutes(), feastRoutes())
}

func dataRoutes() []Route {
	files := []string{MediaParquet, MediaArrow, MediaFeather, MediaCSV, MediaNDJSON, MediaOctets, MediaForm}
	return []Route{
		{
			Method: http.MethodPost, Path: PathOnline, Name: "online", Scope: ScopeRead, Class: ClassRead,
			Summary: "Read features of keys at one instant",
			Body:    OnlineRequest{}, Answer: OnlineResponse{},
		},
		{
			Method: http.MethodPost, Path: PathExplain, Name: "explain", Scope: ScopeRead, Class: ClassExplain,
			Summary: "Say what both paths make of one key at one instant, and of which events",
			Body:    OnlineRequest{}, Answer: Explanation{},
		},
		{
			Method: http.MethodPost, Path: PathHistorical, Name: "historical", Scope: ScopeRead, Class: ClassTrain, Audited: true,
			Summary: "Make a training set from a spine in the request, a file, SQL or all keys",
			Params:  trainingParams(), Body: TrainingRequest{}, Files: files,
			Media: []string{MediaParquet, MediaArrow, MediaFeather, MediaCSV, MediaNDJSON},
		},
		{
			Method: http.MethodPost, Path: PathEvents, Name: "push", Scope: ScopeWrite, Class: ClassWrite,
			Summary: "Push rows of a source; the answer means that the log has them on disk",
			Params: []Param{
				{Name: "partial", Type: "boolean", Doc: "take the good rows and list the refused ones, instead of taking none"},
				{Name: HeaderIdempotencyKey, Header: true, Type: "string", Doc: "a repetition with this key within 10 minutes gets the first answer from the same process"},
			},
			Body: PushRequest{}, Files: []string{MediaNDJSON}, Answer: PushResponse{},
		},
		{
			Method: http.MethodPost, Path: PathImport, Name: "import", Scope: ScopeWrite, Class: ClassImport, Audited: true,
			Summary: "Import a file into the history of a source",
			Params: []Param{
				{Name: "format", Type: "string", Doc: "parquet, arrow, feather, csv or jsonl; by the content type or the ending of name when left out"},
				{Name: "name", Type: "string", Doc: "the file's name, for messages"},
				{Name: "replace", Type: "boolean", Doc: "in place of everything imported before: views on the source become new versions (rule E2)"},
			},
			Files: files, Answer: Line[ImportResult]{}, Media: []string{MediaNDJSON},
		},
	}
}

func trainingParams() []Param {
	return []Param{
		{Name: "service", Type: "string", Doc: "with a file as the body: as in the JSON body, so are the following"},
		{Name: "features", Type: "string", Many: true},
		{Name: "time", Type: "string"},
		{Name: "keys", Type: "string", Many: true, Doc: "KEY=COLUMN"},
		{Name: "clock", Type: "string"},
		{Name: "cut", Type: "string"},
		{Name: "format", Type: "string", Doc: "of the answer"},
		{Name: "spine_format", Type: "string", Doc: "of the body; by the content type or the file name when left out"},
	}
}

func registryRoutes() []Route {
	get := func(path, name, summary string, answer any) Route {
		return Route{Method: http.MethodGet, Path: path, Name: name, Summary: summary, Scope: ScopeRead, Class: ClassRead, Answer: answer}
	}
	post := func(path, name, summary string) Route {
		return Route{
			Method: http.MethodPost, Path: path, Name: name, Summary: summary, Scope: ScopeAdmin, Class: ClassOperate,
			Audited: path != PathRegistryPlan, Body: RegistryRequest{}, Answer: Opaque{},
		}
	}
	return []Route{
		get(PathEntities, "entities", "List the entities", Entities{}),
		get(PathEntity, "entity", "Describe an entity", feature.Entity{}),
		get(PathSources, "sources", "List the sources", Sources{}),
		get(PathSource, "source", "Describe a source", feature.Source{}),
		get(PathViews, "views", "List the live versions of the views", Views{}),
		get(PathView, "view", "Describe a view, NAME or NAME@VERSION", View{}),
		get(PathServices, "services", "List the newest version of every service", Services{}),
		get(PathService, "service", "Describe a service, NAME or NAME@VERSION", Service{}),
		get(PathServiceVersions, "serviceVersions", "List the live versions of a service", Services{}),
		{
			Method: http.MethodGet, Path: PathRegistry, Name: "definitions", Scope: ScopeRead, Class: ClassRead, Answer: Definitions{},
			Summary: "Describe what is registered: all of it, or one name with its versions",
			Params:  []Param{{Name: "name", Type: "string", Doc: "NAME, NAME@VERSION or KIND/NAME"}},
		},
		post(PathRegistryPlan, "plan", "Say what applying definitions would change"),
		post(PathRegistryApply, "apply", "Apply definitions"),
		{
			Method: http.MethodPost, Path: PathRollback, Name: "rollback", Scope: ScopeAdmin, Class: ClassOperate, Audited: true, Body: RollbackRequest{}, Answer: Opaque{},
			Summary: "Make an earlier version of a service its newest again, as a new version",
		},
		{
			Method: http.MethodGet, Path: PathRegistrySchema, Name: "schema", Summary: "The JSON Schema of definitions, for editors", Scope: ScopeRead, Class: ClassRead,
			Answer: Opaque{}, Media: []string{MediaSchema},
		},
	}
}

func operateRoutes() []Route {
	return []Route{
		{Method: http.MethodGet, Path: PathStatus, Name: "status", Summary: "Positions, lag, freshness, versions", Scope: ScopeRead, Class: ClassRead, Answer: Status{}},
		{
			Method: http.MethodGet, Path: PathDeadLetters, Name: "deadLetters", Summary: "List what the gate refused", Scope: ScopeRead, Class: ClassRead, Answer: DeadLetters{},
			Params: []Param{
				{Name: "source", Type: "string"},
				{Name: "reason", Type: "string", Doc: "a part of the reason, as written"},
				{Name: "since", Type: "string", Doc: "refused then or later, RFC 3339"},
				{Name: "until", Type: "string", Doc: "refused before, RFC 3339"},
				{Name: "after", Type: "integer", Doc: "those with a greater seq"},
				{Name: "limit", Type: "integer", Doc: "at most so many, 100 when left out, up to 1000"},
			},
		},
		{Method: http.MethodGet, Path: PathDeadLetter, Name: "deadLetter", Summary: "Show a refused row", Scope: ScopeRead, Class: ClassRead, Answer: DeadLetter{}},
		{
			Method: http.MethodPost, Path: PathReplay, Name: "replay", Summary: "Let refused rows come to the gate again", Scope: ScopeAdmin, Class: ClassOperate, Audited: true,
			Body: ReplayRequest{}, Answer: Line[ReplayResult]{}, Media: []string{MediaNDJSON},
		},
		{
			Method: http.MethodPost, Path: PathErase, Name: "erase", Summary: "Take keys of an entity out of existence", Scope: ScopeAdmin, Class: ClassOperate, Audited: true,
			Body: EraseRequest{}, Answer: Line[EraseResult]{}, Media: []string{MediaNDJSON},
		},
		{
			Method: http.MethodPost, Path: PathMaterialize, Name: "materialize", Summary: "Move what ClickHouse has to the replicas", Scope: ScopeAdmin, Class: ClassOperate, Audited: true,
			Body: MaterializeRequest{}, Answer: Line[MaterializeResult]{}, Media: []string{MediaNDJSON},
		},
		{
			Method: http.MethodPost, Path: PathVerify, Name: "verify", Summary: "Compare both paths at the same instants", Scope: ScopeRead, Class: ClassOperate,
			Body: VerifyRequest{}, Answer: Line[VerifyResult]{}, Media: []string{MediaNDJSON},
		},
		{
			Method: http.MethodPost, Path: PathSQL, Name: "sql", Summary: "Look into the offline store, where the server allows it", Scope: ScopeAdmin, Class: ClassQuery, Audited: true,
			Body: SQLRequest{}, Answer: SQLResponse{}, Media: []string{MediaJSON, MediaNDJSON},
		},
		{
			Method: http.MethodGet, Path: PathAudit, Name: "audit", Summary: "List the audit trail of this process", Scope: ScopeAdmin, Class: ClassRead, Answer: Audit{},
			Params: []Param{
				{Name: "action", Type: "string", Doc: "an operation id"},
				{Name: "who", Type: "string", Doc: "the name of a token"},
				{Name: "since", Type: "string", Doc: "RFC 3339"},
				{Name: "limit", Type: "integer", Doc: "the newest so many, 100 when left out, up to 10000"},
			},
		},
		{Method: http.MethodGet, Path: PathHealth, Name: "health", Summary: "The process lives", Answer: Health{}},
		{Method: http.MethodGet, Path: PathReady, Name: "ready", Summary: "The process answers reads, perhaps not as well as it should", Answer: Health{}},
		{Method: http.MethodGet, Path: PathMetrics, Name: "metrics", Summary: "Metrics for Prometheus", Scope: ScopeRead, Media: []string{MediaText}},
		{Method: http.MethodGet, Path: PathOpenAPI, Name: "openapi", Summary: "This description", Answer: Opaque{}},
	}
}

func feastRoutes() []Route {
	return []Route{
		{
			Method: http.MethodPost, Path: PathFeastOnline, Name: "feastOnline", Scope: ScopeRead, Class: ClassRead,
			Summary: "Read features of keys now, as Feast's clients do",
			Body:    FeastOnlineRequest{}, Answer: FeastOnlineResponse{},
		},
		{
			Method: http.MethodPost, Path: PathFeastPush, Name: "feastPush", Scope: ScopeWrite, Class: ClassWrite,
			Summary: "Push columns of a source, as Feast's clients do",
			Body:    FeastPushRequest{}, Answer: PushResponse{},
		},
		{
			Method: http.MethodPost, Path: PathFeastWrite, Name: "feastWrite", Scope: ScopeWrite, Class: ClassWrite,
			Summary: "Push columns of a view, as Feast's clients do",
			Body:    FeastWriteRequest{}, Answer: PushResponse{},
		},
	}
}
