package model

import (
	"errors"
	"io/fs"
)

// Upgrade says what a release is to become.
type Upgrade struct {
	Desired Desired
	Images  []Built
	// Resolved is what names of things made elsewhere stand for. What is not
	// among them is not fetched.
	Resolved Resolved
	// Proven says that the release may run no images but these, since an
	// environment comes before that has to have run them.
	Proven bool
	// Passed is the commit that passed here last; empty when none has. What the
	// commits since then allow to be destroyed may be.
	Passed string
	Tree   fs.FS // of Desired.Commit
	Inputs string
	Run    string
	Log    func(level Level, text string) // what it waits for, as it changes
}

// Foreign is what a release is made of that was made elsewhere.
type Foreign struct {
	Images []ForeignImage  // sorted by Ref, each once
	Charts []ResolvedChart // sorted by Name
}

// ForeignImage is an image that the values of a release name, and that this
// repository does not build.
type ForeignImage struct {
	Ref  string // as the values name it, perhaps with a digest
	At   string // where in the values: "jupyterhub.singleuser.image"
	File string // values file that says so; empty when the chart itself does
	Line int    // 0 when it is not known
}

// Errors of what releases are made of, and where they go.
var (
	// ErrUnknown says that nobody answered: nothing is known of what was asked
	// for, and nobody is at fault.
	ErrUnknown = errors.New("unknown, because nobody answered")
	// ErrNotProven says that something is not among what was proven.
	ErrNotProven = errors.New("never proved in the previous environment")
	// ErrSource is what errors of building an image are when the image's own files
	// are at fault: asking again would not help.
	ErrSource = errors.New("the image cannot be built from these files")
	// ErrUnknownCluster says that the installation has no cluster of a name.
	ErrUnknownCluster = errors.New("this installation knows no cluster of that name")
)

// UpgradeError is an upgrade that failed.
type UpgradeError struct {
	Err          error  // what was not ready or refused, one line
	Log          string // events and last log lines of the objects concerned
	RolledBackTo int    // revision that runs again; 0 when there was none
	RollbackErr  error  // why the rollback failed, if it did
}

func (e *UpgradeError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UpgradeError) Unwrap() error { return e.Err }

// VerifyRequest says what to test.
type VerifyRequest struct {
	Target   Target
	Settings VerifySettings
	Packages []Package // to import
	Run      string
	Check    func(Check) // called as each check ends; may be nil
}
