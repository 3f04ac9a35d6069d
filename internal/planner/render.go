package planner

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/helm"
)

// renderers is how many releases are rendered at a time; the Renderer has its
// own bound.
const renderers = 8

// render renders both sides of every release, compares them, and judges what
// users feel.
func (w *work) render(ctx context.Context) error {
	w.plan.Rendered = true
	var keys [2]map[string]string // digests of charts, by folder
	for n, s := range []*revision{&w.base, &w.head} {
		if s.cfg == nil {
			continue
		}
		var err error
		if keys[n], err = w.o.Repository.ChartDigests(ctx, s.commit, w.under); err != nil {
			return fmt.Errorf("plan: %w", err)
		}
	}
	var done atomic.Int64
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(renderers)
	charts := newChartRenders(gctx, w.o.Renderer)
	defer charts.close()
	for i := range w.plan.Releases {
		group.Go(func() error {
			r := &w.plan.Releases[i]
			found, err := w.renderRelease(gctx, r, keys, charts)
			if err != nil {
				return fmt.Errorf("plan %s: %w", r.Key(), err)
			}
			w.say("rendered %d of %d releases", done.Add(1), len(w.plan.Releases))
			w.mu.Lock()
			defer w.mu.Unlock()
			w.problems = append(w.problems, found...)
			return nil
		})
	}
	return group.Wait()
}

// renderRelease fills in what changes in one release. An error is one of the
// run as a whole; what is wrong with the release is a problem.
func (w *work) renderRelease(ctx context.Context, r *plan.Release, keys [2]map[string]string, charts *chartRenders) ([]plan.Problem, error) {
	if r.Unrendered != "" {
		return nil, nil
	}
	sides := [2]*revision{&w.base, &w.head}
	var wanted [2]*model.Desired
	for n, s := range sides {
		d, ok, err := w.desired(ctx, s, *r)
		if err != nil {
			return nil, err
		}
		if ok && d.Invalid == "" {
			wanted[n] = &d
		}
	}
	if r.Change == plan.Removed {
		wanted[1] = nil
	}
	if name := w.unreadable(sides, wanted); name != "" {
		r.Unrendered = name + " changes and cannot be read here: its effect is unknown"
		return nil, nil
	}
	r.Placeholders = placeholders(wanted, w, sides)
	var values [2]map[string]any
	var problems []plan.Problem
	var old error // why the base does not render
	fail := func(n int, err error) {
		// Which release it is stands beside the reason.
		r.Unrendered = strings.TrimPrefix(err.Error(), "render "+r.Release+": ")
		if n == 0 {
			old, r.Unrendered = err, "the base cannot be rendered: "+r.Unrendered
			return
		}
		for _, p := range w.renderProblems(err, sides[n], *wanted[n], r.Key()) {
			if p.Preexisting = sameFailure(old, err); p.Preexisting && p.Check == "chart" {
				p.Severity = plan.Warning // a chart that is missing on both sides is no fault of the change
			}
			problems = append(problems, p)
		}
	}
	for n, s := range sides {
		if wanted[n] == nil {
			continue
		}
		v, err := w.inputs(s, *wanted[n], nil)
		if err != nil {
			fail(n, err)
			continue
		}
		values[n] = v
	}
	var objects [2][]release.Object
	for n, s := range sides {
		if values[n] == nil {
			continue
		}
		out, err := charts.render(helm.RenderRequest{
			Tree: s.tree.FS(), Chart: wanted[n].Chart, Key: keys[n][wanted[n].Chart],
			Release: r.Release, Namespace: r.Namespace, Values: values[n], Deterministic: true,
		})
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			fail(n, err)
		default:
			objects[n] = out.Objects
		}
	}
	if r.Unrendered != "" {
		return problems, nil
	}
	r.Changes = release.Compare(objects[0], objects[1])
	problems = append(problems, w.confined(r, sides, wanted, objects)...)
	return append(problems, w.manifests(ctx, r, objects)...), nil
}

// sameFailure says that what hinders the head hinders the base in the same way.
func sameFailure(base, head error) bool {
	if base == nil {
		return false
	}
	var before, after *helm.MissingChartError
	if errors.As(base, &before) && errors.As(head, &after) {
		return before.Error() == after.Error() // wherever it was tried first
	}
	return base.Error() == head.Error()
}

// fileError is a file that a release cannot be rendered without.
type fileError struct {
	name string
	err  error
}

// newFileError names the file, unless the error does so itself.
func newFileError(name string, err error) error {
	if !strings.Contains(err.Error(), name) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return &fileError{name, err}
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// inputs is what a release is rendered with: its files, what stands in for its
// secrets over them, and its images over all. With open the secrets themselves
// are taken.
func (w *work) inputs(s *revision, d model.Desired, open Opener) (map[string]any, error) {
	values := map[string]any{}
	for _, name := range d.Values {
		p := w.file(s, name)
		if p.err != nil {
			return nil, newFileError(name, p.err)
		}
		values = release.Merge(values, p.values)
	}
	for _, name := range d.Secrets {
		v, err := w.secrets(s, name, open)
		if err != nil {
			return nil, newFileError(name, err)
		}
		values = release.Merge(values, v)
	}
	return values, w.setImages(s, values, d)
}

// secrets are the values of an encrypted file, or what stands in for them.
func (w *work) secrets(s *revision, name string, open Opener) (map[string]any, error) {
	if open == nil {
		o := w.encrypted(s, name)
		return o.placeholders, o.err
	}
	data, err := readTree(s.tree, name)
	if err != nil {
		return nil, err
	}
	return open(name, data)
}

// unreadable returns an encrypted file that differs between the sides, or is on
// one alone, and of which nothing can be read; or "".
func (w *work) unreadable(sides [2]*revision, wanted [2]*model.Desired) string {
	if wanted[0] == nil || wanted[1] == nil {
		return ""
	}
	for _, name := range slices.Concat(wanted[0].Secrets, wanted[1].Secrets) {
		if sides[0].id(name) == sides[1].id(name) {
			continue
		}
		for _, s := range sides {
			if s.id(name) != "" && w.encrypted(s, name).opaque {
				return name
			}
		}
	}
	return ""
}

// placeholders are the encrypted files that a release has on either side.
func placeholders(wanted [2]*model.Desired, w *work, sides [2]*revision) []string {
	out := map[string]bool{}
	for n, s := range sides {
		if wanted[n] == nil {
			continue
		}
		for _, name := range wanted[n].Secrets {
			if w.encrypted(s, name).err == nil {
				out[name] = true
			}
		}
	}
	return sortedKeys(out)
}

// renderProblems words why a release does not render.
func (w *work) renderProblems(err error, s *revision, d model.Desired, key string) []plan.Problem {
	base := plan.Problem{Severity: plan.Error, Check: "render", Hint: model.HintOf(err), Releases: []string{key}}
	// Which release it is stands beside the message.
	base.Message = strings.TrimPrefix(err.Error(), "render "+d.Target.Release+": ")
	var missing *helm.MissingChartError
	var schema *helm.SchemaError
	var template *helm.TemplateError
	var file *fileError
	switch {
	case errors.As(err, &file):
		if w.reported(file.name) {
			return nil
		}
		base.Check, base.File, base.Hint = check.CheckYAML, file.name, "fix the YAML in "+file.name
	case errors.As(err, &missing):
		base.Check, base.File, base.Message = "chart", path.Join(d.Chart, "Chart.yaml"), missing.Error()
	case errors.As(err, &schema):
		var out []plan.Problem
		for _, v := range schema.Violations {
			p := base
			at := v.Path
			if v.Chart != "" && v.Chart != path.Base(d.Chart) {
				at = strings.TrimSuffix(v.Chart+"."+at, ".")
			}
			p.Check, p.Message = "schema", fmt.Sprintf("%s: %s", at, v.Message)
			p.Hint = "the chart " + v.Chart + " has a schema for its values; fix the value or its position"
			p.File, p.Line = w.locate(s, d, at)
			out = append(out, p)
		}
		return out
	case errors.As(err, &template):
		base.Check, base.File, base.Line, base.Message = "template", template.File, template.Line, template.Message
		base.File = inRepository(s, d, template.File)
	}
	return []plan.Problem{base}
}

// reported says that an error of the file is among the problems already: the
// checks of changed files ran before anything was rendered.
func (w *work) reported(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.problems, func(p plan.Problem) bool { return p.File == name && p.Severity == plan.Error })
}

// manifests checks the objects that the head adds or changes. What the base
// has too is said to be so.
func (w *work) manifests(ctx context.Context, r *plan.Release, objects [2][]release.Object) []plan.Problem {
	touched := map[string]bool{}
	for _, c := range r.Changes {
		if c.Change != plan.Removed {
			touched[c.Kind+" "+c.Namespace+"/"+c.Name] = true
		}
	}
	pick := func(all []release.Object) []release.Object {
		var out []release.Object
		for _, o := range all {
			if touched[o.Kind+" "+o.Namespace+"/"+o.Name] {
				out = append(out, o)
			}
		}
		return out
	}
	before := map[string]bool{}
	for _, p := range check.Manifests(pick(objects[0])) {
		before[p.Object+p.Message] = true
	}
	changed := pick(objects[1])
	found := check.Manifests(changed)
	for i := range found {
		found[i].Releases = []string{r.Key()}
		found[i].Preexisting = before[found[i].Object+found[i].Message]
	}
	return append(found, w.tryOn(ctx, r, changed)...)
}
