package identity

import "github.com/lockstepfs/lockstep/feature"

// Forget takes away events that do not exist any more (rule E3): those of the batch, which has the columns of the id and
// the event time, that arrived before a sequence.
func (x *Index) Forget(src *feature.Source, b *feature.Batch, before uint64) error {
	number, err := x.number(src)
	if err != nil {
		return err
	}
	r, err := rowsOf(src, b)
	if err != nil {
		return err
	}
	batch := x.db.NewBatch()
	defer batch.Close()
	key := prefix(number)
	at := len(key)
	for i := range b.Rows {
		var ok bool
		if key, ok = r.appendID(key[:at], i); !ok {
			continue
		}
		key = appendTime(key, feature.Time(r.times[i]))
		value, err := x.get(key)
		if err != nil {
			return err
		}
		if value == nil {
			continue
		}
		known, err := parseStored(key, value)
		if err != nil {
			return err
		}
		if known.place.Seq >= before {
			continue
		}
		if err := batch.Delete(key, nil); err != nil {
			return err
		}
	}
	return x.commit(batch)
}
