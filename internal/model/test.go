package model

import (
	"context"
	"time"
)

// DefaultTestTimeout bounds a Test that names no timeout.
const DefaultTestTimeout = 10 * time.Minute

// Test is one of the repository's own tests (`checks` in hubship.yaml), run on
// pull requests in a sandbox.
type Test struct {
	Name    string        `json:"name"`
	Image   string        `json:"image"`             // reference of the image that it runs in
	Command []string      `json:"command"`           // with its arguments; a text in hubship.yaml is run by sh -c
	Paths   []string      `json:"paths,omitempty"`   // patterns of the files that it sees; empty: all
	Timeout time.Duration `json:"timeout,omitempty"` // 0 means DefaultTestTimeout
}

// TestResult is how a Test went.
type TestResult struct {
	Name    string        `json:"name"`
	Key     string        `json:"key"` // identifies what it ran on: the same key, the same outcome
	Passed  bool          `json:"passed"`
	Skipped string        `json:"skipped,omitempty"` // why it did not run: the change does not touch any of its files
	Cached  bool          `json:"cached,omitempty"`  // it passed on the same content before
	Reason  string        `json:"reason,omitempty"`  // why it failed, one line
	Took    time.Duration `json:"took"`              // nanoseconds
	Log     string        `json:"log,omitempty"`     // last lines, when it failed
}

// SmokeRequest says what to try in an image.
type SmokeRequest struct {
	Packages []Package `json:"packages"` // to import
}

// Package is a distribution that is to be imported.
type Package struct {
	Name string `json:"name"`           // of the distribution: "scikit-learn"
	Spec string `json:"spec,omitempty"` // as its list names it: "==1.5.2"
}

// SmokeResult is how an image fared.
type SmokeResult struct {
	Passed bool    `json:"passed"`
	Reason string  `json:"reason,omitempty"` // why not, one line
	Checks []Check `json:"checks"`
}

// BuildOptions say how an image is built.
type BuildOptions struct {
	// Untrusted is a build of what comes from a fork, whoever proposes it. It
	// shares nothing with other builds that one could poison.
	Untrusted bool `json:"untrusted,omitempty"`
	// Origin is what the image is built for; its provenance says so.
	Origin Origin `json:"origin,omitzero"`
	// Merged says whether a commit is part of what is to be deployed. A build
	// of that may take over what a check of a pull request built, if the pull
	// request was merged with the very commit that was checked. nil: never.
	Merged func(ctx context.Context, commit string) (bool, error) `json:"-"`
}

// Origin is the run and the commit that an image is built for.
type Origin struct {
	Run     string `json:"run"`
	Commit  string `json:"commit"` // that is built
	Process string `json:"process,omitempty"`
	// Approved says that the commit is on the branch of an environment. Only
	// what is built for such a commit is ever deployed.
	Approved bool `json:"approved,omitempty"`
	// Into is the environment that it is to be deployed to, or the branch that
	// the pull request is to be merged into.
	Into string `json:"into"`
	Pull int    `json:"pull,omitempty"` // number of the pull request that is checked; 0 for none
	Head string `json:"head,omitempty"` // of that pull request
}

// UnapprovedRepository is the folder of the installation's registry that
// images of changes go to that were not merged. No release may name one.
const UnapprovedRepository = "hubship-unapproved"
