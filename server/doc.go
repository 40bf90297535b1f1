// Package server answers HTTP: it decodes and checks a request, asks whether the caller may, calls one of the
// small interfaces that it declares (see Config), and encodes the answer. It knows no store. The contract is
// package api; the one thing that is decided here alone is which HTTP status a feature.Code has.
package server
