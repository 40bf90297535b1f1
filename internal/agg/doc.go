// Package agg knows what a set of events is worth: the operators of rule W4 of docs/semantics.md. Each operator has a State
// that takes values one by one, in the order of their events (rule O1), or a whole State of later events, and gives the
// feature's value (rule W3). Which events are in a window is not decided here.
//
// Every State obeys these laws, which one property test checks for all of them. With a·b for "a, then Merge(b)":
//
//   - (a·b)·c and a·(b·c) give the same value, and so does adding all values to one State: a window may be split anywhere.
//   - A State without values is neutral on both sides.
//   - A decoded State is as the one that was encoded.
//
// Equality is that of rule V3: float64 sums, averages and variances agree within its bounds, all else exactly. Only first,
// last, first_n and last_n depend on the order of Merge.
package agg
