package model

import "time"

// Desired is a release as the deployment repository wants it at one commit,
// known from Git trees alone.
type Desired struct {
	Target  Target   `json:"target"`
	Commit  string   `json:"commit"`
	Chart   string   `json:"chart"`   // path of the chart
	Values  []string `json:"values"`  // values files, in order of precedence, lowest first
	Secrets []string `json:"secrets"` // SOPS files, applied after Values
	Images  []Source `json:"images"`  // sorted by ID
	Pinned  []Pinned `json:"pinned,omitempty"`
	// Invalid says why this release cannot be deployed; empty when it can.
	Invalid string `json:"invalid,omitempty"`
	// Shared is the hash over everything that the release has in common with
	// the same hub in the other environments: chart, shared values and secrets,
	// image sources. Evidence is about these.
	Shared string `json:"shared"`
	// Own is the hash over what belongs to this environment alone: its
	// values and encrypted secrets.
	Own string `json:"own"`
}

// Source is an image by what it is built from, known from Git alone.
type Source struct {
	Image
	Hash string `json:"hash"` // over the Git tree of the context, the build file's blob and the builder's version
}

// Built is an image in a registry.
type Built struct {
	ID     string `json:"id"`
	Source string `json:"source"` // Source.Hash that it was built from
	Key    string `json:"key"`    // Source.Hash and the digests of the base images
	Name   string `json:"name"`   // registry and repository: "127.0.0.1:17420/datahub/user"
	Tag    string `json:"tag"`    // derived from Key
	Digest string `json:"digest"` // of the manifest: "sha256:…"
	Size   int64  `json:"size"`   // bytes, compressed layers and configuration
	// Rebuilt says that this run built it; false means it was found.
	Rebuilt bool `json:"rebuilt"`
}

// Ref is the image's name and tag.
func (b Built) Ref() string { return b.Name + ":" + b.Tag }

// HelmStatus is Helm's status of a release's newest revision.
type HelmStatus string

// The statuses that Helm records, and Absent for a release that was never
// installed.
const (
	Absent          HelmStatus = "absent"
	Deployed        HelmStatus = "deployed"
	Failed          HelmStatus = "failed"
	PendingInstall  HelmStatus = "pending-install"
	PendingUpgrade  HelmStatus = "pending-upgrade"
	PendingRollback HelmStatus = "pending-rollback"
	Uninstalled     HelmStatus = "uninstalled"
)

// Pending says that an operation was started and not finished.
func (s HelmStatus) Pending() bool {
	return s == PendingInstall || s == PendingUpgrade || s == PendingRollback
}

// Observed is a release as it runs.
type Observed struct {
	Target   Target     `json:"target"`
	Status   HelmStatus `json:"status"`
	Revision int        `json:"revision"`         // Helm's, of the newest record; 0 when absent
	Inputs   string     `json:"inputs,omitempty"` // digest of the inputs that the newest record carries
	Commit   string     `json:"commit,omitempty"` // commit that the newest record carries
	Chart    string     `json:"chart,omitempty"`  // name-version
	Updated  time.Time  `json:"updated,omitzero"`
	// Good is the newest revision that was deployed and not rolled away
	// from; 0 when there is none.
	Good int `json:"good"`
	// Ready says that what the release runs answers; Waiting names what does
	// not, one line an object.
	Ready   bool     `json:"ready"`
	Waiting []string `json:"waiting,omitempty"`
}

// Evidence is the record that a hub with given shared inputs passed
// verification in an environment. It is kept in that environment's cluster, in
// hubship's own namespace, signed. Its encoding is part of what is signed: a
// field that is added is left out when it is empty, and none is renamed.
type Evidence struct {
	Hub         string  `json:"hub"`
	Environment string  `json:"environment"`
	Commit      string  `json:"commit"`
	Shared      string  `json:"shared"`
	Inputs      string  `json:"inputs"` // digest of all inputs of the release that was verified
	Images      []Built `json:"images"` // what ran; later environments run these very bytes
	// Resolved are images and charts made elsewhere, as they were resolved when
	// the release was deployed; later environments run these, too.
	Resolved Resolved `json:"resolved,omitzero"`
	Run      string   `json:"run"`
	// Process is the commit of the process branch that the run was judged by.
	Process string `json:"process,omitempty"`
	// Cluster is the identity of the cluster: the UID of its kube-system
	// namespace.
	Cluster  string       `json:"cluster,omitempty"`
	Verified Verification `json:"verified"`
}

// Resolved is what names of things made elsewhere stood for when a release was
// deployed.
type Resolved struct {
	Images []ResolvedImage `json:"images,omitempty"` // sorted by Ref
	Charts []ResolvedChart `json:"charts,omitempty"` // sorted by Name
}

// Digest is what a reference to an image stands for, or "" when it is not known.
func (r Resolved) Digest(ref string) string {
	for _, i := range r.Images {
		if i.Ref == ref {
			return i.Digest
		}
	}
	return ""
}

// ResolvedImage is an image that the values name, whoever built it.
type ResolvedImage struct {
	Ref    string `json:"ref"`    // as the values name it: "quay.io/jupyterhub/k8s-hub:4.4.0"
	Digest string `json:"digest"` // of its manifest or index: "sha256:…"
}

// ResolvedChart is a chart dependency that comes from a chart repository.
type ResolvedChart struct {
	Name       string `json:"name"`
	Version    string `json:"version"`    // exact
	Repository string `json:"repository"` // URL
	Digest     string `json:"digest"`     // of the archive: "sha256:…"
}

// Halt holds a hub back in an environment after a failure, until a newer
// change passes or a person clears it.
type Halt struct {
	Hub         string `json:"hub"`
	Environment string `json:"environment"`
	Reason      string `json:"reason"`
	Commit      string `json:"commit"` // that failed
	Inputs      string `json:"inputs"` // that failed; the same inputs are not tried again by themselves
	// Shared are the shared inputs that failed: earlier evidence of them does
	// not count any more, also when the halt is over.
	Shared string    `json:"shared,omitempty"`
	Run    string    `json:"run"`
	Since  time.Time `json:"since"`
}

// Verification is the outcome of testing a live release as a user.
type Verification struct {
	Passed   bool      `json:"passed"`
	Reason   string    `json:"reason,omitempty"` // why it failed, one line
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Checks   []Check   `json:"checks"`
}

// Check is one step of a verification.
type Check struct {
	Name     string        `json:"name"` // "hub answers", "server starts", "kernel starts", "import emoji"
	Passed   bool          `json:"passed"`
	Skipped  bool          `json:"skipped,omitempty"`
	Detail   string        `json:"detail,omitempty"` // version found, or why it failed
	Duration time.Duration `json:"duration"`         // nanoseconds
	Log      string        `json:"log,omitempty"`    // last lines of whatever explains a failure
}
