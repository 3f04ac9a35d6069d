package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

// Names of the checks, as they stand in model.Check. Imports are named
// "import NAME".
const (
	HubAnswers    = "hub answers"
	TokenAccepted = "token accepted"
	UserCreated   = "user created"
	ServerStarts  = "server starts"
	ServerAnswers = "server answers"
	KernelStarts  = "kernel starts"
	PageOpens     = "default page opens"
	ServerStopped = "server stopped"
	UserRemoved   = "user removed"
)

const (
	maxDetail = 500     // bytes of a check's one-line detail
	maxLog    = 8 << 10 // bytes of a check's log, the last ones

	// What cannot be waited for is asked for again, first soon, then less
	// often.
	minPause = 50 * time.Millisecond
	maxPause = 250 * time.Millisecond
)

// step is one check: what it is called, how long it may take and what has to
// have passed before.
type step struct {
	name     string
	deadline time.Duration
	needs    string // name of the check that must have passed; "" means none
	cleanup  bool   // runs on the cleanup's own context and cannot fail the verification
	run      func(ctx context.Context) (finding, error)
}

// finding is what a check found out.
type finding struct {
	detail string // one line
	log    string
}

// session is the state of one verification: what earlier checks found and
// later ones need.
type session struct {
	hub      *jupyter.Client
	req      model.VerifyRequest
	user     string
	token    func(ctx context.Context) (string, error)
	removing func(ctx context.Context) ([]string, error)
	progress func(text string)

	touched bool            // a user may exist
	kernel  *jupyter.Kernel // connected; nil before and after it is usable
	lost    string          // why the kernel is not usable any more
}

// checks lists what is tested, in order.
func (s *session) checks(d Deadlines) []step {
	steps := []step{
		// First what needs no credentials: a hub that is down fails with its own reason.
		{name: HubAnswers, deadline: d.Hub, run: s.hubAnswers},
		// Everything after this speaks with the service's token, so missing scopes are named here and not by a 403 halfway.
		{name: TokenAccepted, deadline: d.Token, needs: HubAnswers, run: s.tokenAccepted},
		{name: UserCreated, deadline: d.User, needs: TokenAccepted, run: s.userCreated},
		{name: ServerStarts, deadline: d.Start, needs: UserCreated, run: s.serverStarts},
		// The hub calls a server ready when it reached it itself; users come through the proxy.
		{name: ServerAnswers, deadline: d.Answer, needs: ServerStarts, run: s.serverAnswers},
		{name: KernelStarts, deadline: d.Kernel, needs: ServerAnswers, run: s.kernelStarts},
	}
	for _, p := range distinct(s.req.Packages) {
		steps = append(steps, step{
			name: "import " + p.Name, needs: KernelStarts,
			// The kernel is interrupted at its deadline; the rest is for what it says then.
			deadline: d.Import + 2*interruptGrace,
			run:      func(ctx context.Context) (finding, error) { return s.imports(ctx, p, d.Import) },
		})
	}
	return append(steps,
		// Last, because it costs the server most and explains least; it depends on no kernel.
		step{name: PageOpens, deadline: d.Page, needs: ServerAnswers, run: s.pageOpens},
		step{name: ServerStopped, deadline: d.Cleanup, cleanup: true, run: s.serverStopped},
		step{name: UserRemoved, deadline: d.Cleanup, cleanup: true, run: s.userRemoved},
	)
}

// close lets go of the kernel's connection.
func (s *session) close() {
	if s.kernel != nil {
		s.kernel.Close()
		s.kernel = nil
	}
}

// skipped is the error of a step that turned out not to apply.
type skipped struct{ why string }

func (e *skipped) Error() string { return e.why }

// undecided is the error of a step that could not find anything out about the
// release.
type undecided struct{ err error }

func (e *undecided) Error() string { return e.err.Error() }
func (e *undecided) Unwrap() error { return e.err }

// recorder runs steps and keeps their outcomes.
type recorder struct {
	notify func(model.Check)
	checks []model.Check
	passed bool
	reason string
	ok     map[string]bool
}

// run runs the steps in order. It returns an error if the outcome says
// nothing about the release.
func (r *recorder) run(ctx context.Context, cleanupTime time.Duration, steps []step) error {
	r.passed, r.ok = true, make(map[string]bool)
	var stop error
	var cleanup context.Context
	for _, st := range steps {
		if stop == nil && ctx.Err() != nil {
			stop = context.Cause(ctx)
		}
		switch {
		case st.cleanup:
			if cleanup == nil {
				// One bound for all of it, from when it begins; the caller's
				// end must not leave servers running.
				var cancel context.CancelFunc
				cleanup, cancel = context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
				defer cancel()
			}
			_ = r.one(cleanup, st) // recorded, and without a say in the outcome
		case stop != nil:
			r.skip(st, "not reached: "+stop.Error())
		case st.needs != "" && !r.ok[st.needs]:
			r.skip(st, fmt.Sprintf("needs %q", st.needs))
		default:
			err := r.one(ctx, st)
			var u *undecided
			if errors.As(err, &u) {
				stop = u.err
			}
		}
	}
	if stop == nil && ctx.Err() != nil && !r.passed {
		stop = context.Cause(ctx)
	}
	return stop
}

// one runs a step within its deadline and records the outcome.
func (r *recorder) one(ctx context.Context, st step) error {
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, st.deadline)
	found, err := st.run(limited)
	late := errors.Is(limited.Err(), context.DeadlineExceeded) && ctx.Err() == nil
	cancel()
	check := model.Check{
		Name: st.name, Passed: err == nil, Detail: found.detail,
		Log: lastBytes(found.log, maxLog), Duration: time.Since(started),
	}
	var skip *skipped
	switch {
	case err == nil:
	case errors.As(err, &skip):
		check.Skipped, check.Detail = true, skip.why
	case late && errors.Is(err, context.DeadlineExceeded):
		check.Detail = fmt.Sprintf("not within %s", st.deadline)
		if found.detail != "" {
			check.Detail += "; last: " + found.detail
		}
	default:
		check.Detail = err.Error()
	}
	if hint := model.HintOf(err); hint != "" {
		check.Detail += ". " + hint
	}
	if st.cleanup && err != nil && !check.Skipped {
		check.Detail = "warning, does not fail the verification: " + check.Detail
	}
	r.record(st, check)
	return err
}

func (r *recorder) skip(st step, why string) {
	r.record(st, model.Check{Name: st.name, Skipped: true, Detail: why})
}

func (r *recorder) record(st step, check model.Check) {
	check.Detail = jupyter.Bounded(oneLine(check.Detail), maxDetail)
	r.ok[st.name] = check.Passed
	if !check.Passed && !check.Skipped && !st.cleanup {
		if r.passed {
			r.reason = check.Name + ": " + check.Detail
		}
		r.passed = false
	}
	r.checks = append(r.checks, check)
	if r.notify != nil {
		r.notify(check)
	}
}
