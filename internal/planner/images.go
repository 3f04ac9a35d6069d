package planner

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/plan"
)

// references finds images to images that a release's values change, beside
// those that the layout knows: they come to the same list.
func (w *work) references(r *plan.Release, before, after map[string]any) {
	for _, f := range r.Values {
		at, ok := strings.CutSuffix(f.Path, ".tag")
		if !ok {
			if at, ok = strings.CutSuffix(f.Path, ".name"); !ok {
				continue
			}
		}
		if last := strings.ToLower(at[strings.LastIndexByte(at, '.')+1:]); !strings.HasSuffix(last, "image") {
			continue
		}
		was, is := reference(before, at), reference(after, at)
		if is == "" || was == is || strings.Contains(is, ":inputs-") {
			continue
		}
		w.refer(r, was, is)
	}
}

// rendered finds references to images in the objects that change.
func (w *work) rendered(r *plan.Release) {
	for _, c := range r.Changes {
		for _, f := range c.Fields {
			// Of a pod's containers: elsewhere "image" may be anything.
			if !strings.HasSuffix(f.Path, "].image") || !strings.Contains(f.Path, "ontainers[") || f.Masked {
				continue
			}
			was, _ := f.Before.(string)
			if is, ok := f.After.(string); ok && is != "" && !strings.Contains(is, ":inputs-") {
				w.refer(r, was, is)
			}
		}
	}
}

// refer adds a reference that a release changes to the plan's images.
func (w *work) refer(r *plan.Release, was, is string) {
	i := slices.IndexFunc(w.plan.Images, func(i plan.Image) bool { return !i.Build && i.Before == was && i.After == is })
	if i < 0 {
		name := is
		if colon := strings.LastIndexByte(is, ':'); colon > strings.LastIndexByte(is, '/') {
			name = is[:colon]
		}
		img := plan.Image{ID: is, Name: name, Change: plan.Changed, Before: was, After: is, Hubs: []string{}, Reasons: []plan.Reason{}}
		if was == "" {
			img.Change = plan.Added
		}
		for _, reason := range r.Reasons {
			if !strings.HasPrefix(reason.Reason, "secrets") {
				img.Reasons = append(img.Reasons, reason)
			}
		}
		w.plan.Images = append(w.plan.Images, img)
		i = len(w.plan.Images) - 1
	}
	if img := &w.plan.Images[i]; !slices.Contains(img.Hubs, r.Hub) {
		img.Hubs = append(img.Hubs, r.Hub)
	}
}

// reference is the image at a dotted path of values, or "".
func reference(values map[string]any, at string) string {
	var v any = values
	for _, key := range splitPath(at) {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[key]
	}
	m, _ := v.(map[string]any)
	name, _ := m["name"].(string)
	switch tag := m["tag"].(type) {
	case string:
		if tag != "" && name != "" {
			return name + ":" + tag
		}
	case nil:
	default:
		return name
	}
	return name
}

// answers are what registries said about references.
type answers struct {
	asked    map[string]bool // references
	problems []plan.Problem
	bytes    map[string]int64 // by reference
}

// askRegistry judges the references that change, and asks registries about
// those that were not asked about before. The answers are there once background
// is done.
func (w *work) askRegistry(ctx context.Context, a *answers, background *sync.WaitGroup) {
	var refs []check.Ref
	var images []plan.Image
	for _, img := range w.plan.Images {
		if img.Build || img.After == "" || img.Change == plan.Removed || a.asked[img.After] {
			continue
		}
		a.asked[img.After] = true
		ref := check.Ref{Reference: img.After, Releases: w.releasesOf(img.Hubs)}
		if len(img.Reasons) > 0 {
			ref.File = img.Reasons[0].Path
		}
		refs, images = append(refs, ref), append(images, img)
	}
	if len(refs) == 0 {
		return
	}
	registry, layers := w.o.Registry, w.o.Layers
	if !w.q.Render {
		registry, layers = nil, nil // such a plan needs nothing but Git
	}
	background.Add(1)
	go func() {
		defer background.Done()
		found := check.Images(ctx, refs, registry)
		w.mu.Lock()
		defer w.mu.Unlock()
		a.problems = append(a.problems, found...)
	}()
	if layers == nil {
		return
	}
	for _, img := range images {
		background.Add(1)
		go func() {
			defer background.Done()
			bytes, err := check.Missing(ctx, img.Before, img.After, nil, layers)
			if err != nil {
				return // not known, which is not worth a problem
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			a.bytes[img.After] = bytes
		}()
	}
}

func (w *work) releasesOf(hubs []string) []string {
	var out []string
	for _, r := range w.plan.Releases {
		if slices.Contains(hubs, r.Hub) && r.Change != plan.Removed {
			out = append(out, r.Key())
		}
	}
	return out
}

// addImages puts the registries' answers into the plan.
func (w *work) addImages(a *answers) {
	for i := range w.plan.Images {
		img := &w.plan.Images[i]
		img.Bytes = a.bytes[img.After]
		slices.Sort(img.Hubs)
	}
	w.problems = append(w.problems, a.problems...)
}
