// Package gate is the one gate that every row passes on its way in: names, types, times, NaN and text are
// checked and converted here (rules T1, K4, V1 and V2 of docs/semantics.md), so that whoever reads the log
// never meets a bad row. What is refused is told with its row, its field and what was expected, or goes to the
// dead letters with its reason.
package gate
