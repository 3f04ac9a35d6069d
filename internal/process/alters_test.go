package process

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/model"
)

// randomProcess is any process, valid or not.
func randomProcess(t *rapid.T, label string) model.Process {
	p := model.Process{
		Review: model.ReviewSettings{Approvals: rapid.IntRange(0, 6).Draw(t, label+"approvals")},
		Revert: rapid.SampledFrom([]string{model.RevertPropose, model.RevertAuto}).Draw(t, label+"revert"),
		Verify: model.VerifySettings{Service: rapid.SampledFrom([]string{"hubship", "x"}).Draw(t, label+"service"), User: rapid.SampledFrom([]string{"v", "w"}).Draw(t, label+"user")},
		Places: rapid.MapOf(rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"k", "l"})).Draw(t, label+"places"),
	}
	for _, name := range rapid.Permutation([]string{"test", "stage", "live"}).Draw(t, label+"order")[:rapid.IntRange(0, 3).Draw(t, label+"n")] {
		pick := func(what string, of ...string) string {
			return rapid.SampledFrom(of).Draw(t, label+name+what)
		}
		p.Environments = append(p.Environments, model.Environment{
			Name: name, Branch: pick("branch", name, "main"), Cluster: pick("cluster", "k", "l"), Namespace: pick("namespace", "{hub}", "{hub}-{env}"),
			Release: pick("release", "{hub}", "{hub}-{env}"), Host: pick("host", "{hub}", "{env}"), After: pick("after", "", "test", "stage"),
			Push: rapid.Bool().Draw(t, label+name+"push"),
		})
	}
	return p
}

// looser is the order that loosening is judged by, written down once more: it
// says for one path which of two values protects less.
func looser(path, old, now string) bool {
	switch {
	case old == now:
		return false
	case path == "push":
		return now == "true"
	case path == "approvals":
		return now < old // one digit each
	case path == "revert":
		return now == model.RevertAuto
	case path == "after":
		return old != ""
	}
	return path != "host"
}

func settings(p model.Process) map[string]string {
	out := map[string]string{"approvals": fmt.Sprint(p.Review.Approvals), "revert": p.Revert, "service": p.Verify.Service, "user": p.Verify.User}
	for _, e := range p.Environments {
		for k, v := range map[string]string{"branch": e.Branch, "cluster": e.Cluster, "namespace": e.Namespace, "release": e.Release, "host": e.Host, "after": e.After, "push": fmt.Sprint(e.Push)} {
			out[e.Name+"/"+k] = v
		}
	}
	return out
}

func TestAltersRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := randomProcess(t, "a"), randomProcess(t, "b"), randomProcess(t, "c")
		if rapid.Bool().Draw(t, "same") {
			b = a
			b.Commit, b.Branch = "elsewhere", "other"
			b.Environments = slices.Clone(a.Environments)
		}
		ab := Alters(a, b)
		if (len(ab) == 0) != a.Equal(b) {
			t.Fatalf("equal %v, and changes %+v", a.Equal(b), ab)
		}
		for _, ch := range ab {
			if ch.Words == "" || ch.Path == "" || ch.Old == ch.New {
				t.Fatalf("a change that says nothing: %+v", ch)
			}
		}
		// There and back: what tightens on the way there loosens on the way
		// back, or means nothing.
		back := Alters(b, a)
		if len(ab) != len(back) {
			t.Fatalf("%d changes, and %d back", len(ab), len(back))
		}
		for i := range ab {
			if ab[i].Path != back[i].Path || ab[i].Old != back[i].New || ab[i].New != back[i].Old {
				t.Fatalf("%+v, and back %+v", ab[i], back[i])
			}
		}
		// Whatever lies between: what differs from end to end differs on one
		// of the two ways.
		seen := map[string]bool{}
		for _, ch := range append(Alters(a, c), Alters(c, b)...) {
			seen[ch.Path] = true
		}
		for _, ch := range ab {
			under := seen[ch.Path]
			for at := range seen { // a setting of an environment that came or went on the way
				under = under || len(ch.Path) > len(at) && ch.Path[:len(at)] == at && ch.Path[len(at)] == '.'
			}
			if !under && ch.Path != "environments" {
				t.Fatalf("%s differs from end to end, and on neither way: %+v", ch.Path, seen)
			}
		}
		// Loosening, by the order above, in processes with the same environments.
		if names := func(p model.Process) (out []string) {
			for _, e := range p.Environments {
				out = append(out, e.Name)
			}
			return out
		}; slices.Equal(names(a), names(b)) {
			want := false
			now := settings(b)
			for path, old := range settings(a) {
				key := path
				if i := slices.Index([]byte(path), '/'); i >= 0 {
					key = path[i+1:]
				}
				want = want || looser(key, old, now[path])
			}
			for hub, k := range a.Places {
				want = want || b.Places[hub] != k
			}
			if got := loosens(ab); got != want {
				t.Fatalf("loosens %v, want %v: %+v", got, want, ab)
			}
		}
	})
}

func TestAlters(t *testing.T) {
	base := model.Process{
		Environments: []model.Environment{{Name: "stage", Branch: "stage", Cluster: "k", Namespace: "{hub}-s"}, {Name: "live", Branch: "live", Cluster: "k", Namespace: "{hub}-l", After: "stage"}},
		Review:       model.ReviewSettings{Approvals: 1}, Revert: model.RevertPropose, Places: map[string]string{"math": "k"},
	}
	for name, c := range map[string]struct {
		edit    func(*model.Process)
		path    string
		loosens bool
		words   string
	}{
		"gate dropped":    {func(p *model.Process) { p.Environments[1].After = "" }, "environments.live.after", true, "live accepts what stage has not verified: its gate is removed"},
		"gate added":      {func(p *model.Process) { p.Environments[0].After = "live" }, "environments.stage.after", false, "stage accepts only what live has verified"},
		"pushed to":       {func(p *model.Process) { p.Environments[0].Push = true }, "environments.stage.push", true, "stage allows direct pushes, bypassing review and checks"},
		"other cluster":   {func(p *model.Process) { p.Environments[1].Cluster = "l" }, "environments.live.cluster", true, "cluster of live: l instead of k"},
		"other host":      {func(p *model.Process) { p.Environments[1].Host = "x" }, "environments.live.host", false, "host names of live: x instead of none"},
		"fewer approvals": {func(p *model.Process) { p.Review.Approvals = 0 }, "review.approvals", true, "approvals that a change needs: 0 instead of 1"},
		"more approvals":  {func(p *model.Process) { p.Review.Approvals = 2 }, "review.approvals", false, "approvals that a change needs: 2 instead of 1"},
		"removed":         {func(p *model.Process) { p.Environments = p.Environments[:1] }, "environments.live", true, "environment live is removed: nothing is deployed or protected there anymore"},
		"gated one added": {func(p *model.Process) {
			p.Environments = append(p.Environments, model.Environment{Name: "x", After: "live"})
		}, "environments.x", false, "environment x is added: branch , cluster none, namespace , after live"},
		"ungated one added": {func(p *model.Process) { p.Environments = append(p.Environments, model.Environment{Name: "x"}) }, "environments.x", true, "environment x is added: branch , cluster none, namespace , without a gate"},
		"hub moved":         {func(p *model.Process) { p.Places = map[string]string{"math": "l"} }, "places.math", true, "cluster of hub math: l instead of k"},
		"hub added":         {func(p *model.Process) { p.Places = map[string]string{"math": "k", "art": "l"} }, "places.art", false, "cluster of hub art: l instead of none"},
	} {
		t.Run(name, func(t *testing.T) {
			now := base
			now.Environments = slices.Clone(base.Environments)
			c.edit(&now)
			got := Alters(base, now)
			if len(got) != 1 || got[0].Path != c.path || got[0].Loosens != c.loosens || got[0].Words != c.words {
				t.Errorf("%+v", got)
			}
		})
	}
}

func loosens(changes []model.ProcessChange) bool {
	return slices.ContainsFunc(changes, func(c model.ProcessChange) bool { return c.Loosens })
}

// A setting that nobody compares could be changed without a maintainer: each one
// is, whatever is added.
func TestEverySettingAlters(t *testing.T) {
	base := func() model.Process {
		return model.Process{Environments: []model.Environment{{Name: "stage"}, {Name: "live"}}}
	}
	// What follows from the commit decides nothing.
	none := map[string]bool{"Branch": true, "Commit": true, "Layout": true, "Clusters": true, "Environments": true, "Environments.Name": true}
	var change func(at string, of func(*model.Process) reflect.Value)
	change = func(at string, of func(*model.Process) reflect.Value) {
		p := base()
		v := of(&p)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				change(at+"."+v.Type().Field(i).Name, func(p *model.Process) reflect.Value { return of(p).Field(i) })
			}
			return
		case reflect.String:
			v.SetString("other")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(7)
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf("math"), reflect.ValueOf("other"))
		default:
			t.Fatalf("%s is a %s: say here how to change it", at, v.Kind())
		}
		if !none[at] && len(Alters(base(), p)) == 0 {
			t.Errorf("%s can be changed, and Alters does not say so", at)
		}
	}
	whole := reflect.TypeFor[model.Process]()
	for i := range whole.NumField() {
		name := whole.Field(i).Name
		if !none[name] {
			change(name, func(p *model.Process) reflect.Value { return reflect.ValueOf(p).Elem().Field(i) })
		}
	}
	env := reflect.TypeFor[model.Environment]()
	for i := range env.NumField() {
		change("Environments."+env.Field(i).Name, func(p *model.Process) reflect.Value { return reflect.ValueOf(&p.Environments[1]).Elem().Field(i) })
	}
}
