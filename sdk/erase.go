package sdk

import (
	"context"

	"github.com/lockstepfs/lockstep/api"
)

// Erase takes keys of an entity out of existence (rule E3): it returns when they are gone from the history, the server's
// replica, the dead letters and the log. Events that come later count. progress may be nil.
func (c *Client) Erase(ctx context.Context, req api.EraseRequest, progress func(api.Progress)) (*api.EraseResult, error) {
	k, err := post(api.PathErase, req)
	if err != nil {
		return nil, err
	}
	return lines[api.EraseResult](ctx, c, k, progress)
}
