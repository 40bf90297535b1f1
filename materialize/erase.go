package materialize

import (
	"fmt"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// eraseError ends following the log at the record of an erase, so that no view's history is being merged when the record
// is applied: it might bring back what is erased.
type eraseError struct{ entry eventlog.Entry }

func (e *eraseError) Error() string {
	return fmt.Sprintf("entry %d of the log erases keys", e.entry.Seq)
}

// erase applies the record of an erase (rule E3). A view that loses keys only forgets them. One that loses some of the
// events of other keys, or whose history was being merged, is merged anew, from a history that covers the record.
func (r *Replica) erase(e eventlog.Entry) error {
	catalog := r.cfg.Catalog()
	joining, err := r.cfg.Present.Follow(catalog)
	if err != nil {
		return err
	}
	for _, v := range slices.Concat(catalog.Views, catalog.Former) {
		touched := slices.ContainsFunc(e.Record.Erase, func(x eventlog.Erasure) bool { return x.Source == v.Source })
		if !touched || !r.cfg.Present.Follows(v.Ref()) {
			continue
		}
		keys, own := keysOf(e.Record.Erase, v)
		if own && !slices.ContainsFunc(joining, func(j *feature.View) bool { return j.Ref() == v.Ref() }) {
			err = r.cfg.Present.Erase(v.Ref(), keys)
		} else {
			err = r.cfg.Present.Rejoin(v.Ref())
		}
		if err != nil {
			return fmt.Errorf("erase from %s: %w", v.Ref(), err)
		}
	}
	r.mu.Lock()
	r.adopted = nil // so that nobody takes the replica for ready before the views join anew
	r.mu.Unlock()
	return r.cfg.Present.Advance(e.Seq)
}
