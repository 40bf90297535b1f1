// Package online is the replica: it keeps, for every view that it follows, what reads at or above the view's
// floor can see (rule C4), applies the log to it and answers lookups.
//
// The state of a key is looked for in four places, newest first:
//
//  1. dirty: states changed since the last flush began, in sharded maps;
//  2. recent: the states of the flush before, being written or just written;
//  3. the cache: decoded states in ristretto, each with the epoch of its stripe when it was read. A flush moves the
//     epochs of what it has written, so that whatever ristretto drops, delays or keeps too long is a miss and
//     never a stale read;
//  4. Pebble, which gets all dirty states of a flush, the clocks of the views and the log's position in one batch:
//     after a crash the tail of the log is applied again to a state of some position, and nothing is lost.
//
// States are immutable slices of events: readers never see half an update. The applier is one goroutine; lookups
// and merges of history run beside it.
//
// A view with windows keeps many events of a key. Its state is a tree over them, which is changed and read in place, under
// the lock of its shard, and goes through the same four places; on disk each event is a row, and a flush writes those that
// are new. A window is read from a few sums in the tree and a part of two leaves, so that the cost of a read grows with the
// logarithm of the events. Windows with a hop and of a lifetime read tiles, in which events are summed up for good.
package online
