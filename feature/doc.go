// Package feature holds the nouns of Lockstep: types and values, instants and spans, keys, events in
// columns, definitions (entities, sources, views, services) and the catalog they form, statuses, and the
// error that crosses every boundary. It knows no store, no clock and no third-party code; the rules it
// cites by number (T1, K4, V2, ...) are those of docs/semantics.md.
package feature
