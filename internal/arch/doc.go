// Package arch holds no code: its test is the import table of the module, the rule that every package has a
// comment, and the limits on the length of files.
package arch
