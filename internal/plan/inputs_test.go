package plan

import (
	"regexp"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

// known is what names of things made elsewhere stand for in the sample.
var known = model.Resolved{
	Images: []model.ResolvedImage{{Ref: "quay.io/a:1", Digest: "sha256:a"}, {Ref: "quay.io/b:1", Digest: "sha256:b"}},
	Charts: []model.ResolvedChart{{Name: "dep", Version: "1.0.0", Repository: "https://c", Digest: "sha256:c"}},
}

func sample() (model.Desired, []model.Built) {
	d := model.Desired{
		Target: model.Target{Hub: "datahub", Environment: "staging", Cluster: "local", Namespace: "datahub-staging", Release: "datahub-staging", Host: "h"},
		Commit: "c1", Shared: "s1", Own: "o1",
		Images: []model.Source{
			{Image: model.Image{ID: "hub", Values: "jupyterhub.hub.image"}, Hash: "h1"},
			{Image: model.Image{ID: "datahub/user", Values: "jupyterhub.singleuser.image"}, Hash: "h2"},
		},
	}
	return d, []model.Built{
		{ID: "datahub/user", Name: "registry/datahub/user", Tag: "h-2", Digest: "sha256:2"},
		{ID: "hub", Name: "registry/hub", Tag: "h-1", Digest: "sha256:1"},
	}
}

// TestInputsGolden holds the encoding: when it changes, every release is
// upgraded once, which has to be meant (see inputsVersion).
func TestInputsGolden(t *testing.T) {
	d, images := sample()
	if got, want := Inputs(d, images, known), "befb73aec9ce1a3b87260e63944848cca5149951"; got != want {
		t.Errorf("inputs %s, want %s", got, want)
	}
}

// TestInputs changes one thing at a time.
func TestInputs(t *testing.T) {
	d, images := sample()
	first := Inputs(d, images, known)
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(first) {
		t.Errorf("inputs %q do not fit a label", first)
	}
	seen := map[string]string{first: "the sample"}
	for name, change := range map[string]func(d *model.Desired, b []model.Built){
		"shared":            func(d *model.Desired, _ []model.Built) { d.Shared = "s2" },
		"own":               func(d *model.Desired, _ []model.Built) { d.Own = "o2" },
		"namespace":         func(d *model.Desired, _ []model.Built) { d.Target.Namespace = "n" },
		"release":           func(d *model.Desired, _ []model.Built) { d.Target.Release = "r" },
		"values path":       func(d *model.Desired, _ []model.Built) { d.Images[0].Values = "v" },
		"digest":            func(_ *model.Desired, b []model.Built) { b[0].Digest = "sha256:3" },
		"tag":               func(_ *model.Desired, b []model.Built) { b[1].Tag = "h-3" },
		"name":              func(_ *model.Desired, b []model.Built) { b[1].Name = "other/hub" },
		"image not built":   func(_ *model.Desired, b []model.Built) { b[1].ID = "other" },
		"shared and own":    func(d *model.Desired, _ []model.Built) { d.Shared, d.Own = "s1o", "1" },
		"images exchanged":  func(_ *model.Desired, b []model.Built) { b[0].ID, b[1].ID = b[1].ID, b[0].ID },
		"no images desired": func(d *model.Desired, _ []model.Built) { d.Images = nil },
	} {
		d, images := sample()
		change(&d, images)
		got := Inputs(d, images, known)
		if other, ok := seen[got]; ok {
			t.Errorf("%s: the same inputs as %s", name, other)
		}
		seen[got] = name
	}
	for name, change := range map[string]func(d *model.Desired, b []model.Built){
		"commit": func(d *model.Desired, _ []model.Built) { d.Commit = "c2" },
		"order": func(d *model.Desired, b []model.Built) {
			d.Images[0], d.Images[1] = d.Images[1], d.Images[0]
			b[0], b[1] = b[1], b[0]
		},
		"found, built": func(_ *model.Desired, b []model.Built) { b[0].Rebuilt, b[0].Size = true, 5 },
		"cluster name": func(d *model.Desired, _ []model.Built) { d.Target.Cluster, d.Target.Host = "c", "x" },
	} {
		d, images := sample()
		change(&d, images)
		if got := Inputs(d, images, known); got != first {
			t.Errorf("%s: other inputs", name)
		}
	}
}

// TestEncoder has records that look alike when they are only strung together.
func TestEncoder(t *testing.T) {
	seen := map[string]int{}
	for i, records := range [][][]string{
		{}, {{}}, {{""}}, {{"", ""}}, {{""}, {""}}, {{"ab", "c"}}, {{"a", "bc"}}, {{"abc"}}, {{"ab"}, {"c"}}, {{"a\x00b"}}, {{"a", "b"}},
	} {
		e := NewEncoder("v")
		for _, r := range records {
			e.Add(r...)
		}
		if j, ok := seen[e.Hex()]; ok {
			t.Errorf("lists %d and %d have one digest", i, j)
		}
		seen[e.Hex()] = i
	}
	if NewEncoder("a").Hex() == NewEncoder("b").Hex() {
		t.Error("two versions have one digest")
	}
}

// What was made elsewhere is part of the inputs, in whatever order it was
// gathered.
func TestInputsOfThingsMadeElsewhere(t *testing.T) {
	d, images := sample()
	seen := map[string]string{Inputs(d, images, known): "the sample"}
	for name, change := range map[string]func(r *model.Resolved){
		"another digest":           func(r *model.Resolved) { r.Images[0].Digest = "sha256:x" },
		"another image":            func(r *model.Resolved) { r.Images[0].Ref = "quay.io/a:2" },
		"digests exchanged":        func(r *model.Resolved) { r.Images[0].Digest, r.Images[1].Digest = "sha256:b", "sha256:a" },
		"one less":                 func(r *model.Resolved) { r.Images = r.Images[:1] },
		"nothing":                  func(r *model.Resolved) { *r = model.Resolved{} },
		"another archive":          func(r *model.Resolved) { r.Charts[0].Digest = "sha256:x" },
		"another version":          func(r *model.Resolved) { r.Charts[0].Version = "1.0.1" },
		"another repository":       func(r *model.Resolved) { r.Charts[0].Repository = "https://d" },
		"an image that is a chart": func(r *model.Resolved) { r.Images = append(r.Images, model.ResolvedImage{Ref: "dep", Digest: "1.0.0"}) },
	} {
		r := model.Resolved{Images: append([]model.ResolvedImage(nil), known.Images...), Charts: append([]model.ResolvedChart(nil), known.Charts...)}
		change(&r)
		got := Inputs(d, images, r)
		if other, ok := seen[got]; ok {
			t.Errorf("%s: the same inputs as %s", name, other)
		}
		seen[got] = name
	}
	turned := model.Resolved{Images: []model.ResolvedImage{known.Images[1], known.Images[0]}, Charts: known.Charts}
	if Inputs(d, images, turned) != Inputs(d, images, known) {
		t.Error("the order matters")
	}
}
