package server

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// class is the part of the process that requests of one class may take.
type class struct {
	name  api.Class
	slots chan struct{} // nil: any number
	time  time.Duration // longest time of one request
	pause time.Duration // after which a refused client may try again
}

func newClasses(l *Limits) map[api.Class]*class {
	all := map[api.Class]*class{api.ClassOpen: {time: openTime}}
	for _, name := range api.Classes() {
		of := l.class(name)
		c := &class{name: name, slots: make(chan struct{}, of.Concurrency), time: of.Time, pause: time.Second}
		if name != api.ClassRead && name != api.ClassWrite {
			c.pause = 5 * time.Second // what is before it takes longer
		}
		all[name] = c
	}
	return all
}

// placeKey is the key under which a request's context has what gives its place in its class back.
const placeKey = "place"

// leave gives the place of a request back before its answer ends: who has the whole answer finds the place free.
func leave(c *gin.Context) {
	if left, ok := c.Value(placeKey).(func()); ok {
		left()
	}
}

// admit lets a request of the class in, bounds its time and gives everything back when it ends, or refuses it
// at once: a queue would hold memory and answer when nobody waits any more.
func (s *Server) admit(k *class) gin.HandlerFunc {
	return func(c *gin.Context) {
		if k.slots != nil {
			select {
			case k.slots <- struct{}{}:
				left := sync.OnceFunc(func() { <-k.slots })
				defer left()
				c.Set(placeKey, left)
			default:
				s.metrics.shed.WithLabelValues(string(k.name)).Inc()
				c.Header("Retry-After", strconv.Itoa(int(k.pause/time.Second)))
				s.fail(c, feature.Errorf(feature.CodeOverloaded, "%d requests of the class %s are being served already: try again later", cap(k.slots), k.name))
				return
			}
		}
		defer s.release(c)
		ctx, cancel := context.WithTimeout(c.Request.Context(), k.time)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		// Who does not take the answer loses it; streams set deadlines of their own.
		_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(k.time + s.cfg.Limits.StallTime))
		c.Next()
	}
}
