// Package derive computes on-demand features (rule D3) from what a store answers and from what a request or a spine brings. It is the
// one place where that is done: for the answer of a read and for the rows of a training set.
package derive
