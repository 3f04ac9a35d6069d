package report

import (
	"fmt"

	"github.com/hubship/hubship/internal/plan"
)

// The plans that the golden files show. Impact and problems come from the
// judgement itself.

const base, head = "1f0c5a9e7b3d4c2a8e6f1f0c5a9e7b3d4c2a8e6f", "9d3b7f1a2c4e6d8b0a1c9d3b7f1a2c4e6d8b0a1c"

func release(hub, env string, kind plan.ChangeKind, reasons []plan.Reason, changes ...plan.Change) plan.Release {
	name := hub + "-" + env
	return plan.Release{Hub: hub, Environment: env, Cluster: "campus", Namespace: name, Release: name, Change: kind, Reasons: reasons, Values: []plan.Field{}, Changes: changes}
}

// finish judges the releases, and fills what a plan never leaves out.
func finish(p plan.Plan, around plan.Surroundings) plan.Plan {
	p.Version, p.Base, p.Head, p.Layout, p.Rendered, p.Fleet = plan.Version, base, head, "hubploy", true, fleet
	around.Rendered, around.Images = true, p.Images
	problems := p.Problems
	for i := range p.Releases {
		problems = append(problems, plan.Judge(&p.Releases[i], around)...)
	}
	p.Problems = plan.MergeProblems(problems)
	return p
}

func object(kind, name, component string, fields ...plan.Field) plan.Change {
	api := map[string]string{"Deployment": "apps/v1", "DaemonSet": "apps/v1"}[kind]
	if api == "" {
		api = "v1"
	}
	return plan.Change{Change: plan.Changed, APIVersion: api, Kind: kind, Name: name, Component: component, Template: "hub/templates/" + name + ".yaml", Fields: fields}
}

func became(c plan.Change, kind plan.ChangeKind) plan.Change { c.Change = kind; return c }

func field(path string, before, after any) plan.Field {
	return plan.Field{Path: path, Before: before, After: after}
}

var (
	checksum = plan.Field{Path: `spec.template.metadata.annotations["checksum/secret"]`, Digest: true}
	hubPod   = object("Deployment", "hub", "hub", checksum)
)

func hubSecret(paths ...string) plan.Change {
	c := object("Secret", "hub", "hub")
	for _, p := range paths {
		c.Fields = append(c.Fields, plan.Field{Path: `data["values.yaml"].` + p, Masked: true})
	}
	return c
}

var fleet = func() (keys []string) {
	for _, h := range fleetHubs {
		keys = append(keys, h+"@staging", h+"@prod")
	}
	return keys
}()

var fleetHubs = []string{"a11y", "astro", "biology", "cee", "data100", "data101", "data102", "data8", "datahub", "dev", "dlab", "edx", "eecs", "gradebook", "highschool", "ischool", "julia", "logodev", "nature", "physics", "prob140", "publichealth", "shiny", "stat159", "stat20", "ugr01", "workshop"}

// plans are all plans with a golden file, by its name.
func plans() map[string]plan.Plan {
	return map[string]plan.Plan{
		"image-tag": imageTag(), "chart-bump": chartBump(), "environment-values": environmentValues(), "destructive": destructive(),
		"docs-only": docsOnly(), "secrets": secrets(), "new-hub": newHub(), "removed-hub": removedHub(), "not-rendered": notRendered(), "hostile": hostile(),
	}
}

func imageTag() plan.Plan {
	reasons := []plan.Reason{{Path: "deployments/data8/image/environment.yml", Reason: "image context"}}
	p := plan.Plan{
		Images: []plan.Image{{ID: "data8", Name: "data8-user-image", Change: plan.Changed, Build: true, Before: "8d7f1c", After: "0b2e9a", Hubs: []string{"data8"}, Reasons: reasons, Bytes: 843_000_000}},
		Packages: []plan.Package{
			{Image: "data8", Ecosystem: "pip", Name: "datascience", Change: plan.Changed, Before: "datascience==0.17.5", After: "datascience==0.17.6", Pinned: true, File: "deployments/data8/image/environment.yml", Line: 21},
			{Image: "data8", Ecosystem: "conda", Name: "networkx", Change: plan.Added, After: "networkx", File: "deployments/data8/image/environment.yml", Line: 22},
		},
		Problems: []plan.Problem{{Severity: plan.Warning, Check: "packages", Message: "networkx names no version", Hint: "write networkx==VERSION", File: "deployments/data8/image/environment.yml", Line: 22, Releases: []string{"data8@prod", "data8@staging"}}},
	}
	users := 312
	for _, env := range []string{"staging", "prod"} {
		r := release("data8", env, plan.Changed, []plan.Reason{{Path: "deployments/data8/image/environment.yml", Reason: "image data8"}},
			hubPod, hubSecret("singleuser.image.tag"),
			object("DaemonSet", "continuous-image-puller", "continuous-image-puller", field("spec.template.spec.initContainers[image-pull-singleuser].image", "reg/data8:8d7f1c", "reg/data8:0b2e9a")))
		r.Values = []plan.Field{field("jupyterhub.singleuser.image.tag", "8d7f1c", "0b2e9a")}
		if env == "prod" {
			r.Impact.Active = &users
		}
		p.Releases = append(p.Releases, r)
	}
	return finish(p, plan.Surroundings{})
}

func chartBump() plan.Plan {
	p := plan.Plan{Unrelated: []string{"docs/howto.md"}}
	label := field("metadata.labels.chart", "jupyterhub-3.3.7", "jupyterhub-3.3.8")
	for _, hub := range fleetHubs {
		for _, env := range []string{"staging", "prod"} {
			changes := []plan.Change{
				object("Deployment", "hub", "hub", label, checksum, field("spec.template.spec.containers[hub].image", "example.org/k8s-hub:3.3.7", "example.org/k8s-hub:3.3.8")),
				object("Deployment", "proxy", "proxy", label, field("spec.template.spec.containers[chp].image", "example.org/configurable-http-proxy:4.6.1", "example.org/configurable-http-proxy:4.6.2")),
				object("Secret", "hub", "hub", label, plan.Field{Path: `data["values.yaml"].Chart.Version`, Masked: true}),
				object("ConfigMap", "hub", "hub", label, plan.Field{Path: `data["jupyterhub_config.py"]`, Lines: []string{" # Configure", "-c.A.b = 1", "+c.A.b = 2", " c.C.d = 3"}}),
			}
			for _, kind := range []string{"Service", "Role", "RoleBinding", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget"} {
				changes = append(changes, object(kind, "hub", "hub", label))
			}
			changes = append(changes, object("ClusterRole", hub+"-"+env+"-user-scheduler", "user-scheduler", field("rules[2].verbs[1]", nil, "watch")))
			if hub == "data100" && env == "prod" {
				changes = append(changes, object("Deployment", "autohttps", "autohttps", field("spec.template.spec.containers[traefik].image", "traefik:v2", "traefik:v3")))
			}
			r := release(hub, env, plan.Changed, []plan.Reason{{Path: "hub/requirements.yaml", Reason: "chart"}}, changes...)
			users := len(hub) * 11
			if env == "prod" {
				r.Impact.Active = &users
			}
			r.Placeholders = []string{fmt.Sprintf("deployments/%s/secrets/%s.yaml", hub, env)}
			p.Releases = append(p.Releases, r)
		}
	}
	return finish(p, plan.Surroundings{})
}

func environmentValues() plan.Plan {
	r := release("datahub", "prod", plan.Changed, []plan.Reason{{Path: "deployments/datahub/config/prod.yaml", Reason: "values of prod"}}, hubPod, hubSecret("singleuser.memory.limit", "singleuser.memory.guarantee"))
	r.Values = []plan.Field{field("jupyterhub.singleuser.memory.guarantee", "512M", "1G"), field("jupyterhub.singleuser.memory.limit", "1G", "2G")}
	return finish(plan.Plan{Releases: []plan.Release{r}, Problems: []plan.Problem{
		{Severity: plan.Notice, Check: "parity", Message: "jupyterhub.singleuser.memory.limit is 1G in staging and 2G in prod: what was tested is not what will run", File: "deployments/datahub/config/prod.yaml", Line: 14, Releases: []string{"datahub@prod"}},
	}}, plan.Surroundings{})
}

func destructive() plan.Plan {
	claim := became(object("PersistentVolumeClaim", "hub-db-dir", "hub"), plan.Removed)
	home := object("PersistentVolumeClaim", "home-nfs", "", field("spec.storageClassName", "nfs", "filestore"))
	volume := func(env string) plan.Change {
		return object("PersistentVolume", "stat20-"+env+"-home", "", field("spec.nfs.server", "192.0.2.1", "192.0.2.2"))
	}
	a := release("stat20", "staging", plan.Changed, []plan.Reason{{Path: "deployments/stat20/config/common.yaml", Reason: "values of every environment"}}, claim, home, volume("staging"))
	b := release("stat20", "prod", plan.Changed, a.Reasons, claim, home, volume("prod"))
	return finish(plan.Plan{Releases: []plan.Release{a, b}}, plan.Surroundings{Allowed: map[string]bool{"PersistentVolumeClaim/hub-db-dir": true}})
}

func docsOnly() plan.Plan {
	return finish(plan.Plan{Unrelated: []string{"README.md", "docs/admins/howto.rst", "docs/index.rst"}}, plan.Surroundings{})
}

func secrets() plan.Plan {
	r := release("edx", "prod", plan.Changed, []plan.Reason{{Path: "deployments/edx/secrets/prod.yaml", Reason: "secrets of prod"}}, hubPod, hubSecret("hub.config.JupyterHub.cookie_secret"))
	// A value that should never have come here must not be written either.
	r.Changes[1].Fields[0].Before, r.Changes[1].Fields[0].After = "hidden-before", "hidden-after"
	return finish(plan.Plan{Releases: []plan.Release{r}, Problems: []plan.Problem{
		{Severity: plan.Error, Check: "credential", Message: "a GitHub token stands in the clear (rule github-pat)", Hint: "revoke it, and put a new one into a SOPS file", File: "deployments/edx/config/prod.yaml", Line: 9, Releases: []string{"edx@prod"}},
		{Severity: plan.Warning, Check: "encryption", Message: "the file is not encrypted for every key of .sops.yaml", File: "deployments/edx/secrets/prod.yaml", Preexisting: true},
	}}, plan.Surroundings{})
}

func newHub() plan.Plan {
	p := plan.Plan{Hubs: []plan.HubChange{{Hub: "music", Change: plan.Added}, {Hub: "art", Change: plan.Renamed, From: "arts"}}}
	for _, env := range []string{"staging", "prod"} {
		p.Releases = append(p.Releases, release("music", env, plan.Added, []plan.Reason{{Path: "deployments/music/", Reason: "the hub"}},
			became(object("Deployment", "hub", "hub"), plan.Added), became(object("Deployment", "proxy", "proxy"), plan.Added), became(object("PersistentVolumeClaim", "hub-db-dir", "hub"), plan.Added)))
	}
	p.Submodules = []plan.Submodule{{Path: "vendor/theme", Before: "8c1d2e3f4a5b6c7d8e9f", After: "1a2b3c4d5e6f7a8b9c0d", Back: true, Commits: []string{"8c1d2e3 Use the new logo (Ada)", "7b0c1d2 Make links blue (Grace)"}}}
	return finish(p, plan.Surroundings{})
}

func removedHub() plan.Plan {
	p := plan.Plan{Hubs: []plan.HubChange{{Hub: "shiny", Change: plan.Removed}}, Images: []plan.Image{{ID: "shiny", Name: "shiny-user-image", Change: plan.Removed, Before: "8d7f1c", Hubs: []string{"shiny"}, Reasons: []plan.Reason{}}}}
	for _, env := range []string{"staging", "prod"} {
		p.Releases = append(p.Releases, release("shiny", env, plan.Removed, []plan.Reason{{Path: "deployments/shiny/", Reason: "the hub"}},
			became(object("PersistentVolumeClaim", "hub-db-dir", "hub"), plan.Removed)))
	}
	return finish(p, plan.Surroundings{})
}

func notRendered() plan.Plan {
	p := imageTag()
	p.Rendered, p.Problems = false, nil
	for i := range p.Releases {
		r := &p.Releases[i]
		r.Changes = nil
		plan.Judge(r, plan.Surroundings{Images: p.Images})
	}
	return p
}

// hostile holds what tries to be more than text.
func hostile() plan.Plan {
	const evil = "\x1b[31m<script>alert(1)</script> ``` | **b** [l](javascript:alert(1)) @everyone #1 </details>\u202e ~~~"
	r := release("evil", "prod", plan.Changed, []plan.Reason{{Path: evil, Reason: evil}}, object("ConfigMap", evil, evil, field("data."+evil, evil, evil+"2"), plan.Field{Path: "data.lines", Lines: []string{"+````", "-" + evil, " " + evil}}))
	r.Values = []plan.Field{field(evil, evil, nil)}
	return finish(plan.Plan{
		Releases: []plan.Release{r}, Hubs: []plan.HubChange{{Hub: evil, Change: plan.Added}}, Unrelated: []string{evil},
		Images:     []plan.Image{{ID: evil, Name: evil, Change: plan.Changed, Before: evil, After: evil, Hubs: []string{"evil"}, Reasons: []plan.Reason{{Path: evil, Reason: evil}}}},
		Packages:   []plan.Package{{Image: evil, Ecosystem: "pip", Name: evil, Change: plan.Added, After: evil, File: evil, Line: 1}},
		Submodules: []plan.Submodule{{Path: evil, Before: evil, After: evil, Commits: []string{evil}, Note: evil}},
		Problems:   []plan.Problem{{Severity: plan.Error, Check: evil, Message: evil + "\n" + evil, Hint: evil, File: evil, Line: 1}},
	}, plan.Surroundings{})
}
