package planner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/helm"
)

// RenderRequest names one release.
type RenderRequest struct {
	Hub, Environment string
	Rev              string // revision
	Values           bool   // the values that the chart is given, rather than the manifests
	ShowSecrets      bool   // what was decrypted is not masked
}

// Manifest is one release as Helm would apply it.
type Manifest struct {
	Commit   string       `json:"commit"`
	Target   model.Target `json:"target"`
	StandIns []string     `json:"standIns,omitempty"` // files whose keys are not here
	Masked   bool         `json:"masked"`             // secrets were taken out of the text
	Text     string       `json:"text"`               // YAML
}

// Render returns the manifests of one release at one commit, or the values
// that its chart is given. Unless they are to be shown, decrypted values are
// masked wherever they stand, and so are all Secrets of a release that has any.
func (p *Planner) Render(ctx context.Context, q RenderRequest) (Manifest, error) {
	fail := func(err error) (Manifest, error) { return Manifest{}, fmt.Errorf("render: %w", err) }
	commit, err := p.git.Resolve(ctx, q.Rev)
	if err != nil {
		return fail(err)
	}
	d, err := p.o.Repository.Release(ctx, commit, q.Hub, q.Environment)
	if err != nil {
		return fail(model.Usage(err, "`hubship plan` names the hubs; --hub and --env name one release"))
	}
	if d.Invalid != "" {
		return fail(errors.New(d.Invalid))
	}
	w := &work{Planner: p, head: side{commit: commit}}
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
	r := &plan.Release{}
	standIn := w.chooseStandIns(r, [2]*side{&w.base, &w.head}, [2]*model.Desired{nil, &d})
	values, known, err := w.inputs(&w.head, d, standIn)
	if err != nil {
		return fail(err)
	}
	red := release.NewRedactor(known...)
	out := Manifest{Commit: commit, Target: d.Target, StandIns: r.StandIns}
	if q.Values {
		text, err := yaml.Marshal(values)
		if err != nil {
			return fail(fmt.Errorf("write the values of %s: %w", d.Target, err))
		}
		out.Text = string(text)
	} else {
		rendered, err := p.o.Renderer.Render(ctx, helm.RenderRequest{
			Tree: w.head.tree.FS(), Chart: d.Chart, Key: keys[d.Chart], Release: d.Target.Release, Namespace: d.Target.Namespace,
			Values: values, Redact: red, NoObjects: true,
		})
		if err != nil {
			return fail(err)
		}
		out.Text = string(rendered.Manifest)
	}
	if len(known) > 0 && !q.ShowSecrets {
		out.Masked = true
		if !q.Values {
			out.Text, err = maskSecrets(out.Text)
			if err != nil {
				return fail(err)
			}
		}
		out.Text = red.Text(out.Text)
	}
	return out, nil
}

// maskSecrets masks the data of every Secret in a manifest, and leaves all
// other documents as they are, byte for byte.
func maskSecrets(manifest string) (string, error) {
	var out strings.Builder
	for i, doc := range strings.Split(manifest, "\n---\n") {
		if i > 0 {
			out.WriteString("\n---\n")
		}
		if !strings.Contains(doc, "Secret") {
			out.WriteString(doc)
			continue
		}
		objects, err := release.ParseManifest([]byte(doc))
		if err != nil || len(objects) != 1 || objects[0].Kind != "Secret" {
			if err != nil {
				return "", errors.New("a document that may hold a Secret cannot be read, and so not be masked; --show-secrets prints it")
			}
			out.WriteString(doc)
			continue
		}
		masked, err := yaml.Marshal(release.MaskObject(objects[0]).Content)
		if err != nil {
			return "", fmt.Errorf("mask %s: %w", objects[0], err)
		}
		source, _, found := strings.Cut(strings.TrimPrefix(doc, "---\n"), "\n")
		if strings.HasPrefix(doc, "---\n") {
			out.WriteString("---\n")
		}
		if found && strings.HasPrefix(source, "# Source: ") {
			out.WriteString(source + "\n")
		}
		out.Write(bytes.TrimRight(masked, "\n"))
	}
	text := out.String()
	if strings.HasSuffix(manifest, "\n") && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text, nil
}
