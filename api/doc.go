// Package api is the HTTP contract between a Lockstep server and its clients: paths, request and response
// bodies, the error body and the OpenAPI document made of them. It has types and constants only, no behaviour
// beyond describing itself, so that anybody may import it. All times in bodies are RFC 3339 in UTC, all spans
// are text such as 7d, and values are JSON scalars or lists of them.
package api
