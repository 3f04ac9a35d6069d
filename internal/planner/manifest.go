package planner

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release/helm"
)

// Opener returns the values of a SOPS file.
type Opener func(name string, data []byte) (map[string]any, error)

// RenderRequest names one release.
type RenderRequest struct {
	Hub, Environment string
	Rev              string // revision
	Values           bool   // the values that the chart is given, rather than the manifests
	// Open decrypts the encrypted files, for somebody who asks to see their
	// contents and has the key. If nil, placeholders stand in for their values.
	Open Opener
}

// Manifest is one release as Helm would apply it.
type Manifest struct {
	Commit       string       `json:"commit"`
	Target       model.Target `json:"target"`
	Placeholders []string     `json:"placeholders,omitempty"` // encrypted files whose values were stood in for
	Text         string       `json:"text"`                   // YAML
}

// Render returns the manifests of one release at one commit, or the values
// that its chart is given.
func (p *Planner) Render(ctx context.Context, q RenderRequest) (Manifest, error) {
	fail := func(err error) (Manifest, error) { return Manifest{}, fmt.Errorf("render: %w", err) }
	commit, err := p.git.Resolve(ctx, q.Rev)
	if err != nil {
		return fail(err)
	}
	d, err := p.o.Repository.Release(ctx, commit, q.Hub, q.Environment)
	if err != nil {
		return fail(model.Usage(err, "`hubship plan` lists the hubs; --hub and --env select one release"))
	}
	if d.Invalid != "" {
		return fail(errors.New(d.Invalid))
	}
	w := &work{Planner: p, head: revision{commit: commit}}
	if _, err := w.holds(ctx); err != nil {
		return fail(err)
	}
	if err := w.read(ctx, &w.head, "head"); err != nil {
		return fail(err)
	}
	keys, err := p.o.Repository.ChartDigests(ctx, commit, w.under)
	if err != nil {
		return fail(err)
	}
	values, err := w.inputs(&w.head, d, q.Open)
	if err != nil {
		return fail(err)
	}
	out := Manifest{Commit: commit, Target: d.Target}
	if q.Open == nil {
		out.Placeholders = placeholders([2]*model.Desired{nil, &d}, w, [2]*revision{&w.base, &w.head})
	}
	if q.Values {
		text, err := yaml.Marshal(values)
		if err != nil {
			return fail(fmt.Errorf("write the values of %s: %w", d.Target, err))
		}
		out.Text = string(text)
	} else {
		rendered, err := p.o.Renderer.Render(ctx, helm.RenderRequest{
			Tree: w.head.tree.FS(), Chart: d.Chart, Key: keys[d.Chart], Release: d.Target.Release, Namespace: d.Target.Namespace,
			Values: values, NoObjects: true,
		})
		if err != nil {
			return fail(err)
		}
		out.Text = string(rendered.Manifest)
	}
	return out, nil
}
