package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

// fleet makes a side with hubs in staging and prod, on one chart, with a user
// image that two hubs share.
func fleet(hubs ...string) Revision {
	s := Revision{Commit: "c", Layout: model.LayoutHubploy}
	for _, h := range hubs {
		dir := "deployments/" + h
		s.Hubs = append(s.Hubs, SideHub{Name: h, Files: map[string]string{"config/common.yaml": h + "1", "config/prod.yaml": h + "2", "hubploy.yaml": h + "3"}})
		for _, env := range []string{"staging", "prod"} {
			s.Releases = append(s.Releases, SideRelease{
				Target:   model.Target{Hub: h, Environment: env, Namespace: h + "-" + env, Release: h + "-" + env},
				Settings: "s",
				Inputs: []Input{
					{"hub", "chart", "chart1"},
					{dir + "/config/common.yaml", "values of every environment", "common1"},
					{dir + "/config/" + env + ".yaml", "values of " + env, "own1"},
					{dir + "/secrets/" + env + ".yaml", "secrets of " + env, "secret1"},
					{dir + "/hubploy.yaml", HubSettingsRole, "hubploy1"},
				},
				Images: []string{"user"},
				Pinned: []model.Pinned{{Name: "registry/a", Tag: "1", Values: "v"}},
			})
		}
	}
	s.Images = []SideImage{{Image: model.Image{ID: "user", Repository: "registry/user"}, Hash: "h1", Hubs: hubs, Inputs: []Input{{"images/user", "image context", "tree1"}}}}
	return s
}

// set changes an input wherever it is one.
func (s Revision) set(path, id string) Revision {
	for i := range s.Releases {
		for j := range s.Releases[i].Inputs {
			if s.Releases[i].Inputs[j].Path == path {
				s.Releases[i].Inputs[j].ID = id
			}
		}
	}
	return s
}

func affectedKeys(p Plan) string {
	var out []string
	for _, r := range p.Releases {
		out = append(out, r.Key())
	}
	return strings.Join(out, " ")
}

func TestAffected(t *testing.T) {
	all := "a@staging a@prod b@staging b@prod"
	for name, tc := range map[string]struct {
		head      Revision
		changed   []string
		releases  string
		reasons   string // of the first release
		unrelated string
	}{
		"nothing":     {fleet("a", "b"), nil, "", "", ""},
		"documents":   {fleet("a", "b"), []string{"README.md", "docs/x.md", "deployments/a/notes.md"}, "", "", "README.md deployments/a/notes.md docs/x.md"},
		"chart":       {fleet("a", "b").set("hub", "chart2"), []string{"hub/values.yaml", "hub.md"}, all, "hub/values.yaml (chart)", "hub.md"},
		"common":      {fleet("a", "b").set("deployments/a/config/common.yaml", "x"), []string{"deployments/a/config/common.yaml"}, "a@staging a@prod", "deployments/a/config/common.yaml (values of every environment)", ""},
		"prod alone":  {fleet("a", "b").set("deployments/b/config/prod.yaml", "x"), []string{"deployments/b/config/prod.yaml"}, "b@prod", "deployments/b/config/prod.yaml (values of prod)", ""},
		"secrets":     {fleet("a", "b").set("deployments/b/secrets/staging.yaml", "x"), []string{"deployments/b/secrets/staging.yaml"}, "b@staging", "deployments/b/secrets/staging.yaml (secrets of staging)", ""},
		"a new hub":   {fleet("a", "b", "c"), nil, "c@staging c@prod", "", ""},
		"a hub fewer": {fleet("a"), []string{"deployments/b/config/common.yaml"}, "b@staging b@prod", "deployments/b/config/common.yaml (values of every environment)", ""},
		"settings": {func() Revision {
			s := fleet("a", "b")
			s.Releases[1].Settings = "other"
			return s
		}(), []string{"hubship.yaml"}, "a@prod", "hubship.yaml (settings)", ""},
		"the cluster": {func() Revision {
			s := fleet("a", "b")
			s.Releases[0].Place = "gcloud"
			return s
		}(), nil, "a@staging", `hubship.yaml (the cluster changes from "" to "gcloud")`, ""},
		"an image": {func() Revision {
			s := fleet("a", "b")
			s.Images[0].Hash, s.Images[0].Inputs = "h2", []Input{{"images/user", "image context", "tree2"}}
			return s
		}(), []string{"images/user/environment.yml"}, all, "images/user/environment.yml (image user)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := Affected(fleet("a", "b"), tc.head, tc.changed, "hubship.yaml")
			if got := affectedKeys(p); got != tc.releases {
				t.Errorf("releases %q, want %q", got, tc.releases)
			}
			if got := strings.Join(p.Unrelated, " "); got != tc.unrelated {
				t.Errorf("unrelated %q, want %q", got, tc.unrelated)
			}
			if len(p.Releases) > 0 && tc.reasons != "" {
				var got []string
				for _, r := range p.Releases[0].Reasons {
					got = append(got, r.Path+" ("+r.Reason+")")
				}
				if strings.Join(got, " ") != tc.reasons {
					t.Errorf("reasons %q, want %q", got, tc.reasons)
				}
			}
			if raw, err := json.Marshal(p); err != nil || strings.Contains(string(raw), "null") {
				t.Errorf("JSON %s, %v", raw, err)
			}
		})
	}
}

func TestAffectedManyFiles(t *testing.T) {
	var changed []string
	for i := range 30 {
		changed = append(changed, "hub/charts/x/"+string(rune('a'+i)))
	}
	p := Affected(fleet("a"), fleet("a").set("hub", "c2"), changed, "")
	if got := p.Releases[0].Reasons; len(got) != 1 || got[0] != (Reason{"hub/", "chart: 30 files"}) {
		t.Errorf("reasons %+v", got)
	}
}

func TestAffectedPinned(t *testing.T) {
	head := fleet("a", "b", "c")
	for i := range head.Releases {
		if head.Releases[i].Target.Hub != "c" {
			head.Releases[i].Pinned[0].Tag = "2"
		}
	}
	head.set("deployments/a/hubploy.yaml", "x").set("deployments/b/hubploy.yaml", "x")
	p := Affected(fleet("a", "b", "c"), head, []string{"deployments/a/hubploy.yaml", "deployments/b/hubploy.yaml"}, "hubship.yaml")
	if len(p.Images) != 1 {
		t.Fatalf("images %+v", p.Images)
	}
	i := p.Images[0]
	if i.Before != "registry/a:1" || i.After != "registry/a:2" || i.Name != "registry/a" || i.Build || strings.Join(i.Hubs, " ") != "a b" || len(i.Reasons) != 2 {
		t.Errorf("image %+v", i)
	}
	if got := affectedKeys(p); got != "a@staging a@prod b@staging b@prod" {
		t.Errorf("releases %s", got)
	}
}

func TestHubChanges(t *testing.T) {
	base, head := fleet("a", "b", "gone"), fleet("a", "b", "new", "fresh")
	head.Hubs[2].Files = map[string]string{"config/common.yaml": "gone1", "config/prod.yaml": "gone2", "hubploy.yaml": "other"}
	p := Affected(base, head, nil, "")
	want := []HubChange{{Hub: "new", Change: Renamed, From: "gone"}, {Hub: "fresh", Change: Added}}
	if !slices.Equal(p.Hubs, want) {
		t.Errorf("hubs %+v, want %+v", p.Hubs, want)
	}
	p = Affected(base, fleet("a"), nil, "")
	if want := []HubChange{{Hub: "b", Change: Removed}, {Hub: "gone", Change: Removed}}; !slices.Equal(p.Hubs, want) {
		t.Errorf("hubs %+v, want %+v", p.Hubs, want)
	}
	for _, r := range p.Releases {
		if r.Change != Removed {
			t.Errorf("%s is %s", r.Key(), r.Change)
		}
	}
}

// FuzzAffected looks for changes that are lost: every release whose inputs
// differ is named, and every path is either a reason or unrelated.
func FuzzAffected(f *testing.F) {
	f.Add("hub/x", "c2", "README.md")
	f.Add("deployments/a/config/prod.yaml", "z", "hub")
	f.Fuzz(func(t *testing.T, path, id, other string) {
		head := fleet("a", "b").set(path, id)
		changed := []string{path, other}
		slices.Sort(changed)
		p := Affected(fleet("a", "b"), head, slices.Compact(changed), "hubship.yaml")
		again := Affected(head, fleet("a", "b"), slices.Compact(changed), "hubship.yaml")
		if affectedKeys(p) != affectedKeys(again) {
			t.Errorf("forth %s, back %s", affectedKeys(p), affectedKeys(again))
		}
		for _, r := range p.Releases {
			if len(r.Reasons) == 0 {
				t.Errorf("%s has no reason", r.Key())
			}
		}
	})
}
