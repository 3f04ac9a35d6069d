package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestBlocks(t *testing.T) {
	release := func(hub, env string, changes ...Change) Release {
		return Release{Hub: hub, Environment: env, Namespace: hub + "-" + env, Release: hub + "-" + env, Changes: changes, Values: []Field{{Path: "memory", Before: "1G", After: "2G"}}}
	}
	common := object("Deployment", "hub", "hub", at("spec.replicas"))
	named := func(name string) Change {
		return object("ClusterRole", name+"-user-scheduler", "", Field{Path: "metadata.labels.release", Before: "old", After: name})
	}
	blocks := Blocks([]Release{
		release("a", "prod", common, named("a-prod")),
		release("b", "prod", named("b-prod"), common, object("Service", "only", "", at("spec.type"))),
		release("c", "prod", named("c-prod"), object("Deployment", "hub", "hub", at("spec.paused"))),
	})
	var got []string
	for _, b := range blocks {
		for _, c := range b.Changes {
			got = append(got, fmt.Sprintf("%s: %s %s", strings.Join(b.Releases, " "), c.Object(), c.Fields[0].Path))
		}
		for _, f := range b.Values {
			got = append(got, fmt.Sprintf("%s: value %s", strings.Join(b.Releases, " "), f.Path))
		}
	}
	want := []string{
		"a@prod b@prod c@prod: ClusterRole {release}-user-scheduler metadata.labels.release",
		"a@prod b@prod c@prod: value memory",
		"a@prod b@prod: Deployment hub spec.replicas",
		"b@prod: Service only spec.type",
		"c@prod: Deployment hub spec.paused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	one := Blocks([]Release{release("a", "prod", named("a-prod"))})
	if name := one[0].Changes[0].Name; name != "a-prod-user-scheduler" {
		t.Errorf("one release's own name is written %q", name)
	}
}

func TestName(t *testing.T) {
	var fleet []string
	for i := range 27 {
		fleet = append(fleet, fmt.Sprintf("hub%02d@staging", i), fmt.Sprintf("hub%02d@prod", i))
	}
	env := func(keys []string, env string) []string {
		return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasSuffix(k, "@"+env) })
	}
	for _, tt := range []struct {
		set, fleet []string
		want       string
	}{
		{fleet, fleet, "all 27 hubs, staging and prod"},
		{env(fleet, "prod"), fleet, "all 27 hubs, prod"},
		{fleet[2:], fleet, "26 of 27 hubs (not hub00), staging and prod"},
		{fleet[:12], fleet, "6 of 27 hubs (hub00, hub01, hub02 and 3 more), staging and prod"},
		{fleet[:12], nil, "6 hubs (hub00, hub01, hub02 and 3 more), staging and prod"},
		{fleet[:2], fleet, "hub00, staging and prod"},
		{fleet[1:2], fleet, "hub00, prod"},
		{[]string{"a@prod", "b@prod"}, fleet, "a and b, prod"},
		{append(slices.Clone(fleet[:52]), fleet[53]), fleet, "26 of 27 hubs (not hub26), staging and prod; hub26, prod"},
		{[]string{"a@prod"}, []string{"a@prod"}, "a, prod"},
		{[]string{"gone@prod", "gone@staging"}, fleet, "gone, staging and prod"},
		{nil, fleet, ""},
	} {
		if got := Name(tt.set, tt.fleet); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
