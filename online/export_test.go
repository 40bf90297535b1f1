package online

// SmallLeaves returns c with leaves of a few events, so that a short history makes trees.
func SmallLeaves(c Config) Config {
	c.leaf = 4
	return c
}
