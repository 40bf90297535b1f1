// Package materialize moves rows between the log and the two stores: Sink carries the log into ClickHouse,
// Replica carries it into the online store and loads from ClickHouse what the log only names, Importer carries
// files into ClickHouse and ends with a record in the log (rules C1 to C4). It knows the stores only by the
// small interfaces declared here.
package materialize
