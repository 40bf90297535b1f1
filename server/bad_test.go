package server_test

import (
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

const online, train, events, imports = api.PathOnline, api.PathHistorical, "/v1/events/flights", "/v1/import/flights"

// ok is an online request that is right, to be spoilt.
const ok = `"features":["departures.load"],"entities":{"airport":["JFK"]}`

type bad struct {
	name   string
	req    request
	status int
	want   string // code, message and details on one line
}

func media(m string) map[string]string { return map[string]string{"Content-Type": m} }

func badOnline() []bad {
	post := func(body string) request { return request{path: online, body: body} }
	keys := "invalid: the keys cannot be taken | "
	return []bad{
		{"empty", post(``), 400, "invalid: not JSON: expected an object, but the text ends after 0 bytes"},
		{"blank", post("  \n"), 400, "invalid: not JSON: expected an object, but the text ends after 3 bytes"},
		{"no object", post(`[1]`), 400, "invalid: not JSON at byte 1: expected an object"},
		{"cut off", post(`{"service":`), 400, "invalid: not JSON: expected a value, but the text ends after 11 bytes"},
		{"trailing", post(`{` + ok + `} {}`), 400, "invalid: not JSON at byte 65: expected nothing after the value"},
		{"single quotes", post(`{'a':1}`), 400, "invalid: not JSON at byte 2: expected a name in double quotes"},
		{"a comma too many", post(`{` + ok + `,}`), 400, "invalid: not JSON at byte 64: expected a name in double quotes"},
		{"no colon", post(`{"service" "x"}`), 400, "invalid: not JSON at byte 12: expected a colon after the name"},
		{"no comma", post(`{"path":"auto" "at":"x"}`), 400, "invalid: not JSON at byte 16: expected a comma or the end of the object"},
		{"NaN", post(`{"features":["departures.load"],"entities":{"airport":[NaN]}}`), 400, "invalid: not JSON at byte 56: expected a value"},
		{"Infinity", post(`{"features":["departures.load"],"entities":{"airport":[-Infinity]}}`), 400, "invalid: not JSON at byte 57: this is not a JSON number"},
		{"leading zero", post(`{"features":["departures.load"],"entities":{"airport":[007]}}`), 400, "invalid: not JSON at byte 59: this is not a JSON number"},
		{"half an exponent", post(`{"entities":{"airport":[1e]}}`), 400, "invalid: not JSON at byte 27: this is not a JSON number"},
		{"half a fraction", post(`{"entities":{"airport":[1.]}}`), 400, "invalid: not JSON at byte 27: this is not a JSON number"},
		{"bad word", post(`{"entities":{"airport":[nul]}}`), 400, "invalid: not JSON at byte 25: expected a value"},
		{"invalid UTF-8", post("{\"service\":\"a\xff\"}"), 400, "invalid: not JSON at byte 15: a string is not valid UTF-8"},
		{"control character", post("{\"service\":\"a\x01\"}"), 400, "invalid: not JSON at byte 14: a string has a control character that is not escaped"},
		{"half a surrogate pair", post(`{"service":"\ud83d"}`), 400, "invalid: not JSON at byte 19: half of a surrogate pair"},
		{"unknown escape", post(`{"service":"\x"}`), 400, "invalid: not JSON at byte 14: unknown escape in a string"},
		{"bad hexadecimal", post(`{"service":"\u00zz"}`), 400, `invalid: not JSON at byte 14: expected four hexadecimal digits after \u`},
		{"no end of a string", post(`{"service":"abc`), 400, "invalid: not JSON: expected the end of a string, but the text ends after 15 bytes"},
		{"deep", post(`{"request":` + strings.Repeat("[", 60_000)), 400, "invalid: not JSON at byte 43: it is nested too deeply"},
		{"a name twice", post(`{"service":"a","service":"b"}`), 400, `invalid: not JSON at byte 16: the name "service" comes twice`},
		{"a name twice, escaped", post(`{"service":"a","s\u0065rvice":"b"}`), 400, `invalid: not JSON at byte 16: the name "service" comes twice`},
		{"a key twice", post(`{"entities":{"airport":[],"airport":[]}}`), 400, `invalid: not JSON at byte 27: the name "airport" comes twice`},
		{"unknown field", post(`{"servise":"a"}`), 400, `invalid: unknown field "servise": expected one of service, features, entities, request, events, at, path`},
		{"unknown field by case", post(`{"Service":"a"}`), 400, `invalid: unknown field "Service": expected one of service, features, entities, request, events, at, path`},
		{"service of another kind", post(`{"service":5}`), 400, "invalid: field service: expected a string, got a number"},
		{"features of another kind", post(`{"features":"a.b"}`), 400, "invalid: field features: expected an array of strings, got a string"},
		{"a feature of another kind", post(`{"features":["a.b",{}]}`), 400, "invalid: field features: expected a string, got an object"},
		{"entities of another kind", post(`{"entities":["JFK"]}`), 400, "invalid: field entities: expected an object, got an array"},
		{"a key of another kind", post(`{"entities":{"airport":"JFK"}}`), 400, `invalid: field entities: expected an array for key "airport", got a string`},
		{"neither", post(`{"entities":{}}`), 400, "invalid: name a service, or features"},
		{"both", post(`{"service":"delay_model",` + ok + `}`), 400, "invalid: name either a service or features, not both"},
		{"unknown service", post(`{"service":"nope"}`), 404, `not_found: unknown service "nope": expected one of delay_model`},
		{"unknown version", post(`{"service":"delay_model@9"}`), 404, `not_found: unknown service "delay_model@9": expected one of delay_model`},
		{"bad version", post(`{"service":"delay_model@x"}`), 400, `invalid: version "x" in "delay_model@x": expected a whole number from 1`},
		{"unknown view", post(`{"features":["nope.x"]}`), 404, `not_found: unknown view "nope": expected one of departures, seats`},
		{"unknown feature", post(`{"features":["departures.x"]}`), 404, `not_found: unknown feature "departures.x": expected one of departures.last_delay, departures.load, departures.seen`},
		{"no view", post(`{"features":["x"]}`), 400, `invalid: feature "x": expected VIEW.FEATURE`},
		{"missing keys", post(`{"service":"delay_model"}`), 400, "invalid: the keys of the request are not those of the features | airport: missing: expected an array of string | destination: missing: expected an array of string"},
		{"unknown key", post(`{"features":["departures.load"],"entities":{"airport":["JFK"],"origin":["LAX"]}}`), 400, "invalid: the keys of the request are not those of the features | origin: unknown key: expected airport"},
		{"different lengths", post(`{"service":"delay_model","entities":{"airport":["JFK"],"destination":["LAX","SFO"]}}`), 400, keys + "destination: has 2 values, airport has 1"},
		{"a list for a key", post(`{"features":["departures.load"],"entities":{"airport":[["JFK"]]}}`), 400, keys + "row 0: airport: expected string, got an array"},
		{"an object for a key", post(`{"features":["departures.load"],"entities":{"airport":["JFK",{"a":1}]}}`), 400, keys + "row 1: airport: expected string, got an object"},
		{"a fraction for an int64", post(`{"features":["seats.price"],"entities":{"flight":[1.5],"window":[true],"day":["2001-01-01"]}}`), 400, keys + "row 0: flight: expected int64, got the number 1.5"},
		{"a huge number", post(`{"features":["seats.price"],"entities":{"flight":[1e400],"window":[true],"day":["2001-01-01"]}}`), 400, keys + "row 0: flight: expected int64, got the number 1e400"},
		{"past an int64", post(`{"features":["seats.price"],"entities":{"flight":[9223372036854775808],"window":[true],"day":["2001-01-01"]}}`), 400, keys + "row 0: flight: expected int64, got the number 9223372036854775808"},
		{"words for numbers", post(`{"features":["seats.price"],"entities":{"flight":["x"],"window":["yes"],"day":["noon"]}}`), 400, keys + `row 0: flight: cannot take string "x" for int64 | row 0: window: cannot take string "yes" for bool | row 0: day: cannot read "noon" as a time: expected RFC 3339, such as 2001-06-25T12:00:00Z`},
		{"a number for a timestamp", post(`{"features":["seats.price"],"entities":{"flight":[1],"window":[true],"day":[993427200]}}`), 400, keys + "row 0: day: cannot take int64 993427200 for timestamp"},
		{"a time out of range", post(`{"features":["seats.price"],"entities":{"flight":[1],"window":[true],"day":["2300-01-01"]}}`), 400, keys + "row 0: day: time 2300-01-01T00:00:00Z is outside the years 1900 to 2299"},
		{"bad at", post(`{` + ok + `,"at":"yesterday"}`), 400, `invalid: field at: cannot read "yesterday" as a time: expected RFC 3339, such as 2001-06-25T12:00:00Z`},
		{"at out of range", post(`{` + ok + `,"at":"1899-12-31T23:59:59Z"}`), 400, "invalid: field at: time 1899-12-31T23:59:59Z is outside the years 1900 to 2299"},
		{"at as a number", post(`{` + ok + `,"at":5}`), 400, "invalid: field at: expected a string, got a number"},
		{"unknown path", post(`{` + ok + `,"path":"fast"}`), 400, `invalid: field path: unknown path "fast": expected auto, online or offline`},
		{"an unknown input", post(`{` + ok + `,"request":{"x":[1]}}`), 400, "invalid: the request inputs cannot be taken | x: unknown input: expected none, these features need no inputs"},
		{"inputs of another kind", post(`{` + ok + `,"request":[1]}`), 400, "invalid: field request: expected an object, got an array"},
		{"an input of another kind", post(`{` + ok + `,"request":{"x":1}}`), 400, `invalid: field request: expected an array for input "x", got a number`},
		{"an explanation of one path", request{path: api.PathExplain, body: `{` + ok + `,"path":"online"}`}, 400, "invalid: field path: an explanation is of both paths: leave it out"},
		{"an explanation of two keys", request{path: api.PathExplain, body: `{"features":["departures.load"],"entities":{"airport":["JFK","LAX"]}}`}, 400, "invalid: field entities: expected one key to explain, got 2"},
		{"events of nothing", post(`{` + ok + `,"events":{"trains":[{}]}}`), 400, `invalid: field events: nothing that is read is made from a source "trains": expected flights`},
		{"events in an array", post(`{` + ok + `,"events":[{}]}`), 400, "invalid: field events: expected an object of sources with an array of rows each, got an array"},
		{"one event", post(`{` + ok + `,"events":{"flights":{}}}`), 400, `invalid: field events: expected an array of rows for source "flights", got an object`},
		{"bad events", post(`{` + ok + `,"events":{"flights":[{"n":1},{},{"n":"x"}]}}`), 400, "invalid: the events cannot be taken | row 1: events.flights.n: expected a number | row 2: events.flights.n: expected a number"},
		{"too many events", post(`{` + ok + `,"events":{"flights":[1,2,3,4,5,6]}}`), 413, "too_large: the request brings more than 5 events of source flights, the limit of one request"},
		{"too many keys", post(`{"features":["departures.load"],"entities":{"airport":["1","2","3","4","5","6"]}}`), 413, "too_large: airport has more than 5 values, the limit of one request"},
		{"another content type", request{path: online, body: `{` + ok + `}`, header: media("text/plain; charset=utf-8")}, 400, "invalid: content type text/plain is not supported here: expected application/json"},
		{"malformed content type", request{path: online, body: `{` + ok + `}`, header: media(";;")}, 400, `invalid: content type ";;" is malformed`},
		{"compressed", request{path: online, body: `{` + ok + `}`, header: map[string]string{"Content-Encoding": "gzip"}}, 400, `invalid: content encoding "gzip" is not supported: send the body as it is`},
		{"a parameter", request{path: online + "?at=1", body: `{` + ok + `}`}, 400, `invalid: unknown parameter "at": none is taken here`},
		{"a malformed query", request{path: online + "?a=%zz", body: `{` + ok + `}`}, 400, `invalid: the query string is malformed: invalid URL escape "%zz"`},
		{"too large", post(`{"service":"` + strings.Repeat("x", 70_000) + `"}`), 413, "too_large: the body is larger than the limit of 65536 bytes"},
	}
}

func badTraining() []bad {
	post := func(body string) request { return request{path: train, body: body} }
	svc := `"service":"delay_model"`
	file := func(query, m, body string) request {
		return request{path: train + query, body: body, header: media(m)}
	}
	return []bad{
		{"training: no spine", post(`{` + svc + `}`), 400, "invalid: give exactly one of spine, spine_sql and keys_all, or send a file as the body"},
		{"training: two spines", post(`{` + svc + `,"spine":[{}],"keys_all":"airport"}`), 400, "invalid: give exactly one of spine, spine_sql and keys_all, or send a file as the body"},
		{"training: empty spine", post(`{` + svc + `,"spine":[]}`), 400, "invalid: field spine: it has no rows"},
		{"training: scalar spine", post(`{` + svc + `,"spine":5}`), 400, "invalid: field spine: expected an object with columns and rows, or an array of objects, got a number"},
		{"training: scalar row", post(`{` + svc + `,"spine":[{},5]}`), 400, "invalid: the spine cannot be taken | row 1: expected an object, got a number"},
		{"training: ragged", post(`{` + svc + `,"spine":{"columns":["a","b"],"rows":[[1,2],[1]]}}`), 400, "invalid: the spine cannot be taken | row 1: expected 2 values, one for each column, got 1"},
		{"training: column twice", post(`{` + svc + `,"spine":{"columns":["a","a"],"rows":[[1,2]]}}`), 400, `invalid: field spine: the column "a" comes twice`},
		{"training: no columns", post(`{` + svc + `,"spine":{"rows":[[1]]}}`), 400, "invalid: field spine: it needs columns and rows"},
		{"training: unknown in spine", post(`{` + svc + `,"spine":{"cols":[]}}`), 400, `invalid: field spine: unknown field "cols": expected one of columns, rows`},
		{"training: unknown field", post(`{"servic":"x"}`), 400, `invalid: unknown field "servic": expected one of service, features, spine, spine_sql, keys_all, at, time, keys, clock, cut, format`},
		{"training: kind", post(`{` + svc + `,"keys":{"airport":5}}`), 400, "invalid: field keys: expected a string, got number"},
		{"training: clock", post(`{` + svc + `,"clock":"wall"}`), 400, `invalid: unknown clock "wall": expected event or available`},
		{"training: format", post(`{` + svc + `,"format":"xls"}`), 400, `invalid: unknown format "xls": expected parquet, arrow, feather, csv, jsonl`},
		{"training: key", post(`{` + svc + `,"keys":{"origin":"o"}}`), 400, `invalid: unknown key in keys "origin": expected one of airport, destination`},
		{"training: key without column", post(`{` + svc + `,"keys":{"airport":""}}`), 400, `invalid: field keys: key "airport" has no column`},
		{"training: entity", post(`{` + svc + `,"keys_all":"plane"}`), 404, `not_found: unknown entity "plane": expected one of airport, seat`},
		{"training: at with a spine", post(`{` + svc + `,"spine":[{}],"at":"2001-01-01"}`), 400, "invalid: field at: only with keys_all; the rows of a spine have their own times"},
		{"training: bad at", post(`{` + svc + `,"keys_all":"airport","at":"x"}`), 400, `invalid: field at: cannot read "x" as a time: expected RFC 3339, such as 2001-06-25T12:00:00Z`},
		{"training: query with JSON", request{path: train + "?service=x", body: `{}`}, 400, "invalid: query parameters go with a file as the body; in a JSON body give the same names as fields"},
		{"training: no format", file("?service=delay_model", api.MediaOctets, "x"), 400, "invalid: cannot tell the file's format: give spine_format, or the content type"},
		{"training: spine_format", file("?service=delay_model&spine_format=xls", api.MediaOctets, "x"), 400, `invalid: unknown spine_format "xls": expected parquet, arrow, feather, csv, jsonl`},
		{"training: empty file", file("?service=delay_model", api.MediaCSV, ""), 400, "invalid: the file is empty"},
		{"training: keys parameter", file("?service=delay_model&keys=airport", api.MediaCSV, "x"), 400, `invalid: parameter keys is "airport": expected KEY=COLUMN`},
		{"training: parameter twice", file("?service=a&service=b", api.MediaCSV, "x"), 400, `invalid: parameter "service" is given 2 times`},
		{"training: media", file("?service=delay_model", "image/png", "x"), 400, "invalid: content type image/png is not supported here: expected application/vnd.apache.parquet, application/vnd.apache.arrow.stream, application/vnd.apache.arrow.file, text/csv, application/x-ndjson, application/octet-stream, multipart/form-data"},
		{"training: malformed multipart", file("?service=delay_model", api.MediaForm, "x"), 400, "invalid: the multipart body is malformed: no multipart boundary param in Content-Type"},
		{"training: no part", file("?service=delay_model", api.MediaForm+"; boundary=x", "--x--\r\n"), 400, "invalid: the multipart body has no file"},
		{"training: cut off part", file("?service=delay_model&spine_format=csv", api.MediaForm+"; boundary=x", "--x\r\n\r\nabc"), 400, "invalid: the multipart body is malformed: spool the body: unexpected EOF"},
		{"training: two parts", file("?service=delay_model&spine_format=csv", api.MediaForm+"; boundary=x", "--x\r\n\r\nabc\r\n--x\r\n\r\nabc\r\n--x--\r\n"), 400, "invalid: the multipart body has more than one part: send one file, and everything else in the query"},
		{"training: large upload", file("?service=delay_model", api.MediaCSV, strings.Repeat("x", 200_000)), 413, "too_large: the body is larger than the limit of 131072 bytes"},
	}
}

func badOthers() []bad {
	post := func(path, body string) request { return request{path: path, body: body} }
	get := func(path string) request { return request{method: "GET", path: path} }
	return []bad{
		{"events: source", post("/v1/events/x", `[]`), 404, `not_found: unknown source "x": expected one of flights`},
		{"events: not JSON", post(events, `{"rows":[{]}`), 400, "invalid: not JSON at byte 11: expected a name in double quotes"},
		{"events: scalar", post(events, `5`), 400, "invalid: not JSON at byte 1: expected an object"},
		{"events: no rows", post(events, `{}`), 400, "invalid: field rows: missing: expected an array of objects"},
		{"events: rows of another kind", post(events, `{"rows":{}}`), 400, "invalid: field rows: expected an array of objects"},
		{"events: rows twice", post(events, `{"rows":[],"rows":[]}`), 400, "invalid: field rows: it comes twice"},
		{"events: unknown field", post(events, `{"row":[]}`), 400, `invalid: unknown field "row": expected one of rows`},
		{"events: a bad row", post(events, `[{},5]`), 400, "invalid: 1 of 2 rows are refused, so none was taken | row 1: expected a JSON object"},
		{"events: partial", post(events+"?partial=yes", `[]`), 400, `invalid: parameter partial is "yes": expected true or false`},
		{"events: content type", request{path: events, body: `a=1`, header: media("application/x-www-form-urlencoded")}, 400, "invalid: content type application/x-www-form-urlencoded is not supported here: expected application/json, application/x-ndjson"},
		{"events: long key", request{path: events, body: `[]`, header: map[string]string{api.HeaderIdempotencyKey: strings.Repeat("k", 256)}}, 400, "invalid: header Idempotency-Key: longer than 255 bytes"},
		{"events: large", post(events, `["`+strings.Repeat("x", 70_000)+`"]`), 413, "too_large: the body is larger than the limit of 65536 bytes"},
		{"import: source", post("/v1/import/x?format=csv", "x"), 404, `not_found: unknown source "x": expected one of flights`},
		{"import: format", request{path: imports + "?format=xls", body: "x", header: media(api.MediaOctets)}, 400, `invalid: unknown format "xls": expected parquet, arrow, feather, csv, jsonl`},
		{"import: no format", request{path: imports, body: "x", header: media(api.MediaOctets)}, 400, "invalid: cannot tell the file's format: give format, or the content type"},
		{"import: replace", request{path: imports + "?replace=1", body: "x", header: media(api.MediaCSV)}, 400, `invalid: parameter replace is "1": expected true or false`},
		{"import: empty", request{path: imports + "?format=csv", header: media(api.MediaOctets)}, 400, "invalid: the file is empty"},
		{"view", get("/v1/views/x"), 404, `not_found: unknown view "x": expected one of departures@1, departures@2, seats@1`},
		{"view version", get("/v1/views/departures@0"), 400, `invalid: version "0" in "departures@0": expected a whole number from 1`},
		{"service", get("/v1/services/x"), 404, `not_found: unknown service "x": expected one of delay_model@2, delay_model@3`},
		{"service versions", get("/v1/services/x/versions"), 404, `not_found: unknown service "x": expected one of delay_model@2, delay_model@3`},
		{"source", get("/v1/sources/x"), 404, `not_found: unknown source "x": expected one of flights`},
		{"entity", get("/v1/entities/x"), 404, `not_found: unknown entity "x": expected one of airport, seat`},
		{"registry: no files", post("/v1/registry/plan", `{}`), 400, "invalid: field files: missing: expected an object of file names and texts"},
		{"registry: files", post("/v1/registry/apply", `{"files":["a"]}`), 400, "invalid: field files: expected an object, got array"},
		{"registry: twice", post("/v1/registry/apply", `{"files":{"a":"","a":""}}`), 400, `invalid: not JSON at byte 18: the name "a" comes twice`},
		{"dead letters: after", get("/v1/deadletters?after=-1"), 400, `invalid: parameter after is "-1": expected a whole number from 0`},
		{"dead letters: limit", get("/v1/deadletters?limit=0"), 400, `invalid: parameter limit is "0": expected a whole number from 1 to 1000`},
		{"dead letters: parameter", get("/v1/deadletters?from=0"), 400, `invalid: unknown parameter "from": expected one of source, reason, since, until, after, limit`},
		{"dead letters: since", get("/v1/deadletters?since=now"), 400, `invalid: parameter since: cannot read "now" as a time: expected RFC 3339, such as 2001-06-25T12:00:00Z`},
		{"dead letter: none", get("/v1/deadletters/6"), 404, `not_found: there is no dead letter 6`},
		{"dead letter: no number", get("/v1/deadletters/x"), 404, `not_found: there is no dead letter "x": they have whole numbers from 1`},
		{"replay: both", post("/v1/deadletters/replay", `{"letters":[1],"source":"flights"}`), 400, "invalid: name either letters, or what selects them, not both"},
		{"replay: kind", post("/v1/deadletters/replay", `{"letters":["a"]}`), 400, "invalid: field letters: expected a whole number, got string"},
		{"replay: time", post("/v1/deadletters/replay", `{"since":"now"}`), 400, "invalid: field since: cannot read \"now\" as a time: expected RFC 3339, such as 2001-06-25T12:00:00Z"},
		{"erase: no entity", post("/v1/erase", `{"keys":{"airport":["JFK"]}}`), 404, `not_found: unknown entity "": expected one of airport, seat`},
		{"erase: entity", post("/v1/erase", `{"entity":"x","keys":{"airport":["JFK"]}}`), 404, `not_found: unknown entity "x": expected one of airport, seat`},
		{"erase: no keys", post("/v1/erase", `{"entity":"airport"}`), 400, "invalid: the keys of the request are not those of the features | airport: missing: expected an array of string"},
		{"erase: empty", post("/v1/erase", `{"entity":"airport","keys":{"airport":[]}}`), 400, "invalid: field keys: no key to erase"},
		{"erase: null", post("/v1/erase", `{"entity":"airport","keys":{"airport":["JFK",null]}}`), 400, "invalid: field keys: airport of key 1 is NULL, and no event has such a key"},
		{"erase: a part of a key", post("/v1/erase", `{"entity":"seat","keys":{"flight":[1],"window":[true]}}`), 400, "invalid: the keys of the request are not those of the features | day: missing: expected an array of timestamp"},
		{"erase: type", post("/v1/erase", `{"entity":"seat","keys":{"flight":["x"],"window":[true],"day":["2001-06-25"]}}`), 400, `invalid: the keys cannot be taken | row 0: flight: cannot take string "x" for int64`},
		{"erase: field", post("/v1/erase", `{"entity":"airport","key":"JFK"}`), 400, `invalid: unknown field "key": expected one of entity, keys, dry_run`},
		{"materialize: view", post("/v1/materialize", `{"views":["x"]}`), 404, `not_found: unknown view or source "x": expected one of departures, flights, seats`},
		{"materialize: kind", post("/v1/materialize", `{"full":"yes"}`), 400, "invalid: field full: expected true or false, got string"},
		{"verify: no service", post("/v1/verify", `{}`), 400, "invalid: name a service, or features"},
		{"verify: at", post("/v1/verify", `{"service":"delay_model","at":["x"]}`), 400, `invalid: field at: cannot read "x" as a time: expected RFC 3339, such as 2001-06-25T12:00:00Z`},
		{"verify: sample", post("/v1/verify", `{"service":"delay_model","sample":-1}`), 400, "invalid: field sample: expected a whole number from 0, got -1"},
		{"verify: sample kind", post("/v1/verify", `{"service":"delay_model","sample":1.5}`), 400, "invalid: field sample: expected a whole number, got number 1.5"},
		{"sql: none", post("/v1/sql", `{"query":" "}`), 400, "invalid: field query: missing"},
		{"sql: format", post("/v1/sql", `{"query":"x","format":"xml"}`), 400, `invalid: field format: unknown format "xml": expected json or ndjson`},
		{"route", get("/v2/x"), 404, "not_found: there is no route /v2/x; /openapi.json lists all"},
		{"trailing slash", get("/v1/views/"), 404, "not_found: there is no route /v1/views/; /openapi.json lists all"},
		{"method", get(online), 405, "method_not_allowed: /v1/features/online does not take GET: expected POST"},
		{"method of a path that fits another", request{method: "PUT", path: "/v1/deadletters/replay"}, 405, "method_not_allowed: /v1/deadletters/replay does not take PUT: expected POST"},
		{"odd method", request{method: "BREW", path: "/healthz"}, 405, "method_not_allowed: /healthz does not take BREW: expected GET"},
	}
}

func TestBadRequests(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	cfg.Limits.BodyBytes, cfg.Limits.UploadBytes, cfg.Limits.Keys = 64<<10, 128<<10, 5
	s := start(t, cfg)
	table := append(badOnline(), append(badTraining(), badOthers()...)...)
	for _, tc := range table {
		t.Run(tc.name, func(t *testing.T) {
			status, header, body := s.do(tc.req)
			e := errorOf(t, body)
			if got := string(e.Code) + ": " + flat(e); status != tc.status || got != tc.want {
				t.Errorf("answered %d\n got %s\nwant %s", status, got, tc.want)
			}
			if got := header.Get("Content-Type"); got != api.MediaJSON {
				t.Errorf("content type %q", got)
			}
		})
	}
	t.Logf("%d requests", len(table))
	if len(p.lookups)+len(p.trained)+len(p.imports)+len(p.changes) > 0 {
		t.Errorf("a bad request reached a part: %d lookups, %d trainings, %d imports, %d changes", len(p.lookups), len(p.trained), len(p.imports), len(p.changes))
	}
}

// TestCodes: a code has one status, and what is ours stays ours.
func TestCodes(t *testing.T) {
	p := &parts{}
	s := start(t, p.config())
	for _, tc := range []struct {
		err    error
		status int
		body   string
		retry  string
	}{
		{feature.Errorf(feature.CodeInvalid, "m"), 400, `{"error":{"code":"invalid","message":"m"}}`, ""},
		{feature.Errorf(feature.CodeBelowFloor, "m"), 400, `{"error":{"code":"below_floor","message":"m"}}`, ""},
		{feature.Errorf(feature.CodeNotFound, "m"), 404, `{"error":{"code":"not_found","message":"m"}}`, ""},
		{feature.Errorf(feature.CodeConflict, "m"), 409, `{"error":{"code":"conflict","message":"m"}}`, ""},
		{feature.Errorf(feature.CodeTooLarge, "m"), 413, `{"error":{"code":"too_large","message":"m"}}`, ""},
		{feature.Errorf(feature.CodeOverloaded, "m"), 429, `{"error":{"code":"overloaded","message":"m"}}`, "1"},
		{feature.Errorf(feature.CodeUnavailable, "m"), 503, `{"error":{"code":"unavailable","message":"m"}}`, "1"},
	} {
		p.failed = tc.err
		status, header, body := s.do(request{method: "GET", path: api.PathStatus})
		if status != tc.status || body != tc.body+"\n" || header.Get("Retry-After") != tc.retry {
			t.Errorf("%v is %d %s (Retry-After %q)", tc.err, status, body, header.Get("Retry-After"))
		}
	}
	for _, err := range []error{errBroken, feature.Errorf(feature.CodeInternal, "%w", errBroken)} {
		p.failed = err
		status, header, body := s.do(request{method: "GET", path: api.PathStatus})
		id := header.Get(api.HeaderRequestID)
		if status != 500 || strings.Contains(body, "secret") || id == "" || !strings.Contains(body, id) {
			t.Errorf("%v is %d %s with id %q", err, status, body, id)
		}
	}
}
