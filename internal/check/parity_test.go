package check

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

// hub makes the settings of a hub from its three values files.
func hub(t *testing.T, name, common, staging, prod string) HubSettings {
	t.Helper()
	read := func(text string) map[string]any {
		v, err := release.ParseValues([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	dir := "deployments/" + name + "/config/"
	return HubSettings{
		Hub: name, First: "staging", Next: "prod",
		Before: release.Merge(read(common), read(staging)),
		After:  release.Merge(read(common), read(prod)),
		Files:  []ValuesFile{{dir + "common.yaml", []byte(common)}, {dir + "prod.yaml", []byte(prod)}},
	}
}

func TestParity(t *testing.T) {
	usual := func(name string) HubSettings {
		return hub(t, name, "singleuser: {memory: {limit: 1G}}\n",
			"ingress: {hosts: ["+name+"-staging.example.org]}\nfiles: shares/"+name+"/staging\nculling: 60\ncallback: https://"+name+"-staging.example.org/x\n",
			"ingress: {hosts: ["+name+".example.org]}\nfiles: shares/"+name+"/prod\nculling: 3600\ncallback: https://"+name+".example.org/x\nhub: {db: {pvc: {storage: 4Gi}}}\n")
	}
	hubs := []HubSettings{usual("a"), usual("b"), usual("c"), usual("d"), usual("e")}
	if got := Parity(hubs); len(got) > 0 {
		t.Fatal(messages(got))
	}
	with := func(name, staging, prod string) []HubSettings {
		h := hub(t, name, "# nothing\n", staging, prod)
		return append(hubs[:5:5], h)
	}
	for name, test := range map[string]struct {
		hubs []HubSettings
		want string
	}{
		"memory": {with("f", "singleuser: {memory: {limit: 1G}}\n", "x: &x {}\n\nsingleuser:\n  memory: {limit: 2G}\nx2: 1\n"),
			`notice deployments/f/config/prod.yaml:4 f: staging and prod now differ where they usually do not: singleuser.memory.limit is "1G" in staging, "2G" in prod (deployments/f/config/prod.yaml:4); x is not set in staging, {} in prod (deployments/f/config/prod.yaml:1); x2 is not set in staging, 1 in prod (deployments/f/config/prod.yaml:5)` + "\n"},
		"image first": {with("f", "a: 1\nsingleuser: {image: {tag: new}}\n", "a: 2\nsingleuser: {image: {tag: old}}\n"),
			`warning deployments/f/config/prod.yaml:2 f: staging and prod now differ where they usually do not: singleuser.image.tag is "new" in staging, "old" in prod (deployments/f/config/prod.yaml:2); a is 1 in staging, 2 in prod (deployments/f/config/prod.yaml:1)` + "\n"},
		"only tested": {with("f", "hub: {extraConfig: {x: \"a\\nb\\nc\\n\"}}\n", "a: {}\n"),
			`warning deployments/f/config/prod.yaml:0 f: staging and prod now differ where they usually do not: hub.extraConfig.x is a string of 3 lines in staging, not set in prod; a is not set in staging, {} in prod (deployments/f/config/prod.yaml:1)` + "\n"},
		"a secret": {with("f", "hub: {cookieSecret: hunter2}\n", "hub: {cookieSecret: hunter3}\n"),
			`notice deployments/f/config/prod.yaml:1 f: staging and prod now differ where they usually do not: hub.cookieSecret is •••••• in staging, •••••• in prod (deployments/f/config/prod.yaml:1)` + "\n"},
		"its usual value, not its name": {with("f", "bucket: f-staging-home\nnote: the staging hub\n", "bucket: f-prod-home\nnote: the prod hub\n"), ""},
		"its name in a key":             {with("f", "hub: {services: {f-staging.example.org: {admin: true}}}\n", "hub: {services: {f.example.org: {admin: true}}}\n"), ""},
		"no staging": {append(hubs[:5:5], HubSettings{Hub: "f", First: "staging", Next: "prod", After: map[string]any{"a": 1}, Files: []ValuesFile{{"p.yaml", nil}}}),
			"warning p.yaml:0 f has a release in prod and none in staging: its changes reach users untested\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Parity(test.hubs)
			if lines(got) != test.want {
				t.Errorf("got:\n%swant:\n%s", lines(got), test.want)
			}
			if len(got) > 0 && fmt.Sprint(got[0].Releases) != "[f@prod]" {
				t.Errorf("releases %v", got[0].Releases)
			}
		})
	}
}

func TestParityListsNotTooMuch(t *testing.T) {
	var staging, prod strings.Builder
	for i := range 30 {
		fmt.Fprintf(&staging, "k%02d: 1\n", i)
		fmt.Fprintf(&prod, "k%02d: %s\n", i, strings.Repeat("x", 500))
	}
	got := Parity([]HubSettings{hub(t, "f", "", staging.String(), prod.String())})
	if len(got) != 1 || !strings.HasSuffix(got[0].Message, "; and 20 more") || len(got[0].Message) > 3000 || got[0].Severity != plan.Notice {
		t.Errorf("got %s", lines(got))
	}
}

// TestParityBefore has differences that the change found there.
func TestParityBefore(t *testing.T) {
	was := hub(t, "a", "", "x: {a: 1, b: 1}", "x: {a: 2, b: 1}")
	now := hub(t, "a", "", "x: {a: 1, b: 1}", "x: {a: 3, b: 2}")
	now.Was = &was
	got := Parity([]HubSettings{now})
	if len(got) != 1 || strings.Contains(got[0].Message, "x.a") || !strings.Contains(got[0].Message, "x.b") {
		t.Errorf("problems %+v", got)
	}
	same := was
	same.Was = &was
	if got := Parity([]HubSettings{same}); len(got) > 0 {
		t.Errorf("problems %+v", got)
	}
}
