// Package killtest holds the kill suite: real processes of Lockstep, killed at random moments under load, and what
// must be true afterwards. Everything in it is a test; make kill runs many rounds of it.
package killtest
