package plan

import "github.com/hubship/hubship/internal/model"

// Version is the version of the plan's JSON. It changes when a field goes or
// changes its meaning; a new field leaves it as it is.
const Version = 1

// Plan is what a change does: the images that are built, the releases that
// change and how, what users feel, and what is wrong with it. Its JSON is a
// contract, described in docs/plan.md.
type Plan struct {
	Version int    `json:"version"`
	Base    string `json:"base"` // full commit id; empty when everything is new
	Head    string `json:"head"` // full commit id
	// Merged is the tree that merging head into base makes, when that is what
	// was planned rather than head as it is.
	Merged string `json:"merged,omitempty"`
	// Process is what the change proposes for the process, and for the
	// repository's own tests; absent when it proposes nothing.
	Process  *model.Proposal `json:"process,omitempty"`
	Layout   string          `json:"layout"`   // "hubship" or "hubploy": how the repository describes itself
	Rendered bool            `json:"rendered"` // false: changes are left out everywhere
	// Fleet are all releases that the head describes, changed or not: "data8@prod".
	Fleet      []string    `json:"fleet"`
	Hubs       []HubChange `json:"hubs"` // added, removed and renamed hubs
	Images     []Image     `json:"images"`
	Releases   []Release   `json:"releases"` // in the order of hubs, then environments
	Packages   []Package   `json:"packages"`
	Submodules []Submodule `json:"submodules"`
	Problems   []Problem   `json:"problems"`  // errors first
	Unrelated  []string    `json:"unrelated"` // changed paths that no image and no release is made of
}

// HubChange is a hub that came, went or has another name.
type HubChange struct {
	Hub    string     `json:"hub"`
	Change ChangeKind `json:"change"`
	From   string     `json:"from,omitempty"` // its name before, of a renamed hub
}

// ChangeKind says what happens to something.
type ChangeKind string

// What happens to something.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
	Renamed ChangeKind = "renamed"
)

// Reason is a path that differs, and what it is to the thing that changes.
type Reason struct {
	Path   string `json:"path"`
	Reason string `json:"reason"` // "chart", "values of every environment", "values of prod", "secrets of prod", "image context", …
}

// Image is an image that the change builds, or a reference to an image made
// elsewhere that changes.
type Image struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"` // repository, without registry where it is the installation's
	Change  ChangeKind `json:"change"`
	Build   bool       `json:"build"`            // built from the repository; false: only the reference changes
	Before  string     `json:"before,omitempty"` // reference, or identity of the inputs
	After   string     `json:"after,omitempty"`
	Hubs    []string   `json:"hubs"` // hubs whose servers or services run it
	Reasons []Reason   `json:"reasons"`
	// Bytes is what nodes have to pull: compressed layers of the new image
	// that the old one does not have. 0 when that is not known.
	Bytes int64 `json:"bytes,omitempty"`
}

// Release is a release that changes.
type Release struct {
	Hub         string     `json:"hub"`
	Environment string     `json:"environment"`
	Cluster     string     `json:"cluster,omitempty"`
	Namespace   string     `json:"namespace"`
	Release     string     `json:"release"`
	Change      ChangeKind `json:"change"`
	Reasons     []Reason   `json:"reasons"`
	// Values are the settings that differ, as they stand in the clear in
	// chart and values files, each where it has effect.
	Values []Field `json:"values"`
	// Changes are the objects that differ. Left out of a plan that was not
	// rendered, and where Unrendered says why.
	Changes []Change `json:"changes,omitempty"`
	Impact  Impact   `json:"impact"`
	// Placeholders are encrypted files: a plan holds no key, so made-up values
	// stand in for theirs, on both sides alike.
	Placeholders []string `json:"placeholders,omitempty"`
	// Unrendered says why this release could not be rendered.
	Unrendered string `json:"unrendered,omitempty"`
}

// Key identifies the release within the fleet: "datahub@staging".
func (r Release) Key() string { return r.Hub + "@" + r.Environment }

// Change is one object that differs.
type Change struct {
	Change     ChangeKind `json:"change"`
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Namespace  string     `json:"namespace,omitempty"` // as written; empty: the release's, or none
	Name       string     `json:"name"`
	Component  string     `json:"component,omitempty"` // the label of that name: "hub", "proxy", …
	Hook       bool       `json:"hook,omitempty"`      // a Helm hook: run on each upgrade, not kept
	Template   string     `json:"template,omitempty"`  // the chart's file that it comes from
	Fields     []Field    `json:"fields,omitempty"`    // of a changed object
}

// Object names it for people: "Deployment hub".
func (c Change) Object() string {
	if c.Namespace != "" {
		return c.Kind + " " + c.Namespace + "/" + c.Name
	}
	return c.Kind + " " + c.Name
}

// Field is one field that differs.
type Field struct {
	// Path is dotted: "spec.template.spec.containers[hub].image". Items of a
	// list that have names are told apart by them, others by their place. A
	// document within a text, as in a ConfigMap, is entered:
	// `data["values.yaml"].singleuser.memory.limit`.
	Path   string `json:"path"`
	Before any    `json:"before,omitempty"` // absent: it was not there
	After  any    `json:"after,omitempty"`  // absent: it is gone
	// Masked says that it is secret: neither value is told.
	Masked bool `json:"masked,omitempty"`
	// Sealed says that it is the value of an encrypted file, which was
	// compared without a key.
	Sealed bool `json:"sealed,omitempty"`
	// Digest says that it only repeats that something else changes: a
	// checksum. Neither value is told.
	Digest bool `json:"digest,omitempty"`
	// Lines are the differing lines of texts that have many, each after "+",
	// "-" or " "; Before and After are then left out.
	Lines []string `json:"lines,omitempty"`
}

// Level says how much users feel.
type Level string

// The levels, from the least to the most.
const (
	NoImpact    Level = "none"        // nothing that is running changes
	Background  Level = "background"  // something users do not meet
	NextStart   Level = "next-start"  // users' servers, when they start next
	HubRestart  Level = "hub"         // logins wait, running servers stay
	ProxyDown   Level = "proxy"       // every open connection drops
	Destructive Level = "destructive" // something is deleted that does not come back
	Unknown     Level = "unknown"     // not rendered
)

// Impact is what users feel of a release's change.
type Impact struct {
	Level   Level    `json:"level"`   // of the worst effect
	Summary string   `json:"summary"` // one line
	Effects []Effect `json:"effects"` // the worst first
	// Active is how many users are active now; nil when the hub was not
	// asked.
	Active *int `json:"active,omitempty"`
}

// Effect is one thing that users feel, and why.
type Effect struct {
	Level  Level  `json:"level"`
	What   string `json:"what"`             // "the hub restarts: logins wait, running servers stay"
	Why    string `json:"why"`              // "Deployment hub: spec.template.spec.containers[hub].image"
	Object string `json:"object,omitempty"` // "PersistentVolumeClaim hub-db-dir"
	// Allowed says that the commit's message names what is destroyed
	// (Allow-Destroy: KIND/NAME).
	Allowed bool `json:"allowed,omitempty"`
}

// Submodule is a submodule that moves.
type Submodule struct {
	Path    string   `json:"path"`
	Before  string   `json:"before,omitempty"` // commit
	After   string   `json:"after,omitempty"`
	Commits []string `json:"commits,omitempty"` // that it moves over, newest first: "abc1234 subject (author)"
	Back    bool     `json:"back,omitempty"`    // it moves to an ancestor
	Note    string   `json:"note,omitempty"`    // why the commits are not known
}

// Severity says how bad a problem is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // must not be deployed
	Warning Severity = "warning" // a person should look
	Notice  Severity = "notice"  // good to know
)

// Problem is something wrong with what the head describes.
type Problem struct {
	Severity    Severity `json:"severity"`
	Check       string   `json:"check"` // "yaml", "schema", "manifest", "image", "credential", "encryption", "parity", "chart", "packages", "destroy", …
	Message     string   `json:"message"`
	Hint        string   `json:"hint,omitempty"`
	File        string   `json:"file,omitempty"`
	Line        int      `json:"line,omitempty"`        // from 1; 0 when it is about the file as a whole
	Object      string   `json:"object,omitempty"`      // "Deployment hub"
	Releases    []string `json:"releases,omitempty"`    // "data8@staging", sorted; empty when it is about the repository
	Preexisting bool     `json:"preexisting,omitempty"` // the base has it too
}

// Package is a package that an image's files add, remove or change.
type Package struct {
	Image     string     `json:"image"`     // ID
	Ecosystem string     `json:"ecosystem"` // "pip", "conda", "apt", "r"
	Name      string     `json:"name"`
	Change    ChangeKind `json:"change"`
	Before    string     `json:"before,omitempty"` // specification, as written
	After     string     `json:"after,omitempty"`
	Pinned    bool       `json:"pinned"` // the new specification names one version
	File      string     `json:"file"`
	Line      int        `json:"line"`
}
