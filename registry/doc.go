// Package registry holds the definitions: it reads them from YAML, checks them, shows and makes the difference
// between a folder and what is registered, gives them versions (rule G1), and lets every running process
// follow the newest state.
//
// What an author writes is an Entity, Source, View or Service of this package, in normal form: everything
// that has a default is written out. What the rest of Lockstep reads is the feature.Catalog made from them.
// All of it is one JSON record under one key of a JetStream key-value bucket, replaced by compare-and-set, so
// that every reader sees a whole state and no writer loses another's.
package registry
