// Package cache keeps what is dear to load.
package cache

import (
	"context"
	"errors"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// Cache keeps the values that were used last, by their keys. Callers that want
// the same value at one time wait for one load of it. What could not be loaded is
// not kept: the next caller tries again. It is safe for concurrent use.
type Cache[V any] struct {
	kept    *lru.Cache[string, V]
	loading singleflight.Group
}

// New returns a Cache of at most size values. It panics for a size below 1.
func New[V any](size int) *Cache[V] {
	kept, err := lru.New[string, V](size)
	if err != nil {
		panic(err)
	}
	return &Cache[V]{kept: kept}
}

// Get returns the value of a key, and loads it when it is not kept. A load that
// ends with the context of the caller who began it is begun anew for the others.
func (c *Cache[V]) Get(ctx context.Context, key string, load func(context.Context) (V, error)) (V, error) {
	for {
		if v, ok := c.kept.Get(key); ok {
			return v, nil
		}
		mine := false
		v, err, _ := c.loading.Do(key, func() (any, error) {
			mine = true
			if v, ok := c.kept.Get(key); ok { // loaded a moment ago
				return v, nil
			}
			v, err := load(ctx)
			switch {
			case err == nil:
				c.kept.Add(key, v)
			case ctx.Err() != nil:
				err = left{err}
			}
			return v, err
		})
		switch {
		case err == nil:
			return v.(V), nil
		case mine, ctx.Err() != nil, !errors.As(err, new(left)):
			var none V
			return none, err
		}
	}
}

// left is why a load failed whose caller had gone. That something took too long
// for others is no such error: it would take as long for the next.
type left struct{ error }

// Unwrap returns the cause.
func (e left) Unwrap() error { return e.error }
