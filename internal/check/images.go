package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"golang.org/x/sync/errgroup"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

const (
	// registryPatience is how long registries are asked about a change, in
	// all.
	registryPatience = 5 * time.Second
	// askedAtOnce is how many references are asked for side by side.
	askedAtOnce = 8
	// maxReferences bounds how many references are asked for.
	maxReferences = 500
)

// Ref is a reference to an image that a change introduces.
type Ref struct {
	Reference string   // as written: "quay.io/jupyterhub/k8s-hub:3.3.8"
	Releases  []string // that run it
	File      string   // where it is written, when that is known
	Line      int
	Object    string // "Deployment hub", when it comes from there
}

// Registries answer whether an image exists. An error says that the registry
// could not be asked, or does not let this account see.
type Registries interface {
	Exists(ctx context.Context, reference string) (bool, error)
}

// Images judges references to images: one that cannot be read as one, and one
// that its registry does not have, are errors; one without a tag, or with the
// tag latest, is a warning. Registries that do not answer within 5 seconds in
// all are reported in a notice each. ask is nil when nothing is to be asked.
func Images(ctx context.Context, refs []Ref, ask Registries) []plan.Problem {
	return images(ctx, refs, ask, registryPatience)
}

func images(ctx context.Context, refs []Ref, ask Registries, patience time.Duration) []plan.Problem {
	report := &imageReport{}
	type question struct {
		ref  Ref
		name string // the reference in full
		host string
	}
	var questions []question
	for _, ref := range merged(refs) {
		named, err := reference.ParseNormalizedNamed(ref.Reference)
		if err != nil {
			report.add(plan.Error, ref, fmt.Sprintf("%q is not an image reference", ref.Reference), referenceHint(ref.Reference, err))
			continue
		}
		if moves(named) {
			report.add(plan.Warning, ref, fmt.Sprintf("%s has a moving tag: the image can change without a change here", ref.Reference), "name a version, or a digest")
		}
		questions = append(questions, question{ref, reference.TagNameOnly(named).String(), reference.Domain(named)})
	}
	if ask == nil {
		return report.problems
	}
	questions = questions[:min(len(questions), maxReferences)]
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var silent sync.Map // hosts that did not answer, not to be asked again
	group := errgroup.Group{}
	group.SetLimit(askedAtOnce)
	for _, q := range questions {
		group.Go(func() error {
			if _, dead := silent.Load(q.host); dead || ctx.Err() != nil {
				report.unasked(q.host, q.ref)
				return nil
			}
			found, err := exists(ctx, ask, q.name)
			switch {
			case err != nil:
				if errors.Is(err, context.DeadlineExceeded) {
					silent.Store(q.host, true)
				}
				report.unasked(q.host, q.ref)
			case !found:
				report.add(plan.Error, q.ref, q.ref.Reference+" does not exist at "+q.host, "check the name and tag, or push the image first")
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return none
	return report.all()
}

// exists asks, and does not wait for an answer longer than the context says,
// whoever is asked.
func exists(ctx context.Context, ask Registries, name string) (found bool, err error) {
	done := make(chan struct{})
	var answer bool
	var failure error
	go func() {
		defer close(done)
		answer, failure = ask.Exists(ctx, name)
	}()
	select {
	case <-done:
		return answer, failure
	case <-ctx.Done():
		return false, context.DeadlineExceeded
	}
}

// moves says that the image behind the reference changes by design.
func moves(named reference.Named) bool {
	if _, ok := named.(reference.Digested); ok {
		return false
	}
	tagged, ok := named.(reference.Tagged)
	return !ok || tagged.Tag() == "latest"
}

func referenceHint(written string, err error) string {
	switch {
	case errors.Is(err, reference.ErrNameContainsUppercase):
		return "image names are in lower case"
	case strings.HasSuffix(written, ":"):
		return "its tag is empty"
	case strings.Contains(written, "://"):
		return "leave out the scheme"
	}
	return "write it as registry/name:tag"
}

// merged joins what is said of one reference.
func merged(refs []Ref) []Ref {
	at := map[string]int{}
	var out []Ref
	for _, r := range refs {
		i, ok := at[r.Reference]
		if !ok {
			at[r.Reference] = len(out)
			r.Releases = slices.Clone(r.Releases)
			out = append(out, r)
			continue
		}
		out[i].Releases = append(out[i].Releases, r.Releases...)
	}
	for i := range out {
		slices.Sort(out[i].Releases)
		out[i].Releases = slices.Compact(out[i].Releases)
	}
	return out
}

// imageReport collects problems from several goroutines.
type imageReport struct {
	mu       sync.Mutex
	problems []plan.Problem
	silent   map[string][]Ref // by the registry that did not answer
}

func (r *imageReport) add(s plan.Severity, ref Ref, message, hint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, plan.Problem{Severity: s, Check: CheckImage, Message: message, Hint: hint,
		File: ref.File, Line: ref.Line, Object: ref.Object, Releases: ref.Releases})
}

func (r *imageReport) unasked(host string, ref Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent == nil {
		r.silent = map[string][]Ref{}
	}
	r.silent[host] = append(r.silent[host], ref)
}

// all returns the problems in an order that does not depend on who answered
// first.
func (r *imageReport) all() []plan.Problem {
	for host, refs := range r.silent {
		what := refs[0].Reference + " exists"
		slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Reference, b.Reference) })
		if len(refs) > 1 {
			what = fmt.Sprintf("%d images exist, including %s", len(refs), refs[0].Reference)
		}
		p := plan.Problem{Severity: plan.Notice, Check: CheckImage,
			Message: fmt.Sprintf("could not ask %s whether %s", host, what),
			Hint:    "log in to it, or make it reachable, to have this checked"}
		for _, ref := range refs {
			p.Releases = append(p.Releases, ref.Releases...)
		}
		slices.Sort(p.Releases)
		p.Releases = slices.Compact(p.Releases)
		r.problems = append(r.problems, p)
	}
	slices.SortStableFunc(r.problems, func(a, b plan.Problem) int {
		if n := rank(a.Severity) - rank(b.Severity); n != 0 {
			return n
		}
		return strings.Compare(a.Message, b.Message)
	})
	return r.problems
}

// Layer is one layer of an image, as its registry keeps it.
type Layer struct {
	Digest string // "sha256:…"
	Size   int64  // bytes, compressed
}

// Layers tell what an image is made of.
type Layers interface {
	Layers(ctx context.Context, reference string) ([]Layer, error)
}

// Missing returns how many compressed bytes of the image after nodes have to
// pull that have the image before and the layers in have. before may be empty;
// one that cannot be read counts as not there. Registries are asked for no
// longer than 5 seconds.
func Missing(ctx context.Context, before, after string, have map[string]bool, ask Layers) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	layers, err := ask.Layers(ctx, after)
	if err != nil {
		return 0, model.WithHint(fmt.Errorf("size of the image %s: %w", after, err), "log in to its registry, or make it reachable")
	}
	known := map[string]bool{}
	if before != "" {
		old, err := ask.Layers(ctx, before)
		if err != nil && ctx.Err() != nil {
			return 0, fmt.Errorf("size of the image %s: %w", before, err)
		}
		for _, l := range old {
			known[l.Digest] = true
		}
	}
	var total int64
	for _, l := range layers {
		if known[l.Digest] || have[l.Digest] {
			continue
		}
		known[l.Digest] = true // a layer twice in an image is pulled once
		total += l.Size
	}
	return total, nil
}
