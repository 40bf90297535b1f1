package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/derive"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/offline"
	"github.com/lockstepfs/lockstep/server"
)

// trainer makes training sets of the history.
type trainer struct{ *Node }

// Train waits until the history has everything that was in the log when it was asked, so that a training set
// contains what was pushed before it; it does not wait for ever.
func (n trainer) Train(ctx context.Context, t *server.Training) (*server.TrainingSet, error) {
	format, err := rowfile.ParseFormat(t.Format)
	if err != nil {
		return nil, err
	}
	cut, stale, err := n.cut(ctx, t.Cut)
	if err != nil {
		return nil, err
	}
	ask := offline.Training{Plan: t.Plan.Base(), SQL: t.Spine.SQL, TimeColumn: t.Time, Keys: t.Keys, Clock: t.Clock, Cut: cut}
	if t.Spine.KeysAll != "" {
		ask.KeysAll, ask.At = true, t.Spine.At
	}
	var file *rowfile.Reader
	if t.Spine.File != "" {
		if file, err = n.openSpine(t); err != nil {
			return nil, err
		}
		defer file.Close()
		ask.Fields, ask.Spine = file.Fields(), rowsOf(file)
	}
	set, err := n.offline.Train(ctx, ask)
	if err != nil {
		return nil, err
	}
	derived, err := derive.NewTraining(t.Plan, set.Fields)
	if err != nil {
		return nil, errors.Join(err, set.Close()) //nolint:contextcheck // closing does not end with the request
	}
	meta := metadata(t, set)
	if stale != "" {
		meta["lockstep.stale"] = stale
	}
	write := func(w io.Writer) error {
		out, err := rowfile.NewWriter(w, format, derived.Fields, meta)
		if err == nil {
			err = writeSet(out, derived.Batches(set.Batches(ctx)))
		}
		return errors.Join(err, set.Close())
	}
	return &server.TrainingSet{Fields: derived.Fields, Meta: meta, Write: write}, nil
}

// cut returns the state that a training set is made of: the one asked for, or that of now.
func (n trainer) cut(ctx context.Context, asked *feature.Cut) (cut feature.Cut, stale string, err error) {
	if asked == nil {
		return n.fresh(ctx)
	}
	cut = feature.Cut{Log: cmp.Or(asked.Log, n.log.ID()), Seq: asked.Seq}
	if cut.Log != n.log.ID() {
		return cut, "", feature.Errorf(feature.CodeInvalid, "cut: sequence %d is of log %s, this log is %s", cut.Seq, cut.Log, n.log.ID())
	}
	_, head, err := n.log.Bounds(ctx)
	if err != nil {
		return cut, "", err
	}
	if cut.Seq > head {
		return cut, "", feature.Errorf(feature.CodeInvalid, "cut: the log has %d entries, there is no sequence %d yet", head, cut.Seq)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return cut, "", n.covered.Wait(ctx, cut.Seq)
}

// openSpine opens the spine's file with its keys and its time read as what they are.
func (n trainer) openSpine(t *server.Training) (*rowfile.Reader, error) {
	format, err := rowfile.ParseFormat(t.Spine.Format)
	if err != nil {
		return nil, err
	}
	types := map[string]feature.Type{}
	for _, k := range t.Plan.Keys {
		column := k.Name
		if renamed, ok := t.Keys[k.Name]; ok {
			column = renamed
		}
		types[column] = k.Type
	}
	for _, in := range t.Plan.Inputs {
		types[in.Name] = in.Type
	}
	if t.Time != "" {
		types[t.Time] = feature.Timestamp
	} else {
		for _, name := range []string{"event_timestamp", "ts", "time"} {
			types[name] = feature.Timestamp
		}
	}
	file, err := rowfile.Open(t.Spine.File, format, types)
	return file, ofSpine(err)
}

// ofSpine makes what is wrong with a spine say so: the client does not know the file that it was put into.
func ofSpine(err error) error {
	e, ok := errors.AsType[*feature.Error](err)
	if !ok {
		return err
	}
	e.Message = "cannot read the spine"
	for i := range e.Details {
		e.Details[i].File = "spine"
	}
	return e
}

func rowsOf(file *rowfile.Reader) iter.Seq2[*feature.Batch, error] {
	return func(yield func(*feature.Batch, error) bool) {
		for {
			b, err := file.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(b, ofSpine(err)) || err != nil {
				return
			}
		}
	}
}

// metadata is what a training set says of itself (rule G2).
func metadata(t *server.Training, set *offline.TrainingSet) map[string]string {
	var views []string
	for _, it := range t.Plan.Items {
		views = append(views, it.View.Ref().String())
	}
	generations, _ := json.Marshal(set.Generations) // numbers by name cannot fail to encode
	meta := map[string]string{
		"lockstep.views": strings.Join(views, ","), "lockstep.clock": t.Clock.String(), "lockstep.log": set.Cut.Log,
		"lockstep.seq": strconv.FormatUint(set.Cut.Seq, 10), "lockstep.generations": string(generations), "lockstep.rows": strconv.FormatUint(set.Rows, 10),
	}
	if refs := t.Plan.OnDemandRefs(); len(refs) > 0 {
		meta["lockstep.ondemand"] = strings.Join(refs, ",")
	}
	if t.Plan.Service.Name != "" {
		meta["lockstep.service"] = t.Plan.Service.String()
	}
	return meta
}

func writeSet(out *rowfile.Writer, batches iter.Seq2[*feature.Batch, error]) error {
	for b, err := range batches {
		if err != nil {
			return fmt.Errorf("make the training set: %w", err)
		}
		if err := out.Write(b); err != nil {
			return err
		}
	}
	return out.Close()
}
