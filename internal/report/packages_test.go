package report

import (
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/plan"
)

// TestPacks says the same change of many images once, and what goes from one
// ecosystem to another as one change.
func TestPacks(t *testing.T) {
	list := []plan.Package{
		{Image: "a", Ecosystem: "conda", Name: "git", Change: plan.Changed, Before: "==2.39.1", After: "==2.46.0", Pinned: true, File: "a/environment.yml", Line: 9},
		{Image: "a", Ecosystem: "pip", Name: "jupyterhub", Change: plan.Changed, Before: "==4.1.5", After: "==4.1.6", Pinned: true, File: "a/requirements.txt", Line: 1},
		{Image: "a", Ecosystem: "conda", Name: "jupytext", Change: plan.Added, After: "==1.16.4", Pinned: true, File: "a/environment.yml", Line: 10},
		{Image: "a", Ecosystem: "pip", Name: "jupytext", Change: plan.Removed, Before: "==1.16.2", File: "a/environment.yml", Line: 65},
		{Image: "b", Ecosystem: "pip", Name: "jupyterhub", Change: plan.Changed, Before: "==4.1.5", After: "==4.1.6", Pinned: true, File: "b/requirements.txt", Line: 3},
		{Image: "b", Ecosystem: "pip", Name: "Jupytext", Change: plan.Removed, Before: "==1.16.2", File: "b/environment.yml", Line: 5},
	}
	want := []string{
		"~ pip jupyterhub ==4.1.5 → ==4.1.6 — in 2 images: a, b",
		"~ conda git ==2.39.1 → ==2.46.0 — a/environment.yml:9",
		"~ pip jupytext ==1.16.2, now conda jupytext ==1.16.4 — a/environment.yml:10",
		"- pip Jupytext ==1.16.2 — b/environment.yml:5",
	}
	got := packs(list)
	if len(got) != len(want) {
		t.Fatalf("changes %+v", got)
	}
	for i, p := range got {
		if text := sign(p.Change) + " " + p.Text + " — " + p.where(); text != want[i] {
			t.Errorf("got  %s\nwant %s", text, want[i])
		}
	}
}

// TestUntold leaves out what repeats a setting, and nothing else; the plan
// stays as it is.
func TestUntold(t *testing.T) {
	hidden := func(path string) plan.Field { return plan.Field{Path: path, Masked: true} }
	in := []plan.Release{{
		Values: []plan.Field{{Path: "jupyterhub.singleuser.image.tag", Before: "1", After: "2"}},
		Changes: []plan.Change{
			{Change: plan.Changed, Kind: "Secret", Name: "hub", Fields: []plan.Field{hidden(`data["values.yaml"].singleuser.image.tag`), hidden(`data["values.yaml"].hub.config.X.secret`)}},
			{Change: plan.Changed, Kind: "DaemonSet", Name: "hook-image-puller", Fields: []plan.Field{{Path: "spec.image", Before: "a:1", After: "a:2"}, {Path: "other.image", Before: "b:1", After: "b:7"}}},
			{Change: plan.Changed, Kind: "Deployment", Name: "hub", Fields: []plan.Field{{Path: "spec.image", Before: "a:1", After: "a:2"}}},
		},
	}}
	out := untold(in)
	for i, want := range []int{1, 1, 1} {
		if got := len(out[0].Changes[i].Fields); got != want {
			t.Errorf("%s: %d fields are left, want %d", out[0].Changes[i].Object(), got, want)
		}
	}
	if len(in[0].Changes[0].Fields) != 2 || len(in[0].Changes[1].Fields) != 2 {
		t.Error("the plan was changed")
	}
}

// TestReasons says once what all releases have in common, and one path for what
// is alike in every hub's folder.
func TestReasons(t *testing.T) {
	chart := plan.Reason{Path: "hub/Chart.yaml", Reason: "chart: jupyterhub 1 → 2"}
	p := plan.Plan{Fleet: []string{"a@prod", "b@prod", "c@prod"}}
	for _, hub := range []string{"a", "b", "c"} {
		r := plan.Release{Hub: hub, Environment: "prod", Change: plan.Changed, Reasons: []plan.Reason{chart}}
		if hub != "c" {
			r.Reasons = append(r.Reasons, plan.Reason{Path: "deployments/" + hub + "/image/apt.txt", Reason: "image " + hub + "-user"})
		}
		p.Releases = append(p.Releases, r)
	}
	v := newView(p, Options{})
	want := []reasons{
		{Where: "all 3 hubs, prod", Reasons: []plan.Reason{chart}},
		{Where: "a and b, prod", Reasons: []plan.Reason{{Path: "deployments/{hub}/image/apt.txt", Reason: "image {hub}-user"}}},
	}
	if len(v.reasons) != len(want) {
		t.Fatalf("reasons %+v", v.reasons)
	}
	for i, r := range v.reasons {
		if r.Where != want[i].Where || !slices.Equal(r.Reasons, want[i].Reasons) {
			t.Errorf("got %+v, want %+v", r, want[i])
		}
	}
	if got := v.charts(); len(got) != 1 || got[0] != "jupyterhub 1 → 2" {
		t.Errorf("charts %q", got)
	}
}

// TestFeelOnce says an effect once that releases have for different reasons.
func TestFeelOnce(t *testing.T) {
	p := plan.Plan{Fleet: []string{"a@prod", "b@prod", "c@prod"}}
	for hub, why := range map[string]string{"a": "x", "b": "y", "c": "y"} {
		p.Releases = append(p.Releases, plan.Release{Hub: hub, Environment: "prod", Impact: plan.Impact{
			Level: plan.HubRestart, Effects: []plan.Effect{{Level: plan.HubRestart, What: "the hub restarts", Why: why, Object: "Deployment hub"}},
		}})
	}
	slices.SortFunc(p.Releases, func(a, b plan.Release) int { return strings.Compare(a.Hub, b.Hub) })
	v := newView(p, Options{})
	if len(v.effects) != 1 || v.effects[0].Why != "y; elsewhere 1 other reason" || v.effects[0].Where != "all 3 hubs, prod" {
		t.Errorf("effects %+v", v.effects)
	}
}
