package online

import (
	"context"
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Erase forgets what a view has of some keys (rule E3), in memory and on disk: events of them that are applied later
// count, as of any key. Who calls it moves the position afterwards. The error is CodeNotFound if the view is not
// followed.
func (s *Store) Erase(v feature.Ref, keys []feature.Key) error {
	s.apply.Lock()
	t := s.world.Load().tables[v]
	if t == nil {
		s.apply.Unlock()
		return unknownView(v)
	}
	stored := make([][]byte, len(keys))
	for i, k := range keys {
		stored[i] = wire.AppendKey(t.prefix(nil), k)
		s.erase(t, placeOf(stored[i]))
	}
	s.apply.Unlock()
	if err := s.Flush(); err != nil {
		return err
	}
	for _, key := range stored {
		if err := s.disk.purge(key); err != nil {
			return fmt.Errorf("erase a key of %s: %w", v, err)
		}
	}
	return nil
}

// erase puts an empty state over whatever the layers below have.
func (s *Store) erase(t *table, p place) {
	sh := t.shard(p.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if t.windows != nil {
		s.dirtyBytes.Add(t.erasePast(sh, p))
		return
	}
	c := &cell{key: string(p.key), hash: p.hash}
	sh.dirty[c.key] = c
	s.dirtyBytes.Add(cellBytes + int64(len(c.key)))
}

// purge makes Pebble write anew the files that could hold former values of a key that was deleted.
func (d *disk) purge(key []byte) error {
	if err := d.health.err(); err != nil {
		return err
	}
	return d.db.Compact(context.Background(), key, append(key, rowEnd), false)
}
