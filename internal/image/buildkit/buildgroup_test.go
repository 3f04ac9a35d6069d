package buildkit

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubship/hubship/internal/model"
)

func TestFlightIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f buildGroup
		var runs atomic.Int64
		build := func(_ context.Context, log io.Writer) (model.Built, error) {
			runs.Add(1)
			time.Sleep(time.Second)
			_, _ = io.WriteString(log, "half\n")
			time.Sleep(time.Second)
			return model.Built{Digest: "d"}, nil
		}
		logs := make([]syncBuffer, 3)
		var wg sync.WaitGroup
		for i := range logs {
			wg.Go(func() {
				built, err := f.do(t.Context(), "k", false, &logs[i], build)
				if err != nil || built.Digest != "d" {
					t.Errorf("do = %v, %v", built, err)
				}
			})
		}
		wg.Wait()
		if runs.Load() != 1 {
			t.Errorf("%d builds, want 1", runs.Load())
		}
		following := 0
		for i := range logs {
			switch logs[i].String() {
			case "half\n":
			case "the same image is already being built: following that build\nhalf\n":
				following++
			default:
				t.Errorf("log %d: %q", i, logs[i].String())
			}
		}
		if following != 2 {
			t.Errorf("%d callers follow, want 2", following)
		}
		if _, err := f.do(t.Context(), "k", false, io.Discard, build); err != nil || runs.Load() != 2 {
			t.Errorf("a later call: %v, %d builds", err, runs.Load())
		}
	})
}

func TestFlightErrorIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f buildGroup
		broken := errors.New("broken")
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				_, err := f.do(t.Context(), "k", false, io.Discard, func(context.Context, io.Writer) (model.Built, error) {
					time.Sleep(time.Second)
					return model.Built{}, broken
				})
				if !errors.Is(err, broken) {
					t.Errorf("error %v", err)
				}
			})
		}
		wg.Wait()
	})
}

// The one who started a build goes away: a follower takes over with its own
// function, and never sees the other's cancellation.
func TestFlightIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f buildGroup
		ctx, cancel := context.WithCancel(t.Context())
		firstDone := make(chan error, 1)
		go func() {
			_, err := f.do(ctx, "k", false, io.Discard, func(ctx context.Context, _ io.Writer) (model.Built, error) {
				<-ctx.Done()
				return model.Built{}, ctx.Err()
			})
			firstDone <- err
		}()
		synctest.Wait()
		secondDone := make(chan error, 1)
		go func() {
			built, err := f.do(t.Context(), "k", false, io.Discard, func(context.Context, io.Writer) (model.Built, error) {
				return model.Built{Digest: "second"}, nil
			})
			if built.Digest != "second" {
				t.Errorf("the follower got %+v", built)
			}
			secondDone <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-firstDone; !errors.Is(err, context.Canceled) {
			t.Errorf("the starter got %v", err)
		}
		if err := <-secondDone; err != nil {
			t.Errorf("the follower got %v", err)
		}
	})
}

func TestFlightFollowerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f buildGroup
		finish := make(chan struct{})
		first := make(chan error, 1)
		go func() {
			_, err := f.do(t.Context(), "k", false, io.Discard, func(ctx context.Context, _ io.Writer) (model.Built, error) {
				<-finish
				return model.Built{}, ctx.Err()
			})
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var left syncBuffer
		if _, err := f.do(ctx, "k", false, &left, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the follower got %v", err)
		}
		close(finish)
		if err := <-first; err != nil {
			t.Errorf("the build was disturbed: %v", err)
		}
	})
}

// An image is shared whoever asked for it first, a failure only among those who
// are trusted alike.
func TestFlightOfUntrustedAndTrusted(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, outcome := range map[string]error{"success": nil, "failure": refused} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f buildGroup
				var builds atomic.Int64
				try := func(untrusted bool) error {
					_, err := f.do(t.Context(), "k", untrusted, io.Discard, func(context.Context, io.Writer) (model.Built, error) {
						builds.Add(1)
						time.Sleep(time.Second)
						if untrusted {
							return model.Built{}, outcome
						}
						return model.Built{}, nil
					})
					return err
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := try(true); !errors.Is(err, outcome) {
						t.Errorf("the first untrusted caller got %v", err)
					}
				})
				synctest.Wait()
				wg.Go(func() {
					if err := try(true); !errors.Is(err, outcome) {
						t.Errorf("the second untrusted caller got %v", err)
					}
				})
				wg.Go(func() {
					if err := try(false); err != nil {
						t.Errorf("the trusted caller got %v", err)
					}
				})
				wg.Wait()
				if want := map[bool]int64{true: 1, false: 2}[outcome == nil]; builds.Load() != want {
					t.Errorf("%d builds, want %d", builds.Load(), want)
				}
			})
		})
	}
}
