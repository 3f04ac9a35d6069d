// Package forgetest is the suite that every forge.Forge passes, against a real
// forge.
package forgetest

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/hubship/hubship/internal/forge"
)

// Setup is a repository at a forge, made for one test, with a branch staging
// that has a commit and a branch prod at the same one. None is protected.
type Setup struct {
	// Maintainer may write to the repository, merge and protect branches.
	Maintainer forge.Participant
	// Elsewhere is the same account at the same repository, through another
	// connection, for what happens at once.
	Elsewhere forge.Participant
	// Contributor is another account at the same repository, that may only
	// read it and propose changes.
	Contributor forge.Participant
	// Reviewer is another account at the same repository, that may write to it
	// and merge, and neither protect branches nor set webhooks.
	Reviewer forge.Participant
	// Fork is Contributor's own fork of it, where they push.
	Fork forge.Participant
	// Hook sets up a webhook of the repository that tells everything to a URL,
	// signed with a secret.
	Hook func(t *testing.T, url, secret string)
	// Read reads a delivery that is signed with a secret.
	Read func(r *http.Request, secret string) (forge.Event, error)
	// Lacks names the capabilities that the forge does not have although its
	// adapter does: Checks, Protections, Deployments, Labels, Forks.
	Lacks []string
}

// Names of capabilities.
const (
	Checks      = "checks"
	Protections = "protections"
	Deployments = "deployments"
	Labels      = "labels"
	Forks       = "forks"
)

// Run runs the suite. Each test has a setup of its own.
func Run(t *testing.T, open func(t *testing.T) Setup) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"accounts and branches", testAccounts},
		{"permissions", testPermissions},
		{"from fork to merge", testForkToMerge},
		{"promotion", testPromotion},
		{"merge by squash and rebase", testMethods},
		{"merge of what was not seen", testHeadMoved},
		{"merges at once", testMergesAtOnce},
		{"merge conflict", testMergeConflict},
		{"draft", testDraft},
		{"nothing to merge", testNothing},
		{"title, text and state", testUpdate},
		{"lists of pull requests", testLists},
		{"500 files", testManyFiles},
		{"kinds of changes", testKindsOfChanges},
		{"reviews", testReviews},
		{"requests for review", testRequests},
		{"comments", testComments},
		{"statuses", testStatuses},
		{"what is not there", testNotThere},
		{"what is not allowed", testNotAllowed},
		{"head branch deleted", testHeadDeleted},
		{"base branch deleted", testBaseDeleted},
		{"poll", testPoll},
		{"webhook", testWebhook},
		{"checks", testChecks},
		{"protection", testProtection},
		{"required statuses", testRequiredStatuses},
		{"deployments", testDeployments},
		{"labels", testLabels},
		{"forks", testForks},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newWorld(t, open(t))) })
	}
}

// capability returns a forge's capability; the test ends when it is not there.
func capability[C any](t *testing.T, w *world, f forge.Participant, name string) C {
	t.Helper()
	if slices.Contains(w.Lacks, name) {
		t.Skipf("this forge has no %s", name)
	}
	c, ok := f.(C)
	if !ok {
		t.Skipf("this adapter has no %s", name)
	}
	return c
}

// ok ends the test at an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants checks that an error is one of some kinds.
func wants(t *testing.T, err error, kinds ...error) {
	t.Helper()
	if !slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) }) {
		t.Errorf("got %v, expected one of %v", err, kinds)
	}
}

// same checks a value.
func same[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, expected %v", what, got, want)
	}
}
