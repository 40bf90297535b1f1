// Package expr are the expressions of rule D2 of docs/semantics.md: parsed once, checked against the types of the names they
// read, then compiled to Go or rendered as ClickHouse SQL. Both give the same value for the same input; a property test holds
// them against each other. An expression is pure: no clock, no randomness, no state.
//
// The grammar is that of github.com/expr-lang/expr, of which only the parser is used: what names, operators and functions
// mean is decided here. NULL goes through every operator and function, but for and, or, ??, ?:, isNull and isNotNull. A float64 result
// that is not finite is NULL (rule V2).
package expr
