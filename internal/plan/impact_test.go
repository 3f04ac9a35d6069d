package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func object(kind, name, component string, fields ...Field) Change {
	api := map[string]string{"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Ingress": "networking.k8s.io/v1", "NetworkPolicy": "networking.k8s.io/v1", "Job": "batch/v1"}[kind]
	if api == "" {
		api = "v1"
	}
	return Change{Change: Changed, APIVersion: api, Kind: kind, Name: name, Component: component, Fields: fields}
}

func at(path string) Field { return Field{Path: path, Before: "a", After: "b"} }

func masked(path string) Field { return Field{Path: path, Masked: true} }

func digest(path string) Field { return Field{Path: path, Digest: true} }

func with(c Change, kind ChangeKind) Change { c.Change = kind; return c }

func hooked(c Change) Change { c.Hook = true; return c }

var (
	hubRestart = object("Deployment", "hub", "hub", digest(`spec.template.metadata.annotations["checksum/secret"]`))
	label      = at("metadata.labels.chart")
)

func TestJudge(t *testing.T) {
	claim := object("PersistentVolumeClaim", "hub-db-dir", "hub")
	for name, tt := range map[string]struct {
		changes  []Change
		around   Surroundings
		kind     ChangeKind
		level    Level
		summary  string
		effects  []string // parts of "what — why", in their order
		problems []string // parts of "severity check: message (hint)"
	}{
		"nothing": {nil, Surroundings{}, Changed, NoImpact, "nothing changes in the cluster", nil, nil},
		"labels alone": {
			[]Change{object("Deployment", "hub", "hub", label), object("Service", "hub", "hub", label), object("Role", "hub", "hub", label)},
			Surroundings{}, Changed, NoImpact, "nothing that is running changes", nil, nil,
		},
		"memory of user servers": {
			[]Change{hubRestart, object("Secret", "hub", "hub", masked(`data["values.yaml"].Chart.Version`), masked(`data["values.yaml"].singleuser.memory.limit`))},
			Surroundings{}, Changed, HubRestart, "the hub restarts (logins wait, running servers stay); user servers get the new settings at their next start",
			[]string{
				`the hub restarts: logins wait, running servers stay — Deployment hub reads Secret hub: data["values.yaml"].singleuser.memory.limit`,
				"user servers get the new settings at their next start; running ones keep the old — Secret hub: singleuser.memory.limit",
			}, nil,
		},
		"a user image": {
			[]Change{hubRestart, object("Secret", "hub", "hub", masked(`data["values.yaml"].singleuser.image.tag`)), object("DaemonSet", "continuous-image-puller", "continuous-image-puller", at("spec.template.spec.initContainers[image-pull-singleuser].image"))},
			Surroundings{Images: []Image{{ID: "data8", Name: "data8", Change: Changed, Hubs: []string{"data8"}, Bytes: 1_234_000_000, Reasons: []Reason{{Path: "image/Dockerfile"}}}}},
			Changed, HubRestart, "the hub restarts (logins wait, running servers stay); a new user image at each user's next start",
			[]string{"the hub restarts", "a new user image at each user's next start (each node pulls 1.2 GB once) — Secret hub: singleuser.image.tag", "DaemonSet continuous-image-puller restarts"}, nil,
		},
		"settings without a restart": {
			[]Change{object("Secret", "hub", "hub", masked(`data["values.yaml"].cull.timeout`))},
			Surroundings{}, Changed, Background, "the hub picks up the new settings at its next restart",
			[]string{"the hub is not restarted: it picks up the new settings only at its next restart"}, nil,
		},
		"the proxy": {
			[]Change{object("Deployment", "proxy", "proxy", at("spec.template.spec.containers[chp].image"), at("spec.template.spec.containers[chp].args[1]"))},
			Surroundings{}, Changed, ProxyDown, "the proxy restarts (every open connection drops)",
			[]string{"the proxy restarts: every open connection drops, servers keep running, notebooks reconnect — Deployment proxy: spec.template.spec.containers[chp].image and 1 more"}, nil,
		},
		"the HTTPS proxy, known by its name": {
			[]Change{object("Deployment", "data8-autohttps", "", at("spec.template.spec.containers[traefik].image"))},
			Surroundings{}, Changed, ProxyDown, "the HTTPS proxy restarts (every open connection drops)", []string{"the HTTPS proxy restarts"}, nil,
		},
		"what users do not meet": {
			[]Change{object("Deployment", "user-scheduler", "user-scheduler", at("spec.template.spec.containers[kube-scheduler].image")), object("Role", "hub", "hub", at("rules[0].verbs[1]"))},
			Surroundings{}, Changed, Background, "nothing that users notice",
			[]string{"Deployment user-scheduler restarts", "permissions change at once: Role hub — Role hub: rules[0].verbs[1]"}, nil,
		},
		"replicas do not restart": {
			[]Change{object("Deployment", "user-placeholder", "user-placeholder", at("spec.replicas"))},
			Surroundings{}, Changed, Background, "nothing that users notice", []string{"Deployment user-placeholder changes without a restart"}, nil,
		},
		"a hub switched off": {
			[]Change{object("Deployment", "hub", "hub", Field{Path: "spec.replicas", Before: 1.0, After: 0.0})},
			Surroundings{}, Changed, HubRestart, "the hub is turned off (nobody can log in)", []string{"the hub is turned off", "changes without a restart"}, nil,
		},
		"a database of another chart": {
			[]Change{object("StatefulSet", "postgres", "", at("spec.template.spec.containers[db].image"))},
			Surroundings{}, Changed, HubRestart, "StatefulSet postgres restarts", []string{"StatefulSet postgres restarts: what uses it waits meanwhile"}, nil,
		},
		"a claim that goes": {
			[]Change{with(claim, Removed)}, Surroundings{}, Changed, Destructive, "PersistentVolumeClaim hub-db-dir is deleted with the data stored in it",
			[]string{"PersistentVolumeClaim hub-db-dir is deleted with the data stored in it — the head no longer has it"},
			[]string{`error destroy: PersistentVolumeClaim hub-db-dir is deleted with the data stored in it: the head no longer has it (undo this part of the change or, if it is intended, add the line "Allow-Destroy: PersistentVolumeClaim/hub-db-dir" to the commit's message)`},
		},
		"a claim that may go": {
			[]Change{with(claim, Removed)}, Surroundings{Allowed: map[string]bool{"PersistentVolumeClaim/hub-db-dir": true}}, Changed, Destructive, "PersistentVolumeClaim hub-db-dir is deleted with the data stored in it",
			[]string{"allowed: PersistentVolumeClaim hub-db-dir"}, []string{"warning destroy"},
		},
		"a claim that is kept": {
			[]Change{{Change: Removed, Kind: "PersistentVolumeClaim", Name: "p", Fields: []Field{{Path: `metadata.annotations["helm.sh/resource-policy"]`, Before: "keep"}}}},
			Surroundings{}, Changed, Background, "nothing that users notice", []string{"PersistentVolumeClaim p leaves the release and stays in the cluster"}, nil,
		},
		"a claim of another class": {
			[]Change{object("PersistentVolumeClaim", "p", "", at("spec.storageClassName"))}, Surroundings{}, Changed, Destructive, "PersistentVolumeClaim p must be replaced, and the data stored in it is lost",
			[]string{"spec.storageClassName of a claim cannot be changed in place"}, []string{"error destroy"},
		},
		"a claim that grows": {
			[]Change{object("PersistentVolumeClaim", "p", "", Field{Path: "spec.resources.requests.storage", Before: "900Mi", After: "1Gi"})}, Surroundings{}, Changed, Background, "a volume grows",
			[]string{"PersistentVolumeClaim p grows from 900Mi to 1Gi"}, nil,
		},
		"a claim that shrinks": {
			[]Change{object("PersistentVolumeClaim", "p", "", Field{Path: "spec.resources.requests.storage", Before: "10Gi", After: "9Gi"})}, Surroundings{}, Changed, Destructive, "PersistentVolumeClaim p must be replaced",
			[]string{"a claim cannot shrink: from 10Gi to 9Gi"}, []string{"error destroy"},
		},
		"a namespace and a definition that go": {
			[]Change{with(object("Namespace", "n", ""), Removed), with(object("CustomResourceDefinition", "d", ""), Removed)}, Surroundings{}, Changed, Destructive,
			"CustomResourceDefinition d is deleted with every object of that kind; Namespace n is deleted with everything in it", []string{"CustomResourceDefinition d", "Namespace n"}, []string{"error destroy: Custom", "error destroy: Namespace"},
		},
		"another namespace": {
			nil, Surroundings{NamespaceBefore: "old"}, Changed, Destructive, "the hub moves from namespace old to data8-prod without its volumes", []string{"the hub moves"}, []string{"Allow-Destroy: Namespace/old"},
		},
		"a selector": {
			[]Change{object("Deployment", "proxy", "proxy", at("spec.selector.matchLabels.app"), at("spec.template.metadata.labels.app"))}, Surroundings{}, Changed, ProxyDown,
			"the proxy restarts (every open connection drops); the upgrade fails",
			[]string{"the proxy restarts", "the upgrade fails: spec.selector of a Deployment cannot be changed in place"}, []string{"error immutable: Deployment proxy: spec.selector"},
		},
		"a volume somewhere else": {
			[]Change{object("PersistentVolume", "home", "", at("spec.nfs.server"), at("spec.mountOptions[0]"))}, Surroundings{}, Changed, Background, "the upgrade fails",
			[]string{"spec.nfs.server of a PersistentVolume cannot be changed in place"}, []string{"error immutable: PersistentVolume home: spec.nfs.server"},
		},
		"an address": {
			[]Change{object("Ingress", "jupyterhub", "", Field{Path: "spec.rules[new.example.org]", After: "x"}, Field{Path: "spec.rules[old.example.org]", Before: "x"}, at("spec.tls[0].hosts[0]"))},
			Surroundings{}, Changed, ProxyDown, "the address changes", []string{"the address changes from old.example.org to new.example.org"}, nil,
		},
		"the service of the proxy": {
			[]Change{object("Service", "proxy-public", "proxy-public", Field{Path: "spec.type", Before: "ClusterIP", After: "LoadBalancer"})},
			Surroundings{}, Changed, ProxyDown, "the route to the proxy changes (open connections may drop)", []string{"Service proxy-public: spec.type"}, nil,
		},
		"network rules of servers": {
			[]Change{object("NetworkPolicy", "singleuser", "singleuser", at("spec.egress[0].to[0].ipBlock.cidr"))},
			Surroundings{}, Changed, NextStart, "what servers may reach changes at once", []string{"for running ones too"}, nil,
		},
		"pulling images first": {
			[]Change{hooked(object("DaemonSet", "hook-image-puller", "image-puller", at("spec.template.spec.initContainers[a].image"))), hooked(object("Job", "hook-image-awaiter", "image-puller", at("spec.template.spec.containers[a].image"))), hooked(object("ServiceAccount", "x", "image-puller", label))},
			Surroundings{}, Changed, Background, "the upgrade waits until nodes have pulled the images",
			[]string{"the upgrade waits until nodes have pulled the images — DaemonSet hook-image-puller: spec.template.spec.initContainers[a].image; Job hook-image-awaiter"}, nil,
		},
		"a hook's labels alone": {
			[]Change{hooked(object("Job", "hook-image-awaiter", "image-puller", label))}, Surroundings{}, Changed, NoImpact, "nothing that is running changes", nil, nil,
		},
		"a new hub": {
			[]Change{with(object("Deployment", "hub", "hub"), Added), with(claim, Added)}, Surroundings{}, Added, NoImpact, "a new hub, which nobody uses yet", []string{"a new hub is installed"}, nil,
		},
		"a hub that goes": {
			[]Change{with(claim, Removed), with(object("Deployment", "hub", "hub"), Removed)}, Surroundings{}, Removed, Destructive, "the hub is removed from the repository; hubship does not delete what is running",
			[]string{"hubship no longer upgrades it, and does not delete what is running", "uninstalling it by hand would delete PersistentVolumeClaim hub-db-dir"}, []string{"warning removed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := Release{Hub: "data8", Environment: "prod", Namespace: "data8-prod", Release: "data8-prod", Change: tt.kind, Changes: tt.changes, Reasons: []Reason{{Path: "image/Dockerfile"}}}
			tt.around.Rendered = true
			problems := Judge(&r, tt.around)
			if r.Impact.Level != tt.level {
				t.Errorf("level %s, want %s", r.Impact.Level, tt.level)
			}
			if !strings.HasPrefix(r.Impact.Summary, tt.summary) {
				t.Errorf("summary %q, want %q", r.Impact.Summary, tt.summary)
			}
			var effects, said []string
			for _, e := range r.Impact.Effects {
				text := e.What + " — " + e.Why
				if e.Allowed {
					text = "allowed: " + text
				}
				effects = append(effects, text)
			}
			for _, p := range problems {
				said = append(said, fmt.Sprintf("%s %s: %s (%s)", p.Severity, p.Check, p.Message, p.Hint))
				if !slices.Equal(p.Releases, []string{"data8@prod"}) {
					t.Errorf("releases of the problem: %q", p.Releases)
				}
			}
			match(t, "effects", effects, tt.effects)
			match(t, "problems", said, tt.problems)
		})
	}
}

func match(t *testing.T, what string, got, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		ok = strings.Contains(got[i], want[i])
	}
	if !ok {
		t.Errorf("%s\n  got  %q\n  want %q", what, got, want)
	}
}

func TestJudgeUnrendered(t *testing.T) {
	users := 42
	r := Release{Hub: "data8", Environment: "prod", Change: Changed, Unrendered: "chart jupyterhub 3.3.8 is not here", Impact: Impact{Active: &users}}
	if problems := Judge(&r, Surroundings{Rendered: true, Images: []Image{{Name: "data8", Change: Changed, Hubs: []string{"data8"}}}}); len(problems) != 0 {
		t.Errorf("problems: %v", problems)
	}
	if r.Impact.Level != Unknown || !strings.Contains(r.Impact.Effects[0].Why, "jupyterhub 3.3.8") || len(r.Impact.Effects) != 2 {
		t.Errorf("got %+v", r.Impact)
	}
	if r.Impact.Active == nil || *r.Impact.Active != 42 {
		t.Error("the number of active users is lost")
	}
}

// TestJudgeImages tells images of users' servers from those that the chart
// brings along, where objects show what becomes of them.
func TestJudgeImages(t *testing.T) {
	chart := []Reason{{"hub/Chart.yaml", "chart"}}
	own := []Reason{{"deployments/art/hubploy.yaml", HubSettingsRole}}
	around := Surroundings{Rendered: true, Images: []Image{
		{ID: "puller:2", Name: "puller", After: "puller:2", Hubs: []string{"art"}, Reasons: chart},
		{ID: "art:2", Name: "art", After: "art:2", Hubs: []string{"art"}, Reasons: own},
	}}
	for name, tt := range map[string]struct {
		changes  []Change
		rendered bool
		want     []string
	}{
		"rendered":          {[]Change{hubRestart}, true, []string{"art"}},
		"nothing changes":   {nil, true, nil},
		"it was told":       {[]Change{hubRestart, object("Secret", "hub", "hub", masked(`data["values.yaml"].singleuser.image.tag`))}, true, nil},
		"without rendering": {nil, false, []string{"art", "puller"}},
	} {
		t.Run(name, func(t *testing.T) {
			around.Rendered = tt.rendered
			r := Release{Hub: "art", Environment: "prod", Change: Changed, Changes: tt.changes, Reasons: slices.Concat(chart, own)}
			Judge(&r, around)
			var got []string
			for _, e := range r.Impact.Effects {
				if image, ok := strings.CutPrefix(e.What, "a new image "); ok {
					got = append(got, strings.Split(image, ";")[0])
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("images %q, want %q: %+v", got, tt.want, r.Impact.Effects)
			}
		})
	}
}

func TestMergeProblems(t *testing.T) {
	got := MergeProblems([]Problem{
		{Severity: Notice, Check: "parity", Message: "m", Releases: []string{"b@prod"}},
		{Severity: Error, Check: "yaml", Message: "m", Releases: []string{"b@prod"}},
		{Severity: Error, Check: "yaml", Message: "m", Releases: []string{"a@prod", "b@prod"}},
	})
	if len(got) != 2 || got[0].Severity != Error || !slices.Equal(got[0].Releases, []string{"a@prod", "b@prod"}) {
		t.Errorf("got %+v", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 9_960: "10 kB", 1_234_000_000: "1.2 GB", 999_700: "1.0 MB", 45_600_000: "46 MB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
