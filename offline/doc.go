// Package offline is the history in ClickHouse: it keeps every event of every source, takes the log in exactly once and
// imported files a generation at a time, and answers what features were worth at any instant, for a few keys or for
// millions of spine rows.
//
// The SQL finds the newest visible event of a key by its position (rules T3, K, O, R1 and S2 of docs/semantics.md); package
// asof makes statuses, expiry and defaults of it. Each query is a template in sql/: identifiers pass through quote, values
// travel as parameters or as columns of a staged table.
//
// A column of a source is stored under its name, Nullable. An instant is a DateTime64(6, 'UTC'), written through an
// ephemeral column _us_<name> of microseconds, because the driver cannot hold instants after 2262. A list cannot be NULL in
// ClickHouse: _has_<name> tells NULL from the empty list.
package offline
