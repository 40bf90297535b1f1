// Package killtest holds the kill suite: real processes, killed by SIGKILL at random moments under load, and what must be true
// afterwards. Everything in it is a test; make test plays 3 rounds, make kill plays 200.
//
// A round is a deployment from nothing to its end: a server, in some rounds with NATS or ClickHouse in a process apart. Three
// producers push over HTTP and one publishes to NATS, each batch over 60 partitions, every twelfth so long that it takes
// several messages of the log. The round's victim is killed one to four times:
//
//   - server: the process of Lockstep, with its engine or without; in a third of the kills once more while it starts;
//   - clickhouse: the engine, and with it at times the process that watches over it;
//   - nats: a NATS server of its own;
//   - import and materialize: the command, the server or the engine while files are imported, or while the replica loads its
//     history and a table that somebody else keeps is copied.
//
// A moment is a time, or it is aimed: so many acknowledgements later, or when so many parts, or tokens of parts, of an insert
// have been written. What was killed is started again as it was, once, and nothing else is done for it.
//
// Then the load ends, and everything has to be level with the log within three minutes. Checked is that
//
//   - every batch is in the log whole and once if it was acknowledged, else whole or not at all, with the values that were sent;
//   - ClickHouse has the rows of the log, entry by entry, by counts and by sums that depend on the order; of imports and copies
//     those that the log names, whole and once;
//   - the replica answers for every single row, by its number, with its value and time, and for rows that nobody took with
//     nothing;
//   - both paths answer for samples of keys at several instants as internal/oracle does, which was told what the log holds, and
//     verify finds no difference;
//   - no answer that a producer got was one that no kill explains;
//   - all processes stop within a minute when they are asked to, and leave no engine and no staged file behind.
package killtest
