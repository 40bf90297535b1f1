// Package sdk is the Go client of a Lockstep server: online reads, training sets, events, imports, the
// registry and operation, over HTTP. It needs nothing but the standard library, keeps no goroutines and does
// not log. A Client is safe for concurrent use.
//
// Every error that the server answers is a *feature.Error with the server's code, message and details, so
// errors.Is(err, feature.ErrNotFound) holds on both sides. A server that cannot be reached is
// feature.ErrUnavailable.
//
// Calls that may safely be made twice (reads, pushes, which carry an idempotency key, and files of which nothing
// was sent) are repeated when the connection fails or the server answers 429 or 503, a few times and with growing
// pauses; Config.Patience makes them wait longer for a server that is busy.
package sdk
