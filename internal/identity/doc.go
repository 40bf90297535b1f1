// Package identity tells which rows of a source are one event (rule E1): of rows with equal id whose event times are
// at most dedup apart the first to arrive is the event and the others are copies of it.
//
// An Index knows the events of every source that declares an id, on disk, and judges rows by them. A Publisher
// keeps an Index level with the log and brings into the log what is new. Several processes may do so for one
// source: each publishes only behind the last message of the source that its index knows, so that of two that
// take the same id at the same time one is refused, learns of the other's rows and judges again.
//
// Imported rows are not judged here but in the offline store, when the sink comes to their record
// (package offline); then the index learns them from there.
package identity
