// Package eventlog is the ordered log of events: the one history that the offline store and every replica are
// functions of. It is kept by NATS JetStream, by a server in this process or by servers elsewhere.
//
// Three streams make it up; docs/format/log.md describes their messages.
//
//   - LOCKSTEP_LOG: row groups, on lockstep.log.<source>.<partition>, and records, on lockstep.log.$record.<id>.
//     There is one partition, 0: one process applies all of a source faster than a log with fsync takes it, and
//     more partitions would make smaller groups. The partition is in the subject so that there can be more.
//   - LOCKSTEP_DEAD: rows that the gate refused, with the reason, on lockstep.dead.<source>.
//   - LOCKSTEP_IN: JSON that other producers publish, on lockstep.in.<source>, until it is in the log.
//
// A sequence is a place in LOCKSTEP_LOG and means something only together with the log's ID.
//
// The log does not lose what it has acknowledged and does not take what it cannot keep: when LOCKSTEP_LOG has
// reached MaxBytes a publish fails with feature.CodeOverloaded until Trim has made room.
package eventlog
