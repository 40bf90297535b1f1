package sdk

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/lockstepfs/lockstep/api"
)

// DeadLetters lists what the gate refused; Next of the result is the After of the next page.
func (c *Client) DeadLetters(ctx context.Context, q api.DeadLetterQuery) (*api.DeadLetters, error) {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("source", q.Source)
	set("reason", q.Reason)
	if !q.Since.IsZero() {
		set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		set("until", q.Until.UTC().Format(time.RFC3339Nano))
	}
	if q.After > 0 {
		set("after", strconv.FormatUint(q.After, 10))
	}
	if q.Limit != 0 {
		set("limit", strconv.Itoa(q.Limit))
	}
	out := new(api.DeadLetters)
	if err := c.get(ctx, api.PathDeadLetters, query, out); err != nil {
		return nil, err
	}
	return out, nil
}

// DeadLetter returns one refused row by its sequence.
func (c *Client) DeadLetter(ctx context.Context, seq uint64) (*api.DeadLetter, error) {
	return describe[api.DeadLetter](ctx, c, api.PathDeadLetter, strconv.FormatUint(seq, 10))
}

// ReplayDeadLetters lets refused rows come to the gate again. Those that are taken are no dead letters any more, the
// others stay with the reason of today; however often it is called, a row is taken once. progress may be nil.
func (c *Client) ReplayDeadLetters(ctx context.Context, req api.ReplayRequest, progress func(api.Progress)) (*api.ReplayResult, error) {
	k, err := post(api.PathReplay, req)
	if err != nil {
		return nil, err
	}
	return lines[api.ReplayResult](ctx, c, k, progress)
}
