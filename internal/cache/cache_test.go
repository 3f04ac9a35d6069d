package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoadsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[int](4)
		var loads atomic.Int32
		release := make(chan struct{})
		load := func(context.Context) (int, error) {
			<-release
			return int(loads.Add(1)), nil
		}
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if v, err := c.Get(t.Context(), "a", load); v != 1 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		synctest.Wait()
		close(release)
		group.Wait()
		if v, _ := c.Get(t.Context(), "b", load); v != 2 {
			t.Errorf("another key has %d", v)
		}
	})
}

func TestKeepsNoFailure(t *testing.T) {
	c := New[string](1)
	away := errors.New("away")
	if _, err := c.Get(t.Context(), "a", func(context.Context) (string, error) { return "x", away }); !errors.Is(err, away) {
		t.Fatalf("got %v", err)
	}
	if v, err := c.Get(t.Context(), "a", func(context.Context) (string, error) { return "here", nil }); v != "here" || err != nil {
		t.Fatalf("got %q, %v", v, err)
	}
}

func TestForgetsTheLeastUsed(t *testing.T) {
	c := New[string](2)
	loads := 0
	get := func(key string) {
		t.Helper()
		if v, err := c.Get(t.Context(), key, func(context.Context) (string, error) { loads++; return key, nil }); v != key || err != nil {
			t.Fatalf("%s: got %q, %v", key, v, err)
		}
	}
	for _, key := range []string{"a", "b", "a", "c", "a"} {
		get(key)
	}
	if loads != 3 {
		t.Errorf("%d loads, want 3", loads)
	}
	if get("b"); loads != 4 {
		t.Errorf("%d loads, want 4: b was used least", loads)
	}
}

// Whoever waits for somebody else's load does not fail because they left.
func TestOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[string](1)
		first, leave := context.WithCancel(t.Context())
		load := func(ctx context.Context) (string, error) {
			if ctx == first {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return "loaded", nil
		}
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := c.Get(first, "a", load); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if v, err := c.Get(t.Context(), "a", load); v != "loaded" || err != nil {
				t.Errorf("who waited got %q, %v", v, err)
			}
		})
		synctest.Wait()
		leave()
		group.Wait()
	})
}

// That something took too long for a server is no sign that a caller left: nobody
// tries it again one after the other.
func TestTimeoutsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[int](4)
		var loads atomic.Int32
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				_, err := c.Get(t.Context(), "a", func(context.Context) (int, error) {
					loads.Add(1)
					time.Sleep(time.Second)
					return 0, fmt.Errorf("get: %w", context.DeadlineExceeded)
				})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			})
		}
		group.Wait()
		if n := loads.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
	})
}
