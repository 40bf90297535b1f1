package api

import (
	"net/url"
	"strings"
)

// The paths. A name in braces stands for one path segment; Fill puts it in.
const (
	PathOnline          = "/v1/features/online"
	PathExplain         = "/v1/features/explain"
	PathHistorical      = "/v1/features/historical"
	PathEvents          = "/v1/events/{source}"
	PathImport          = "/v1/import/{source}"
	PathEntities        = "/v1/entities"
	PathEntity          = "/v1/entities/{name}"
	PathSources         = "/v1/sources"
	PathSource          = "/v1/sources/{name}"
	PathViews           = "/v1/views"
	PathView            = "/v1/views/{name}"
	PathServices        = "/v1/services"
	PathService         = "/v1/services/{name}"
	PathServiceVersions = "/v1/services/{name}/versions"
	PathRegistry        = "/v1/registry"
	PathRegistryPlan    = "/v1/registry/plan"
	PathRegistryApply   = "/v1/registry/apply"
	PathRollback        = "/v1/registry/rollback"
	PathRegistrySchema  = "/v1/registry/schema"
	PathStatus          = "/v1/status"
	PathAudit           = "/v1/audit"
	PathDeadLetters     = "/v1/deadletters"
	PathDeadLetter      = "/v1/deadletters/{seq}"
	PathReplay          = "/v1/deadletters/replay"
	PathErase           = "/v1/erase"
	PathMaterialize     = "/v1/materialize"
	PathVerify          = "/v1/verify"
	PathSQL             = "/v1/sql"
	PathFeastOnline     = "/get-online-features"
	PathFeastPush       = "/push"
	PathFeastWrite      = "/write-to-online-store"
	PathHealth          = "/healthz"
	PathReady           = "/readyz"
	PathMetrics         = "/metrics"
	PathOpenAPI         = "/openapi.json"
)

// The headers that carry what does not fit a body.
const (
	// HeaderIdempotencyKey of a push: a repetition with the same key is answered with the first answer.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderMeta of a training set: its metadata (rule G2) as a JSON object of strings.
	HeaderMeta = "Lockstep-Meta"
	// HeaderFields of a training set in JSON lines: its columns in order, a JSON array of name and type.
	HeaderFields = "Lockstep-Fields"
	// HeaderTypes of an online answer: the types of its features in order, separated by commas. JSON alone
	// does not tell an int64 from a whole float64, nor a timestamp from a string.
	HeaderTypes = "Lockstep-Types"
	// HeaderKeyTypes of an online answer: the types of its keys by name, in the form of a query string.
	HeaderKeyTypes = "Lockstep-Key-Types"
	// HeaderRequestID of an answer to a failed request: the id under which the server logged the failure.
	HeaderRequestID = "X-Request-Id"
)

// The media types of bodies.
const (
	MediaJSON    = "application/json"
	MediaNDJSON  = "application/x-ndjson"
	MediaParquet = "application/vnd.apache.parquet"
	MediaArrow   = "application/vnd.apache.arrow.stream"
	MediaFeather = "application/vnd.apache.arrow.file"
	MediaCSV     = "text/csv"
	MediaOctets  = "application/octet-stream"
	MediaForm    = "multipart/form-data"
	MediaText    = "text/plain"
	MediaSchema  = "application/schema+json"
)

// Formats returns the names of the file formats.
func Formats() []string { return []string{"parquet", "arrow", "feather", "csv", "jsonl"} }

// MediaOf returns the media type of a file format, "" for an unknown one.
func MediaOf(format string) string {
	switch format {
	case "parquet":
		return MediaParquet
	case "arrow":
		return MediaArrow
	case "feather":
		return MediaFeather
	case "csv":
		return MediaCSV
	case "jsonl":
		return MediaNDJSON
	default:
		return ""
	}
}

// FormatOf returns the file format of a media type without parameters, "" for an unknown one.
func FormatOf(media string) string {
	switch media {
	case "application/ndjson", "application/jsonl":
		return "jsonl"
	}
	for _, f := range Formats() {
		if MediaOf(f) == media {
			return f
		}
	}
	return ""
}

// Fill puts name in the place of the only braces of a path.
func Fill(path, name string) string {
	from, to := strings.IndexByte(path, '{'), strings.IndexByte(path, '}')
	if from < 0 || to < from {
		return path
	}
	return path[:from] + url.PathEscape(name) + path[to+1:]
}
