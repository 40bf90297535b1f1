package api

import "github.com/lockstepfs/lockstep/feature"

// Codes that exist at the HTTP boundary only; the others are those of package feature.
const (
	CodeUnauthorized     feature.Code = "unauthorized"       // 401: no token, or an unknown one
	CodeForbidden        feature.Code = "forbidden"          // 403: the token or the configuration does not allow it
	CodeMethodNotAllowed feature.Code = "method_not_allowed" // 405
)

// Sentinels for errors.Is, as those of package feature.
var (
	ErrUnauthorized = &feature.Error{Code: CodeUnauthorized}
	ErrForbidden    = &feature.Error{Code: CodeForbidden}
)

// ErrorBody is the body of every answer that is not a success.
type ErrorBody struct {
	Error *feature.Error `json:"error"`
}
