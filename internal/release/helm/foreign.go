package helm

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// Foreign implements ship.Releases.
func (r *Releases) Foreign(ctx context.Context, u model.Upgrade, only bool) (model.Foreign, error) {
	values, secrets, err := r.values(ctx, u)
	if err != nil {
		return model.Foreign{}, fmt.Errorf("%s: %w", u.Desired.Target, err)
	}
	red := r.redactor(u.Desired.Target, secrets)
	out, err := r.foreign(ctx, u, values, only)
	if err != nil {
		return out, fmt.Errorf("%s: %w", u.Desired.Target, clean(err, red))
	}
	return out, nil
}

func (r *Releases) foreign(ctx context.Context, u model.Upgrade, values map[string]any, only bool) (model.Foreign, error) {
	ch, charts, err := r.charts.load(ctx, u.Tree, u.Desired.Commit, u.Desired.Chart, u.Resolved.Charts, only)
	if err != nil {
		return model.Foreign{}, err
	}
	out := model.Foreign{Charts: charts}
	merged, err := mergedValues(ch, values)
	if err != nil {
		return out, err
	}
	own := map[string]bool{}
	for _, src := range u.Desired.Images {
		own[src.Values] = true
	}
	uses := r.uses(ctx, u, ch, values, merged)
	places := newPlaces(u)
	for _, image := range release.Images(merged) {
		image, used := uses.of(image)
		if !used || own[image.At()] || slices.ContainsFunc(out.Images, func(f model.ForeignImage) bool { return f.Ref == image.Ref }) {
			continue
		}
		file, line := places.find(image)
		out.Images = append(out.Images, model.ForeignImage{Ref: image.Ref, At: image.At(), File: file, Line: line})
	}
	// What containers run counts wherever its name comes from.
	for ref := range uses.runs {
		built := slices.ContainsFunc(u.Images, func(b model.Built) bool { return ref == b.Ref()+"@"+b.Digest })
		if !built && !slices.ContainsFunc(out.Images, func(f model.ForeignImage) bool { return f.Ref == ref }) {
			out.Images = append(out.Images, model.ForeignImage{Ref: ref})
		}
	}
	slices.SortFunc(out.Images, func(a, b model.ForeignImage) int { return strings.Compare(a.Ref, b.Ref) })
	return out, nil
}

// mergedValues are what templates see: the release's values over those of the
// chart and of the subcharts that are switched on.
func mergedValues(ch *chart.Chart, values map[string]any) (map[string]any, error) {
	ch = copyChart(ch)
	if err := chartutil.ProcessDependencies(ch, copyMap(values)); err != nil {
		return nil, fmt.Errorf("process the chart's dependencies: %w", withoutValue(err))
	}
	merged, err := util.CoalesceValues(ch, copyMap(values))
	if err != nil {
		return nil, fmt.Errorf("merge values with the chart's: %w", withoutValue(err))
	}
	return merged, nil
}

// uses tells which of the images that values name a release can start.
type uses struct {
	runs   map[string]bool // what containers of the rendered objects run
	known  bool            // runs could be told
	set    map[string]bool // places that the values files themselves name
	merged map[string]any
}

// uses renders the release without a cluster. A chart that does not render so
// is told by the upgrade what is wrong; until then all that it names counts.
func (r *Releases) uses(ctx context.Context, u model.Upgrade, ch *chart.Chart, values, merged map[string]any) uses {
	out := uses{set: map[string]bool{}, merged: merged}
	for _, image := range release.Images(values) {
		out.set[image.At()] = true
	}
	c := &compiled{}
	if err := c.adopt(copyChart(ch), u.Desired.Chart); err != nil {
		return out
	}
	t := u.Desired.Target
	made, err := r.renderer.renderChart(ctx, c, RenderRequest{Chart: u.Desired.Chart, Release: t.Release, Namespace: t.Namespace, Values: values, Deterministic: true})
	if err != nil {
		return out
	}
	out.runs, out.known = release.Runs(made.Objects), true
	return out
}

// of says whether an image is used, and completes a tag that the chart has for
// it elsewhere, such as in its version.
func (u uses) of(image release.Image) (release.Image, bool) {
	if !u.known {
		return image, !u.off(image)
	}
	if u.runs[image.Ref] {
		return image, true
	}
	if image.Field != "" && image.Tag == "" {
		for ref := range u.runs {
			if tag, ok := strings.CutPrefix(ref, image.Ref+":"); ok {
				image.Ref, image.Tag = ref, tag
				return image, true
			}
		}
	}
	// No object runs it. Spawners start what their configuration names, and a
	// chart may hand on what it was given by a way of its own; a default that
	// nothing of this takes up is that of a part that is not used. An `enabled:
	// false` beside what values set or spawners start proves nothing: only the
	// chart says whether anybody reads it.
	return image, spawned(image) || u.set[image.At()]
}

// spawners are keys below which JupyterHub and its relatives are told what to
// start when somebody wants it.
var spawners = map[string]bool{
	"singleuser": true, "profileList": true, "profile_options": true, "kubespawner_override": true, "KubeSpawner": true, "KubernetesBuildExecutor": true, "backend": true,
}

func spawned(image release.Image) bool {
	return slices.ContainsFunc(image.Path, func(p any) bool {
		key, ok := p.(string)
		return ok && spawners[key]
	})
}

// off says that something above the image is switched off.
func (u uses) off(image release.Image) bool {
	var at any = u.merged
	for _, p := range image.Path {
		switch v := at.(type) {
		case map[string]any:
			if on, ok := v["enabled"].(bool); ok && !on {
				return true
			}
			key, _ := p.(string)
			at = v[key]
		case []any:
			i, _ := p.(int)
			if i < 0 || i >= len(v) {
				return false
			}
			at = v[i]
		}
	}
	m, _ := at.(map[string]any)
	on, ok := m["enabled"].(bool)
	return ok && !on
}

// pinImages writes the digests of images made elsewhere into values. The chart
// is not changed.
func pinImages(ch *chart.Chart, values map[string]any, resolved []model.ResolvedImage) error {
	if len(resolved) == 0 {
		return nil
	}
	merged, err := mergedValues(ch, values)
	if err != nil {
		return err
	}
	for _, image := range release.Images(merged) {
		for _, known := range resolved {
			tag, tagged := strings.CutPrefix(known.Ref, image.Ref+":")
			switch {
			case known.Ref == image.Ref:
			case image.Field != "" && image.Tag == "" && tagged:
				image.Tag = tag
			default:
				continue
			}
			if err := release.PinImage(values, merged, image, known.Digest); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// places finds where in the values files something stands.
type places struct {
	names []string
	docs  []*yaml.Node
}

func newPlaces(u model.Upgrade) places {
	var p places
	for _, name := range u.Desired.Values {
		data, err := fs.ReadFile(u.Tree, name)
		if err != nil {
			continue
		}
		var doc yaml.Node
		if yaml.Unmarshal(data, &doc) == nil && len(doc.Content) == 1 {
			p.names, p.docs = append(p.names, name), append(p.docs, doc.Content[0])
		}
	}
	return p
}

// find returns the file that says last what an image is.
func (p places) find(image release.Image) (file string, line int) {
	for i := len(p.docs) - 1; i >= 0; i-- {
		at := p.docs[i]
		for _, step := range image.Path {
			if at = below(at, step); at == nil {
				break
			}
		}
		if at == nil {
			continue
		}
		if image.Field != "" {
			if tag := below(at, image.Field); tag != nil {
				return p.names[i], tag.Line
			}
		}
		return p.names[i], at.Line
	}
	return "", 0
}

func below(at *yaml.Node, step any) *yaml.Node {
	if at.Kind == yaml.AliasNode {
		at = at.Alias
	}
	switch s := step.(type) {
	case string:
		for i := 0; at.Kind == yaml.MappingNode && i+1 < len(at.Content); i += 2 {
			if at.Content[i].Value == s {
				return at.Content[i+1]
			}
		}
	case int:
		if at.Kind == yaml.SequenceNode && s < len(at.Content) {
			return at.Content[s]
		}
	}
	return nil
}
