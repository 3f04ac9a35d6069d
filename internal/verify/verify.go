// Package verify tests a live release as one of its users would: it creates a
// dedicated user over the hub's API, starts that user's server, starts a
// kernel, imports packages in it, opens the page the user would see, stops the
// server and removes the user.
//
// The checks run in one fixed order. A check whose prerequisite failed is
// skipped. What the verification created is removed whatever happened before,
// also when the caller's context ended; a removal that fails is reported as a
// check that did not pass, and does not fail the verification: it says nothing
// about what users get, and the next verification removes leftovers first.
package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

// Names used where VerifySettings leave them empty.
const (
	DefaultService = "hubship"
	DefaultUser    = "hubship-verify"
)

// Options are what verification needs from its surroundings.
type Options struct {
	// Transport returns what carries requests to the release's proxy. It
	// must support protocol upgrades, as http.Transport does: kernels talk
	// over websockets. Required.
	Transport func(cluster model.Cluster, target model.Target) (http.RoundTripper, error)
	// Token returns the API token of the hub's service; TokenFrom reads it
	// from the release's Secret. An error that is ErrNoToken fails the
	// verification; any other means that nothing can be said. Required.
	Token func(ctx context.Context, cluster model.Cluster, target model.Target, service string) (string, error)
	// BaseURL returns the address that the proxy serves the hub under,
	// including the hub's base URL. Nil means http://HOST/ with the host of
	// the target.
	BaseURL func(cluster model.Cluster, target model.Target) (*url.URL, error)
	// Removing names what the cluster is still removing of the user's, such as
	// its claim: the hub asks for the removal and does not wait for it. May be
	// nil.
	Removing func(ctx context.Context, cluster model.Cluster, target model.Target, user string) ([]string, error)
	// Progress receives what a starting server reports, as it happens. It
	// may be called from another goroutine than Verify's. May be nil.
	Progress func(target model.Target, run, text string)
	// Deadlines bound the checks; zero fields mean the defaults.
	Deadlines Deadlines
}

// Validate says which required option is missing.
func (o Options) Validate() error {
	switch {
	case o.Transport == nil:
		return errors.New("verification needs Options.Transport")
	case o.Token == nil:
		return errors.New("verification needs Options.Token")
	}
	return nil
}

// Deadlines are how long each check may take.
type Deadlines struct {
	Hub   time.Duration // hub answers; default 30 s
	Token time.Duration // token accepted; default 15 s
	// User bounds the check that creates the user. It removes leftovers
	// first, waits until they are gone, and a hub may be able to stop a server
	// that still starts only after its own startTimeout. Default 6 min.
	User    time.Duration
	Start   time.Duration // server starts; default 5 min
	Answer  time.Duration // server answers; default 30 s
	Kernel  time.Duration // kernel starts; default 60 s
	Import  time.Duration // each import; default 60 s
	Page    time.Duration // default page opens; default 60 s
	Cleanup time.Duration // server stopped and user removed together; default 60 s
}

func (d Deadlines) withDefaults() Deadlines {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&d.Hub, 30 * time.Second}, {&d.Token, 15 * time.Second}, {&d.User, 6 * time.Minute},
		{&d.Start, 5 * time.Minute}, {&d.Answer, 30 * time.Second}, {&d.Kernel, time.Minute},
		{&d.Import, time.Minute}, {&d.Page, time.Minute}, {&d.Cleanup, time.Minute},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return d
}

// Verifier tests live releases as a user does. It is safe for concurrent use on
// different releases; two verifications of one release at a time would remove
// each other's user.
type Verifier struct{ opts Options }

// New returns a Verifier with validated options.
func New(opts Options) (*Verifier, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts.Deadlines = opts.Deadlines.withDefaults()
	return &Verifier{opts: opts}, nil
}

// Verify runs the checks against the release. A check that fails is in the
// Verification, not an error. An error means that nothing could be said: the
// way to the cluster could not be set up, the token could not be read for
// another reason than its absence, or ctx ended. The Verification then holds
// the checks made so far, and has not passed.
func (v *Verifier) Verify(ctx context.Context, cluster model.Cluster, req model.VerifyRequest) (model.Verification, error) {
	out := model.Verification{Started: time.Now().UTC()}
	if req.Settings.Service == "" {
		req.Settings.Service = DefaultService
	}
	if req.Settings.User == "" {
		req.Settings.User = DefaultUser
	}
	s, err := v.session(cluster, req)
	if err != nil {
		out.Finished = time.Now().UTC()
		return out, fmt.Errorf("verify %s: %w", req.Target, err)
	}
	rec := &recorder{notify: req.Check}
	undecided := rec.run(ctx, v.opts.Deadlines.Cleanup, s.checks(v.opts.Deadlines))
	s.close()

	out.Checks = rec.checks
	out.Finished = time.Now().UTC()
	out.Passed, out.Reason = rec.passed, rec.reason
	if undecided != nil {
		out.Passed = false
		return out, fmt.Errorf("verify %s: %w", req.Target, undecided)
	}
	return out, nil
}

// session prepares the connection of one verification.
func (v *Verifier) session(cluster model.Cluster, req model.VerifyRequest) (*session, error) {
	rt, err := v.opts.Transport(cluster, req.Target)
	if err != nil {
		return nil, fmt.Errorf("reach the release's proxy: %w", err)
	}
	base := &url.URL{Scheme: "http", Host: req.Target.Host, Path: "/"}
	if v.opts.BaseURL != nil {
		if base, err = v.opts.BaseURL(cluster, req.Target); err != nil {
			return nil, fmt.Errorf("find the hub's address: %w", err)
		}
	}
	if base.Host == "" {
		base.Host = "hub.invalid" // the transport knows where to go; the name only fills the Host header
	}
	s := &session{
		hub:  jupyter.New(base, rt, ""),
		req:  req,
		user: req.Settings.User,
		token: func(ctx context.Context) (string, error) {
			return v.opts.Token(ctx, cluster, req.Target, req.Settings.Service)
		},
		removing: func(context.Context) ([]string, error) { return nil, nil },
		progress: func(string) {},
	}
	if v.opts.Removing != nil {
		s.removing = func(ctx context.Context) ([]string, error) {
			return v.opts.Removing(ctx, cluster, req.Target, s.user)
		}
	}
	if v.opts.Progress != nil {
		s.progress = func(text string) { v.opts.Progress(req.Target, req.Run, text) }
	}
	return s, nil
}
