// Package model holds the words of hubship as types: what a deployment
// repository describes, what a run does and what it found. It imports the
// standard library only, so that every other package can share it.
package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fleet is the content of a deployment repository at one commit, under a
// process: environments, review, revert and verification are the process's,
// whatever the commit says about them.
type Fleet struct {
	Commit string // full commit id that the content was read from
	// Process is the commit of the process branch that the process was read
	// from. Empty in a proposal: then the process is what the commit itself
	// says, and nothing may be deployed by it.
	Process string
	Layout  string  // how the repository describes itself: LayoutHubship or LayoutHubploy
	Hubs    []Hub   // sorted by name
	Images  []Image // one per image and hub, or one per image that hubs share; sorted by ID
	Chart   string  // path of the chart of hubs that name no other, from the root of the repository
	Tests   []Test  // the repository's own, run on pull requests

	Environments []Environment // in promotion order
	Verify       VerifySettings
	Review       ReviewSettings // what a pull request needs
	Revert       string         // what happens to a change that fails in the first environment: RevertPropose or RevertAuto
	// Places are the clusters of hubs, by the hub's name, where the layout has
	// each hub say so; they go before an environment's cluster.
	Places map[string]string
}

// What happens to a change that fails.
const (
	RevertPropose = "propose" // a pull request takes it back, and a person merges that
	RevertAuto    = "auto"    // the pull request is merged by itself once its checks have passed
)

// ReviewSettings say what a pull request needs besides green checks.
type ReviewSettings struct {
	Approvals int `json:"approvals"` // by others than its author, 0 to 6; 0 is for a team of one
}

// The layouts of deployment repositories.
const (
	LayoutHubship = "hubship" // a hubship.yaml at the root
	LayoutHubploy = "hubploy" // deployments/*/hubploy.yaml
)

// Hub is one JupyterHub as its users know it.
type Hub struct {
	Name string `json:"name"` // a DNS label
	Path string `json:"path"` // its folder, from the root of the repository
	// Place says in words where the hub lives, when the hub says so itself
	// rather than its environments; empty otherwise.
	Place string `json:"place,omitempty"`
	// Environments are those that the hub has a release in; nil means all.
	Environments []string `json:"environments,omitempty"`
	// Chart is the folder of its chart, from the root of the repository; empty
	// means the fleet's.
	Chart string `json:"chart,omitempty"`
	// Pinned are references to images made elsewhere that are put into the
	// values, in order, over all files.
	Pinned []Pinned `json:"pinned,omitempty"`
	// Invalid says what is wrong with this hub alone, one line; empty when
	// nothing is. Its releases cannot be deployed.
	Invalid string `json:"invalid,omitempty"`
	// InvalidIn says the same of its release in one environment, by the
	// environment's name.
	InvalidIn map[string]string `json:"invalidIn,omitempty"`
}

// Problem says what is wrong with the hub's release in the environment, one line;
// empty when nothing is. The release cannot be deployed.
func (h Hub) Problem(env string) string { return cmp.Or(h.Invalid, h.InvalidIn[env]) }

// In says whether the hub has a release in the environment.
func (h Hub) In(env string) bool {
	return h.Environments == nil || slices.Contains(h.Environments, env)
}

// Pinned is a reference to an image made elsewhere.
type Pinned struct {
	Name   string `json:"name"`          // registry and repository
	Tag    string `json:"tag,omitempty"` // empty: only the name is set
	Values string `json:"values"`        // dotted path in the values that receives it
}

// Ref is the image's name and tag.
func (p Pinned) Ref() string {
	if p.Tag == "" {
		return p.Name
	}
	return p.Name + ":" + p.Tag
}

// Environment is one stage that changes pass through.
type Environment struct {
	Name      string `json:"name"`
	Branch    string `json:"branch"`          // the branch that drives it
	Cluster   string `json:"cluster"`         // pattern with {hub}: name of a Cluster of the installation; empty where Places has it
	Namespace string `json:"namespace"`       // pattern with {hub} and {env}
	Release   string `json:"release"`         // pattern with {hub} and {env}
	Host      string `json:"host"`            // pattern with {hub} and {env}: the name under which hubship's HTTP port serves the hub
	After     string `json:"after,omitempty"` // environment whose evidence a deploy here requires; empty means none
	Push      bool   `json:"push,omitempty"`  // the branch may be pushed to directly, without a pull request
}

// Cluster is a Kubernetes cluster of the installation, always named: no current
// context is ever consulted (incident I1). How it is reached is the
// installation's to say, never the repository's.
type Cluster struct {
	Name       string `json:"name"`
	Embedded   bool   `json:"embedded,omitempty"`   // the node that `hubship up` runs
	Kubeconfig string `json:"kubeconfig,omitempty"` // path of a kubeconfig file
	Context    string `json:"context,omitempty"`    // context within it
}

// Image is something built from the repository.
type Image struct {
	ID   string `json:"id"`            // "user" for a shared image, "datahub/user" for one of a hub
	Name string `json:"name"`          // its key in hubship.yaml: "user"
	Hub  string `json:"hub,omitempty"` // the hub that owns it; empty when hubs share it
	// Hubs are the hubs that share it; nil means all, unless Hub names one.
	Hubs []string `json:"hubs,omitempty"`
	// Manual says that no release takes it from a build: its tag is written
	// into the values by hand.
	Manual     bool   `json:"manual,omitempty"`
	Repository string `json:"repository"` // path below the registry: "datahub/user"
	Context    string `json:"context"`    // build context, from the root of the repository
	Dockerfile string `json:"dockerfile"` // build file, from the root of the repository; empty: the context is for repo2docker
	Values     string `json:"values"`     // dotted path in the values that receives {name, tag}
}

// VerifySettings say how a live release is tested.
type VerifySettings struct {
	Service string `json:"service"` // JupyterHub service whose token verification uses
	User    string `json:"user"`    // dedicated user, created and removed by each verification
}

// Environment returns the environment of that name.
func (f *Fleet) Environment(name string) (Environment, bool) {
	for _, e := range f.Environments {
		if e.Name == name {
			return e, true
		}
	}
	return Environment{}, false
}

// EnvironmentOfBranch returns the environment that the branch drives.
func (f *Fleet) EnvironmentOfBranch(branch string) (Environment, bool) {
	for _, e := range f.Environments {
		if e.Branch == branch {
			return e, true
		}
	}
	return Environment{}, false
}

// Next returns the environments that require evidence from env.
func (f *Fleet) Next(env string) []Environment {
	var out []Environment
	for _, e := range f.Environments {
		if e.After == env {
			out = append(out, e)
		}
	}
	return out
}

// Hub returns the hub of that name.
func (f *Fleet) Hub(name string) (Hub, bool) {
	for _, h := range f.Hubs {
		if h.Name == name {
			return h, true
		}
	}
	return Hub{}, false
}

// ChartOf returns the folder of the hub's chart.
func (f *Fleet) ChartOf(h Hub) string {
	if h.Chart != "" {
		return h.Chart
	}
	return f.Chart
}

// Charts returns the folders of all charts that hubs use: that of the fleet
// first, the others sorted.
func (f *Fleet) Charts() []string {
	var others []string
	for _, h := range f.Hubs {
		if h.Chart != "" && h.Chart != f.Chart {
			others = append(others, h.Chart)
		}
	}
	slices.Sort(others)
	return append([]string{f.Chart}, slices.Compact(others)...)
}

// ImagesOf returns the images that releases of the hub use.
func (f *Fleet) ImagesOf(hub string) []Image {
	var out []Image
	for _, i := range f.Images {
		if i.UsedBy(hub) {
			out = append(out, i)
		}
	}
	return out
}

// UsedBy says whether releases of the hub take the image.
func (i Image) UsedBy(hub string) bool {
	switch {
	case i.Manual:
		return false
	case i.Hub != "":
		return i.Hub == hub
	}
	return i.Hubs == nil || slices.Contains(i.Hubs, hub)
}

// ForUsers says that users' servers run the image.
func (i Image) ForUsers() bool { return strings.HasSuffix(i.Values, "singleuser.image") }

// Expand fills {hub} and {env} into a pattern of hubship.yaml.
func Expand(pattern, hub, env string) string {
	return strings.NewReplacer("{hub}", hub, "{env}", env).Replace(pattern)
}

// Target names one release and where it lives. Everything that writes to a
// cluster prints it before it acts.
type Target struct {
	Hub         string `json:"hub"`
	Environment string `json:"environment"`
	Cluster     string `json:"cluster"`
	Namespace   string `json:"namespace"`
	Release     string `json:"release"`
	Host        string `json:"host"`
}

// String is "hub datahub in staging (cluster local, namespace datahub-staging, release datahub-staging)".
func (t Target) String() string {
	return fmt.Sprintf("hub %s in %s (cluster %s, namespace %s, release %s)", t.Hub, t.Environment, t.Cluster, t.Namespace, t.Release)
}

// Key identifies the release within the fleet: "datahub@staging".
func (t Target) Key() string { return t.Hub + "@" + t.Environment }

// Target returns where the hub lives in the environment.
func (f *Fleet) Target(hub, env string) (Target, error) {
	e, ok := f.Environment(env)
	if !ok {
		return Target{}, fmt.Errorf("environment %q is not in the deployment repository at %.12s", env, f.Commit)
	}
	if _, ok := f.Hub(hub); !ok {
		return Target{}, fmt.Errorf("hub %q is not in the deployment repository at %.12s", hub, f.Commit)
	}
	return Target{
		Hub: hub, Environment: env, Cluster: clusterOf(e, f.Places, hub),
		Namespace: Expand(e.Namespace, hub, env),
		Release:   Expand(e.Release, hub, env),
		Host:      Expand(e.Host, hub, env),
	}, nil
}
