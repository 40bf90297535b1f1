package feature

import "strings"

// Key is a tuple of values, one a part of an entity's key, in the order of the entity (rule K1).
type Key []Value

// HasNull reports whether a part is NULL (rules K2 and K3).
func (k Key) HasNull() bool {
	for _, v := range k {
		if v.IsNull() {
			return true
		}
	}
	return false
}

// Equal reports whether all parts are equal.
func (k Key) Equal(o Key) bool {
	if len(k) != len(o) {
		return false
	}
	for i := range k {
		if !k[i].Equal(o[i]) {
			return false
		}
	}
	return true
}

// String returns the key for people, such as ("JFK", 5).
func (k Key) String() string {
	parts := make([]string, len(k))
	for i, v := range k {
		parts[i] = v.String()
	}
	return "(" + strings.Join(parts, ", ") + ")"
}
