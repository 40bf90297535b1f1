package node

import (
	"sync"

	"github.com/lockstepfs/lockstep/feature"
)

// serving remembers what names without a version mean on this process (feature.Catalog.Serving), and of what.
type serving struct {
	mu      sync.RWMutex
	of      *feature.Catalog
	world   uint64 // of the replica
	catalog *feature.Catalog
}

// Serving returns the catalog as this process serves it: a changed view, or a service on it, takes over when its history
// is loaded here. It is the same one until the definitions change, or a view comes, goes or is ready.
func (n *Node) Serving() *feature.Catalog {
	if n.online == nil {
		return n.registry.Catalog()
	}
	s := &n.serving
	s.mu.RLock()
	if s.of == n.registry.Catalog() && s.world == n.online.World() && s.catalog != nil {
		defer s.mu.RUnlock()
		return s.catalog
	}
	s.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	// The number first: if a view is ready after it, the next call sees another number.
	s.world, s.of = n.online.World(), n.registry.Catalog()
	s.catalog = s.of.Serving(n.online.Ready, s.catalog)
	return s.catalog
}
