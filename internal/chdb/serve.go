package chdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Serve lets others reach the engine over listener, as a ClickHouse server's HTTP port, until ctx ends; it closes the
// listener. There is no authentication: the listener should be on loopback.
func (e *Engine) Serve(ctx context.Context, listener net.Listener) error {
	var open sync.WaitGroup
	defer open.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		client, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("serve the engine on %s: %w", listener.Addr(), err)
		}
		open.Go(func() { e.relay(ctx, client) })
	}
}

// relay joins a client with the engine until one of them is done or ctx ends.
func (e *Engine) relay(ctx context.Context, client net.Conn) {
	engine, err := e.DialContext(ctx, Addr)
	if err != nil {
		_ = client.Close() // which is all that the client learns
		return
	}
	// A client that is gone ends its statement, and the other way round; closing twice does no harm.
	end := func() {
		_ = client.Close()
		_ = engine.Close()
	}
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var there sync.WaitGroup
	there.Go(func() {
		defer end()
		_, _ = io.Copy(engine, client)
	})
	_, _ = io.Copy(client, engine)
	end()
	there.Wait()
}
