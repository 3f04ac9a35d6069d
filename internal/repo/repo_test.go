package repo_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/repo"
)

func TestDesired(t *testing.T) {
	r := newRepository(t)
	id := r.commit("staging")
	fleet, err := r.Fleet(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Desired(t.Context(), fleet, "prod")
	if err != nil || len(list) != 2 || list[0].Target.Hub != "data8" || list[1].Target.Hub != "datahub" {
		t.Fatalf("releases %+v, %v", list, err)
	}
	d := list[1]
	want := model.Desired{
		Target: model.Target{Hub: "datahub", Environment: "prod", Cluster: "local", Namespace: "datahub-prod", Release: "datahub-prod", Host: "datahub.localhost"},
		Commit: id, Chart: "hub",
		Values:  []string{"deployments/datahub/config/common.yaml", "deployments/datahub/config/prod.yaml"},
		Secrets: []string{"deployments/datahub/secrets/prod.yaml"},
		Images: []model.Source{
			{Image: model.Image{ID: "base", Name: "base", Repository: "base", Context: "images/base", Dockerfile: "images/base.Dockerfile", Values: "j.base"}, Hash: d.Images[0].Hash},
			{Image: model.Image{ID: "datahub/user", Name: "user", Hub: "datahub", Repository: "datahub/user", Context: "deployments/datahub/image", Dockerfile: "deployments/datahub/image/Dockerfile", Values: "j.singleuser.image"}, Hash: d.Images[1].Hash},
		},
		Shared: d.Shared, Own: d.Own,
	}
	if got, want := asJSON(t, d), asJSON(t, want); got != want {
		t.Errorf("release\n%s\nwant\n%s", got, want)
	}
	for _, hash := range []string{d.Shared, d.Own, d.Images[0].Hash, d.Images[1].Hash} {
		if len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
			t.Errorf("hash %q", hash)
		}
	}
	staging := r.desired(id, "staging")["datahub"]
	if staging.Shared != d.Shared || staging.Own == d.Own || len(staging.Secrets) != 0 {
		t.Errorf("staging %+v", staging)
	}
	if list[0].Shared == d.Shared || list[0].Own == d.Own {
		t.Error("two hubs have one hash")
	}
	if _, err := r.Desired(t.Context(), fleet, "qa"); err == nil {
		t.Error("an unknown environment has releases")
	}
}

// Secrets that all environments share override values in all of them: they are
// proven like these.
func TestSharedSecretsAreShared(t *testing.T) {
	r := newRepository(t)
	r.set("hubship.yaml", strings.Replace(description, `secrets: ["secrets/{env}.yaml"]`, `secrets: [secrets/all.yaml, "/common/all.yaml", "secrets/{env}.yaml"]`, 1))
	r.set("deployments/datahub/secrets/all.yaml", "sealed")
	before := r.commit("staging")
	for name, shared := range map[string]bool{"deployments/datahub/secrets/all.yaml": true, "common/all.yaml": true, "deployments/datahub/secrets/prod.yaml": false} {
		r.set(name, "sealed anew")
		after := r.commit("staging")
		was, is := r.desired(before, "prod")["datahub"], r.desired(after, "prod")["datahub"]
		if (was.Shared != is.Shared) != shared || was.Own == is.Own || is.Shared != r.desired(after, "staging")["datahub"].Shared {
			t.Errorf("%s: shared inputs %.8s became %.8s", name, was.Shared, is.Shared)
		}
		before = after
	}
}

// TestGolden holds the encodings. A change makes every image and all evidence
// new, so it has to be meant.
func TestGolden(t *testing.T) {
	r := newRepository(t)
	d := r.desired(r.commit("staging"), "prod")["datahub"]
	got := strings.Join([]string{d.Shared[:16], d.Own[:16], d.Images[0].Hash[:16], d.Images[1].Hash[:16]}, " ")
	if want := "722ea3aa2a68c172 e0fbabdc75ed8429 c15fda24a8483247 e764be978f476547"; got != want {
		t.Errorf("hashes %s, want %s", got, want)
	}
}

// changes names what differs between two commits, as "hub env what".
func (r *repository) changes(before, after string) string {
	r.t.Helper()
	var out []string
	for _, env := range []string{"staging", "prod"} {
		a, b := r.desired(before, env), r.desired(after, env)
		for _, hub := range []string{"data8", "datahub"} {
			if a[hub].Shared != b[hub].Shared {
				out = append(out, hub+" "+env+" shared")
			}
			if a[hub].Own != b[hub].Own {
				out = append(out, hub+" "+env+" own")
			}
			for i := range b[hub].Images {
				if a[hub].Images[i].Hash != b[hub].Images[i].Hash {
					out = append(out, hub+" "+env+" image "+b[hub].Images[i].Name)
				}
			}
		}
	}
	return strings.Join(out, ", ")
}

const (
	everyShared = "data8 staging shared, datahub staging shared, data8 prod shared, datahub prod shared"
	everyBase   = "data8 staging shared, data8 staging image base, datahub staging shared, datahub staging image base, data8 prod shared, data8 prod image base, datahub prod shared, datahub prod image base"
	userImage   = "datahub staging shared, datahub staging image user, datahub prod shared, datahub prod image user"
	datahubBoth = "datahub staging shared, datahub prod shared"
)

// TestWhatAChangeTouches edits one thing at a time. Then it takes the edit
// back: everything has to be as it was.
func TestWhatAChangeTouches(t *testing.T) {
	const link = fs.ModeSymlink
	type edit struct {
		name, text string
		mode       fs.FileMode
	}
	for name, tc := range map[string]struct {
		edits []edit
		want  string
	}{
		"documentation":           {[]edit{{name: "README.md", text: "more"}, {name: "docs/x.md", text: "x"}, {name: "deployments/README", text: "x"}, {name: "deployments/datahub/README", text: "x"}}, ""},
		"chart":                   {[]edit{{name: "hub/templates/x.yaml", text: "y"}}, everyShared},
		"chart's dependency":      {[]edit{{name: "charts/jupyterhub/values.yaml", text: "a: 2"}}, everyShared},
		"dependency's dependency": {[]edit{{name: "charts/lib/values.yaml", text: "b: 1"}}, everyShared},
		"chart that none uses":    {[]edit{{name: "charts/other/values.yaml", text: "b: 1"}}, ""},
		"shared values":           {[]edit{{name: "deployments/datahub/config/common.yaml", text: "x"}}, datahubBoth},
		"values of staging":       {[]edit{{name: "deployments/datahub/config/staging.yaml", text: "x"}}, "datahub staging own"},
		"values of prod":          {[]edit{{name: "deployments/data8/config/prod.yaml", text: "x"}}, "data8 prod own"},
		"secrets":                 {[]edit{{name: "deployments/datahub/secrets/prod.yaml", text: "x"}}, "datahub prod own"},
		"new secrets":             {[]edit{{name: "deployments/datahub/secrets/staging.yaml", text: "x"}}, "datahub staging own"},
		"user image":              {[]edit{{name: "deployments/datahub/image/requirements.txt", text: "emoji"}}, userImage},
		"mode in a context":       {[]edit{{name: "deployments/datahub/image/notes", text: "1", mode: 0o755}}, userImage},
		"link in a context":       {[]edit{{name: "deployments/datahub/image/link", text: "notes", mode: link}}, userImage},
		"shared image":            {[]edit{{name: "images/base/file", text: "2"}}, everyBase},
		"build file elsewhere":    {[]edit{{name: "images/base.Dockerfile", text: "FROM x"}}, everyBase},
		"ignore list elsewhere":   {[]edit{{name: "images/base.Dockerfile.dockerignore", text: "x"}}, everyBase},
		"file beside an image":    {[]edit{{name: "images/other", text: "x"}}, ""},
		"order of values": {[]edit{{name: "hubship.yaml", text: strings.Replace(description,
			`[config/common.yaml, "config/{env}.yaml"]`, `["config/{env}.yaml", config/common.yaml]`, 1)}}, everyShared},
		"values path of an image": {[]edit{{name: "hubship.yaml", text: strings.Replace(description, "j.base", "j.other", 1)}}, everyShared},
		"repository of an image":  {[]edit{{name: "hubship.yaml", text: strings.Replace(description, "values: j.base", "values: j.base, repository: x", 1)}}, everyShared},
		"words in hubship.yaml":   {[]edit{{name: "hubship.yaml", text: description + "# more\n"}}, ""},
		"link out of the chart": {[]edit{{name: "hub/files/common", text: "../../charts/other", mode: link},
			{name: "charts/other/values.yaml", text: "1"}}, everyShared},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			original := r.files
			before := r.commit("staging")
			for _, e := range tc.edits {
				r.files[e.name], r.modes[e.name] = []byte(e.text), e.mode
			}
			after := r.commit("staging")
			if got := r.changes(before, after); got != tc.want {
				t.Errorf("changes: %s\nwant: %s", got, tc.want)
			}
			for _, e := range tc.edits {
				r.files[e.name] = original[e.name] // nil removes what was not there
			}
			if got := r.changes(before, r.commit("staging")); got != "" {
				t.Errorf("after the revert: %s", got)
			}
		})
	}
}

// TestLinkTarget changes what a link in the chart leads to, outside of it.
func TestLinkTarget(t *testing.T) {
	r := newRepository(t)
	r.files["hub/files/common"], r.modes["hub/files/common"] = []byte("../../charts/other"), fs.ModeSymlink
	r.files["charts/other/far"], r.modes["charts/other/far"] = []byte("../../README.md"), fs.ModeSymlink
	before := r.commit("staging")
	r.set("charts/other/Chart.yaml", "name: changed\n")
	middle := r.commit("staging")
	if got := r.changes(before, middle); got != everyShared {
		t.Errorf("changes: %s", got)
	}
	r.set("README.md", "a link of a link leads here")
	if got := r.changes(middle, r.commit("staging")); got != everyShared {
		t.Errorf("changes: %s", got)
	}
}

// Whatever a build reads is part of what the image is made of: the list of what
// to leave out lies beside the build file's name, and may be a link.
func TestListsOfWhatToLeaveOut(t *testing.T) {
	for name, links := range map[string]map[string]string{
		"the list is a link":                       {"images/base.Dockerfile.dockerignore": "../lists/base"},
		"so is the build file":                     {"images/base.Dockerfile": "../lists/Dockerfile", "images/base.Dockerfile.dockerignore": "../lists/base"},
		"the build file leads into the context":    {"images/base.Dockerfile": "base/Dockerfile", "images/base.Dockerfile.dockerignore": "../lists/base"},
		"the list of the build file's own is none": {"images/base.Dockerfile": "../lists/Dockerfile", "lists/Dockerfile.dockerignore": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			r.set("lists/Dockerfile", "FROM debian")
			r.set("images/base/Dockerfile", "FROM debian")
			r.set("lists/base", "old")
			for at, target := range links {
				r.files[at], r.modes[at] = []byte(target), fs.ModeSymlink
			}
			if name == "the list of the build file's own is none" {
				r.set("lists/Dockerfile.dockerignore", "not read")
				delete(r.modes, "lists/Dockerfile.dockerignore")
			}
			before := r.commit("staging")
			r.set("lists/base", "new")
			if name == "the list of the build file's own is none" {
				r.set("lists/Dockerfile.dockerignore", "still not read")
			}
			changed := r.changes(before, r.commit("staging")) != ""
			if want := links["images/base.Dockerfile.dockerignore"] != ""; changed != want {
				t.Errorf("changed: %v", changed)
			}
		})
	}
}

// TestMovedHub moves all hubs to another folder.
func TestMovedHub(t *testing.T) {
	r := newRepository(t)
	all := r.files
	before := r.commit("staging")
	for name, data := range all {
		if rest, ok := strings.CutPrefix(name, "deployments/"); ok {
			r.files[name], r.files["hubs/"+rest] = nil, data
		}
	}
	r.set("hubship.yaml", strings.Replace(description, "deployments/*", "hubs/*", 1))
	if got := r.changes(before, r.commit("staging")); got != "" {
		t.Errorf("changes: %s", got)
	}
}

// TestChartOfOneHub gives one hub a chart of its own, which the others do not
// feel, not even when it cannot be read.
func TestChartOfOneHub(t *testing.T) {
	r := newRepository(t)
	first := r.commit("staging")
	r.set("hubship.yaml", strings.Replace(description, "  chart: hub\n", "  chart: hub\n  charts: {data8: charts/other}\n", 1))
	own := r.commit("staging")
	r.set("charts/other/values.yaml", "b: 2")
	changed := r.commit("staging")
	r.set("hub/values.yaml", "c: 3")
	shared := r.commit("staging")
	r.set("charts/other/Chart.yaml", "name: [\n")
	broken := r.commit("staging")
	differs := func(a, b, hub string) bool {
		return r.desired(a, "prod")[hub].Shared != r.desired(b, "prod")[hub].Shared
	}
	for _, tc := range []struct {
		before, after  string
		data8, datahub bool
	}{{first, own, true, false}, {own, changed, true, false}, {changed, shared, false, true}, {shared, broken, true, false}} {
		if a, b := differs(tc.before, tc.after, "data8"), differs(tc.before, tc.after, "datahub"); a != tc.data8 || b != tc.datahub {
			t.Errorf("%.7s..%.7s: data8 %v, datahub %v", tc.before, tc.after, a, b)
		}
	}
	d := r.desired(changed, "prod")["data8"]
	if d.Chart != "charts/other" {
		t.Errorf("chart %s", d.Chart)
	}
	if bad, good := r.desired(broken, "prod")["data8"], r.desired(broken, "prod")["datahub"]; !strings.Contains(bad.Invalid, "chart charts/other: read charts/other/Chart.yaml") || good.Invalid != "" {
		t.Errorf("%q and %q", bad.Invalid, good.Invalid)
	}
	if digests, err := r.ChartDigests(t.Context(), changed, ""); err != nil || len(digests) != 2 || digests["hub"] == digests["charts/other"] || digests["hub"] == "" {
		t.Errorf("digests %v, %v", digests, err)
	}
	if got, err := r.Changed(t.Context(), own, shared, "data8"); err != nil || strings.Join(got, " ") != "charts/other/values.yaml" {
		t.Errorf("changed %v, %v", got, err)
	}
}

// TestOtherCommitSameContent has the same content on a branch without a common
// history.
func TestOtherCommitSameContent(t *testing.T) {
	r := newRepository(t)
	all := r.files
	one := r.commit("staging")
	r.files = all
	r.set("README.md", "else")
	if two := r.commit("prod"); one == two || r.changes(one, two) != "" {
		t.Errorf("changes between %s and %s: %s", one, two, r.changes(one, two))
	}
}

func TestPlatform(t *testing.T) {
	r := newRepository(t)
	id := r.commit("staging")
	other := &repository{Repository: repo.New(r.Git(), repo.Options{Platform: "linux/arm64"}), t: t}
	if a, b := r.desired(id, "prod")["datahub"], other.desired(id, "prod")["datahub"]; a.Images[0].Hash == b.Images[0].Hash || a.Shared == b.Shared {
		t.Error("two platforms have one hash")
	}
}

func TestChartProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		chart, want string
	}{
		"missing":  {"dependencies: [{name: x, repository: 'file://../charts/gone'}]", "hub/Chart.yaml: dependency x: folder charts/gone does not exist"},
		"outside":  {"dependencies: [{name: x, repository: 'file://../../x'}]", "hub/Chart.yaml: dependency x: file://../../x is outside the repository"},
		"absolute": {"dependencies: [{name: x, repository: 'file:///etc'}]", "hub/Chart.yaml: dependency x: file:///etc is outside the repository"},
		"no YAML":  {"dependencies: {", "read hub/Chart.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			r.set("hub/Chart.yaml", tc.chart)
			fleet, err := r.Fleet(t.Context(), r.commit("staging"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Desired(t.Context(), fleet, "prod"); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
	r := newRepository(t) // charts that name each other end
	r.set("charts/lib/Chart.yaml", "dependencies: [{name: hub, repository: 'file://../../hub'}]")
	if d := r.desired(r.commit("staging"), "prod"); len(d) != 2 {
		t.Errorf("releases %v", d)
	}
	r = newRepository(t)
	r.files["hub/link"], r.modes["hub/link"] = []byte("../../etc"), fs.ModeSymlink
	fleet, err := r.Fleet(t.Context(), r.commit("staging"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Desired(t.Context(), fleet, "prod"); !errors.Is(err, git.ErrOutside) {
		t.Errorf("link out of the repository: %v", err)
	}
}

func TestBadConfiguration(t *testing.T) {
	r := newRepository(t)
	r.set("hubship.yaml", strings.Replace(description, "chart: hub", "chart: [", 1))
	id := r.commit("staging")
	for range 2 { // the second time from memory
		if _, err := r.Fleet(t.Context(), id); err == nil || !strings.Contains(err.Error(), "hubship.yaml:") || !strings.Contains(err.Error(), id[:12]) || model.HintOf(err) == "" {
			t.Errorf("error %v", err)
		}
	}
	if _, err := r.Fleet(t.Context(), strings.Repeat("1", 40)); !errors.Is(err, git.ErrNotFound) {
		t.Errorf("unknown commit: %v", err)
	}
}

// TestForgottenCommit has more commits than are kept.
func TestForgottenCommit(t *testing.T) {
	r := newRepository(t)
	r.Repository = repo.New(r.Git(), repo.Options{Commits: 1})
	first := r.commit("staging")
	fleet, err := r.Fleet(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	r.set("README.md", "second")
	if _, err := r.Fleet(t.Context(), r.commit("staging")); err != nil {
		t.Fatal(err)
	}
	if list, err := r.Desired(t.Context(), fleet, "prod"); err != nil || len(list) != 2 || list[0].Commit != first {
		t.Errorf("releases %+v, %v", list, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	r := newRepository(t)
	id := r.commit("staging")
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			fleet, err := r.Fleet(t.Context(), id)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := r.Desired(t.Context(), fleet, []string{"staging", "prod"}[i%2]); err != nil {
				t.Error(err)
			}
			tree, err := r.FS(t.Context(), id)
			if err != nil {
				t.Error(err)
				return
			}
			if data, err := fs.ReadFile(tree, "README.md"); string(data) != "words" || err != nil {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
	group.Wait()
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
