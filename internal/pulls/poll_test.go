package pulls

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// sight is a forge, a copy and an engine of which a poll sees what the test says.
type sight struct {
	forge.Forge
	Repository
	Engine

	branches map[string]string // at the forge
	leading  string            // default branch there
	poll     func(context.Context) error
	fetch    func(context.Context) error
	push     func(context.Context) error

	head    string // of the copy
	fetches int
	kicks   int
	pushed  []string // "branch commit by login"
}

func (s *sight) Poll(ctx context.Context, _ time.Time) (forge.Changes, error) {
	if err := s.poll(ctx); err != nil {
		return forge.Changes{}, err
	}
	return forge.Changes{Branches: maps.Clone(s.branches), Default: s.leading, Next: time.Now()}, nil
}

func (s *sight) PullRequests(context.Context, forge.Filter) ([]forge.PullRequest, error) {
	return nil, nil
}

func (s *sight) at() forge.Repository { return forge.Repository{Owner: "owner", Name: "hubs"} }

func (s *sight) Fetch(ctx context.Context, _ ...int) error {
	s.fetches++
	return s.fetch(ctx)
}

func (s *sight) Follow(_ context.Context, branch string) (bool, error) {
	was := s.head
	s.head = branch
	return was != branch, nil
}

func (s *sight) Now(context.Context) (model.Process, error) {
	return model.Process{Branch: s.head, Environments: []model.Environment{{Name: "staging", Branch: "staging"}}}, nil
}

func (s *sight) Pushed(ctx context.Context, updates []forge.RefUpdate, by string) ([]model.Run, error) {
	if err := s.push(ctx); err != nil {
		return nil, err
	}
	for _, u := range updates {
		s.pushed = append(s.pushed, u.Branch+" "+u.New+" by "+by)
	}
	return nil, nil
}

func (s *sight) Kick() { s.kicks++ }

// forgeOf, copyOf and engineOf are the three, since their names clash.
type (
	forgeOf  struct{ *sight }
	copyOf   struct{ *sight }
	engineOf struct{ *sight }
)

func (f forgeOf) Repository() forge.Repository { return f.at() }

func (f forgeOf) PullRequest(ctx context.Context, n int) (forge.PullRequest, error) {
	return f.Forge.PullRequest(ctx, n)
}

// Runs is empty: nothing was deployed yet.
func (engineOf) Runs(context.Context, model.RunFilter) ([]model.Run, error) { return nil, nil }

type nothingReported struct{}

func (nothingReported) Reported(context.Context, string) (string, string, error) {
	return "", "", nil
}
func (nothingReported) SetReported(context.Context, string, string, string) error { return nil }

type nothingPlanned struct{}

func (nothingPlanned) Plan(context.Context, string) (plan.Plan, error) { return plan.Plan{}, nil }

// see makes a controller that has seen staging at a.
func see(t *testing.T) (*sight, *Controller) {
	t.Helper()
	fine := func(context.Context) error { return nil }
	s := &sight{branches: map[string]string{"staging": "a", "prod": "a"}, leading: "staging", head: "staging", poll: fine, fetch: fine, push: fine}
	nowhere := func(string) string { return "" }
	c, err := New(Options{Forge: forgeOf{s}, Repository: copyOf{s}, Engine: engineOf{s}, Plans: nothingPlanned{}, Reports: nothingReported{},
		RunURL: nowhere, PlanURL: nowhere, HubURL: nowhere, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.queue.ShutDown)
	look(t, c)
	s.fetches, s.kicks = 0, 0
	return s, c
}

func look(t *testing.T, c *Controller) {
	t.Helper()
	if err := c.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// running has the controller work until the test ends.
func running(t *testing.T, c *Controller) {
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { stop(); group.Wait() })
	synctest.Wait() // its first look is over
}

// Whoever asks for a look and leaves takes no push with them.
func TestRefreshGoesOnWithoutItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := see(t)
		running(t, c)
		ctx, leave := context.WithCancel(t.Context())
		s.push = func(ctx context.Context) error {
			leave()
			return ctx.Err()
		}
		s.branches["staging"] = "b"
		if err := c.Refresh(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		synctest.Wait()
		if want := []string{"staging b by owner"}; !slices.Equal(s.pushed, want) {
			t.Errorf("deployed %q, want %q", s.pushed, want)
		}
	})
}

// A forge that hangs holds nobody up for long, and what an impatient caller sees is
// no trouble with the forge.
func TestRefreshIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := see(t)
		running(t, c)
		hang := make(chan struct{})
		s.poll = func(context.Context) error { <-hang; return nil }
		began := time.Now()
		if err := c.Refresh(t.Context()); err == nil || time.Since(began) != refreshLimit {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		began = time.Now()
		if err := c.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(hang)
		synctest.Wait()
		if trouble := c.State().Trouble; trouble != "" {
			t.Errorf("trouble: %s", trouble)
		}
	})
}

// Who asks while a look is under way waits for the next one, which all who wait
// share.
func TestRefreshSeesWhatWasPushedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := see(t)
		running(t, c)
		polls, slow := 0, make(chan struct{})
		s.poll = func(context.Context) error {
			if polls++; polls == 1 {
				<-slow
			}
			return nil
		}
		c.queue.Add(key{kind: keyForge})
		synctest.Wait()
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if err := c.Refresh(t.Context()); err != nil || polls != 2 {
					t.Errorf("answered in look %d: %v", polls, err)
				}
			})
		}
		synctest.Wait()
		close(slow)
		group.Wait()
	})
}

// The name is that of whoever moved the branch to where it is, if a delivery said
// who.
func TestPushersAreNamed(t *testing.T) {
	s, c := see(t)
	told := func(by, old, new string) {
		c.Handle(forge.PushEvent{Delivery: forge.Delivery{Sender: by}, Update: forge.RefUpdate{Branch: "staging", Old: old, New: new}})
	}
	told("alice", "a", "b")
	told("bob", "b", "c") // both before the poll
	for _, commit := range []string{"c", "b", "c"} {
		s.branches["staging"] = commit
		look(t, c)
	}
	// Back to b and to c again no delivery came.
	if want := []string{"staging c by bob", "staging b by alice", "staging c by owner"}; !slices.Equal(s.pushed, want) {
		t.Errorf("named %q, want %q", s.pushed, want)
	}
}

// A push that the engine does not take is found by the reconcile pass, at once.
func TestPushThatIsNotTaken(t *testing.T) {
	s, c := see(t)
	s.push = func(context.Context) error { return errors.New("the disk is full") }
	s.branches["staging"] = "b"
	look(t, c)
	if s.kicks == 0 {
		t.Error("nobody asks for a reconcile pass")
	}
}

func TestDeletedBranchGoes(t *testing.T) {
	s, c := see(t)
	delete(s.branches, "prod")
	look(t, c)
	if s.fetches != 1 {
		t.Errorf("fetched %d times, want once: the copy keeps prod", s.fetches)
	}
	look(t, c)
	if s.fetches != 1 {
		t.Errorf("fetched %d times though nothing moved", s.fetches)
	}
}

// HEAD names a branch once it is here, and that it is another one is not forgotten
// when git does not answer.
func TestDefaultBranchIsFollowedOnceItIsHere(t *testing.T) {
	s, c := see(t)
	s.branches["main"], s.leading = "a", "main"
	s.fetch = func(context.Context) error { return errors.New("git does not answer") }
	if err := c.poll(t.Context()); err == nil || s.head != "staging" {
		t.Fatalf("HEAD is %s, %v", s.head, err)
	}
	s.fetch = func(context.Context) error { return nil }
	look(t, c)
	if s.head != "main" || s.kicks != 1 {
		t.Errorf("HEAD is %s, and %d passes were asked for", s.head, s.kicks)
	}
}
