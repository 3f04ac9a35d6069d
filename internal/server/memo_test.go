package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		slow := make(chan struct{})
		m := &memo[int64]{ttl: 50 * time.Millisecond, patience: 20 * time.Millisecond, ask: func(context.Context) (int64, error) {
			n := asked.Add(1)
			if n == 2 {
				<-slow
			}
			if n == 3 {
				return 0, errors.New("no answer")
			}
			return n, nil
		}}
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if v, err := m.get(t.Context()); v != 1 || err != nil {
					t.Errorf("get() = %d, %v", v, err)
				}
			})
		}
		group.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(60 * time.Millisecond)
		if v, err := m.get(t.Context()); v != 1 || err != nil { // the second answer takes long
			t.Errorf("get() = %d, %v", v, err)
		}
		close(slow)
		wait := func(want int64, wantErr bool) {
			t.Helper()
			deadline := time.Now().Add(5 * time.Second)
			for {
				v, err := m.get(t.Context())
				if v == want && (err != nil) == wantErr {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("get() = %d, %v", v, err)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		wait(2, false)
		wait(0, true)
		wait(4, false)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		never := &memo[int]{ask: func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }}
		if _, err := never.get(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("get() with an ended context: %v", err)
		}
		time.Sleep(askLimit) // what nobody waits for ends, too
	})
}
