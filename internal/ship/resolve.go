package ship

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	"golang.org/x/sync/errgroup"

	"github.com/hubship/hubship/internal/gate"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// names finds which images made elsewhere a release names in an environment that
// comes after another, and what the evidence there knows of them: nothing is
// resolved anew. What runs and was proven here needs no second look.
func (e *Engine) names(ctx context.Context, rel *releasePlan, before *model.Evidence, runs bool) (*gate.Names, error) {
	if before == nil {
		return nil, nil // nothing was proven, which is reason enough
	}
	if runs {
		return &gate.Names{Images: refs(rel.Resolved.Images)}, nil
	}
	tree, err := e.Repository.FS(ctx, rel.Desired.Commit)
	if err != nil {
		return nil, err
	}
	known := overlay(rel.Resolved, before.Resolved)
	found, err := e.Releases.Foreign(ctx, model.Upgrade{Desired: rel.Desired, Images: before.Images, Resolved: known, Tree: tree}, true)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return &gate.Names{Unknown: describe(err)}, nil
	}
	names := &gate.Names{}
	rel.Resolved = model.Resolved{Charts: found.Charts}
	for _, f := range found.Images {
		names.Images = append(names.Images, f.Ref)
		if digest := digestOfRef(known, f.Ref); digest != "" {
			rel.Resolved.Images = append(rel.Resolved.Images, model.ResolvedImage{Ref: f.Ref, Digest: digest})
		}
	}
	return names, nil
}

func refs(images []model.ResolvedImage) []string {
	var out []string
	for _, i := range images {
		out = append(out, i.Ref)
	}
	return out
}

// overlay is what is known of both: what was proven here stays what it was.
func overlay(here, before model.Resolved) model.Resolved {
	out := model.Resolved{Images: slices.Clone(here.Images), Charts: slices.Clone(here.Charts)}
	for _, i := range before.Images {
		if digestOfRef(here, i.Ref) == "" {
			out.Images = append(out.Images, i)
		}
	}
	for _, c := range before.Charts {
		if !slices.ContainsFunc(here.Charts, func(h model.ResolvedChart) bool {
			return h.Name == c.Name && h.Version == c.Version && h.Repository == c.Repository
		}) {
			out.Charts = append(out.Charts, c)
		}
	}
	return out
}

// digestOfRef is what a reference is known to stand for, or "".
func digestOfRef(r model.Resolved, ref string) string {
	for _, i := range r.Images {
		if i.Ref == ref {
			return i.Digest
		}
	}
	return ""
}

// resolvedNames is the outcome of resolving what one release names.
type resolvedNames = outcome[namesResolved]

type namesResolved struct {
	Resolved model.Resolved
	Unknown  bool // nobody answered: the change is not at fault
}

// resolveNames resolves, in an environment that comes after no other, what the
// releases to be upgraded name of what is made elsewhere: each release as a step
// of its own, side by side. What its evidence knows stays as it is. Later
// environments take what is found here with the evidence.
func (e *Engine) resolveNames(ctx dbos.Context, r model.Run, p runPlan, built map[string]builtImage) (map[string]resolvedNames, error) {
	results := map[string]resolvedNames{}
	channels := make([]<-chan dbos.StepOutcome[resolvedNames], len(p.Releases))
	for i, rel := range p.Releases {
		images, ok := withBuilt(rel, built)
		if !rel.First || rel.Action != plan.Upgrade || !ok {
			continue
		}
		t := rel.Desired.Target
		ch, err := dbos.Go(ctx, func(ctx context.Context) (resolvedNames, error) {
			unknown := false
			out, err := attempt(ctx, e, r.ID, func(ctx context.Context) (namesResolved, error) {
				found, err := e.resolve(ctx, r.ID, rel, images)
				unknown = errors.Is(err, model.ErrUnknown)
				return namesResolved{Resolved: found}, err
			})
			out.Value.Unknown = unknown
			if out.Err != "" {
				e.say(r.ID, t.Key(), model.LevelError, "%s", out.Err)
			}
			e.unknown.note(t.Key(), r.Commit, unknown)
			if unknown {
				e.say(r.ID, t.Key(), model.LevelWarn, "%s: nobody is at fault, and nothing was changed: it is tried again", t)
			}
			return out, err
		}, dbos.WithStepName("resolve "+t.Key()))
		if err != nil {
			return nil, err
		}
		channels[i] = ch
	}
	for i, ch := range channels {
		if ch == nil {
			continue
		}
		out := <-ch
		if out.Err != nil {
			return nil, out.Err
		}
		results[p.Releases[i].Desired.Target.Key()] = out.Result
	}
	return results, nil
}

// patience is how long what nobody answered is left alone before it is tried
// again: longer each time. It is lost with the process, which then tries at
// once.
type patience struct {
	mu   sync.Mutex
	wait map[string]waiting // by release and commit
}

type waiting struct {
	until time.Time
	last  time.Duration
}

// Bounds of a wait.
const (
	firstWait = 15 * time.Second
	maxWait   = 5 * time.Minute
)

func (p *patience) note(key, commit string, unknown bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !unknown {
		delete(p.wait, key+commit)
		return
	}
	if p.wait == nil {
		p.wait = map[string]waiting{}
	}
	w := p.wait[key+commit]
	w.last = min(max(2*w.last, firstWait), maxWait)
	w.until = time.Now().Add(w.last)
	p.wait[key+commit] = w
}

func (p *patience) waits(key, commit string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.wait[key+commit].until)
}

// withBuilt are the images of a release, those that the run has built among
// them; ok is false when one could not be.
func withBuilt(rel releasePlan, built map[string]builtImage) (images []model.Built, ok bool) {
	images = slices.Clone(rel.Images)
	for _, src := range rel.Desired.Images {
		if res, made := built[src.ID]; made {
			if res.Err != "" {
				return nil, false
			}
			images = append(images, res.Value)
		}
	}
	return images, true
}

// askedAtOnce bounds how many registries are asked side by side for a release.
const askedAtOnce = 8

// resolve finds what a release names of what is made elsewhere, and what that
// is now.
func (e *Engine) resolve(ctx context.Context, run string, rel releasePlan, images []model.Built) (model.Resolved, error) {
	tree, err := e.Repository.FS(ctx, rel.Desired.Commit)
	if err != nil {
		return model.Resolved{}, err
	}
	found, err := e.Releases.Foreign(ctx, model.Upgrade{Desired: rel.Desired, Images: images, Resolved: rel.Resolved, Tree: tree, Run: run}, false)
	if err != nil {
		return model.Resolved{}, err
	}
	out := model.Resolved{Charts: found.Charts, Images: make([]model.ResolvedImage, len(found.Images))}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for i, f := range found.Images {
		out.Images[i] = model.ResolvedImage{Ref: f.Ref, Digest: digestOfRef(rel.Resolved, f.Ref)}
		if out.Images[i].Digest != "" {
			continue
		}
		group.Go(func() error {
			digest, err := e.Images.Digest(gctx, f.Ref)
			if err != nil {
				return fmt.Errorf("%s%w", placeOfImage(f), err)
			}
			out.Images[i].Digest = digest
			e.say(run, rel.Desired.Target.Key(), model.LevelInfo, "%s is %s", f.Ref, digest)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return model.Resolved{}, err
	}
	if len(out.Images) == 0 {
		out.Images = nil
	}
	return out, nil
}

// placeOfImage is where an image is named, before what is wrong with it.
func placeOfImage(f model.ForeignImage) string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	if f.At != "" {
		b.WriteString(f.At + ": ")
	}
	return b.String()
}
