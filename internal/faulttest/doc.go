// Package faulttest holds the fault suite: what users see while NATS or ClickHouse is away, slow or damaged, while a disk is
// full or the clock is wrong, and that nothing that was acknowledged is lost. Everything in it is a test;
// docs/operations.md says the same in a table.
package faulttest
