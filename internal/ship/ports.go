// Package ship is the front of the workflows that bring releases to commits: it
// takes requests, and assembles the parts that do the work, each in a package
// below. It owns the interfaces of what they need; adapters implement them and
// internal/app wires the two.
package ship

import (
	"context"
	"io"
	"io/fs"

	"github.com/hubship/hubship/internal/model"
)

// Ports are the adapters that the engine works through.
type Ports struct {
	Repository Repository
	Clusters   Clusters
	Images     Images
	Releases   Releases
	Evidence   EvidenceStore
	Locks      ReleaseLock
	Verifier   Verifier
	History    History
	Previewer  Preview // may be nil: runs then do not say what changes

	// For checks of pull requests; nil where there are none.
	Assessor Assessor
	Sandbox  Sandbox
	Results  Results
}

// Repository is the deployment repository.
type Repository interface {
	// Resolve returns the full commit id that a revision names.
	Resolve(ctx context.Context, rev string) (string, error)
	// Head returns the commit of a branch, or "" if there is no such branch.
	Head(ctx context.Context, branch string) (string, error)
	// Subject returns the first line of the commit's message.
	Subject(ctx context.Context, commit string) (string, error)
	// IsAncestor says whether old is new or one of its ancestors. The error
	// is fs.ErrNotExist when the repository does not have one of them.
	IsAncestor(ctx context.Context, old, new string) (bool, error)
	// Log lists the commits that are in head but not in base, newest first, as
	// "abc1234 subject (author)".
	Log(ctx context.Context, base, head string) ([]string, error)
	// Now returns the process that is in force. The error says why there is
	// none; then nothing may be deployed.
	Now(ctx context.Context) (model.Process, error)
	// Fleet reads the content of the commit under the current process.
	Fleet(ctx context.Context, commit string) (*model.Fleet, error)
	// Desired returns the environment's releases as the commit describes
	// them, sorted by hub. It reads only Git trees.
	Desired(ctx context.Context, fleet *model.Fleet, env string) ([]model.Desired, error)
	// Changed names the shared files of the hub that differ between two
	// commits, for the wording of a refusal.
	Changed(ctx context.Context, base, head, hub string) ([]string, error)
	// Files names every file, symbolic link and submodule of the commit, with
	// what identifies its mode and content.
	Files(ctx context.Context, commit string) (map[string]string, error)
	// FS returns the tree of the commit, read-only. Symbolic links are not
	// followed out of it.
	FS(ctx context.Context, commit string) (fs.FS, error)
	// Checkout writes the files below a folder of the commit's tree to dir,
	// with their modes.
	Checkout(ctx context.Context, commit, path, dir string) error
}

// Clusters are those of the installation.
type Clusters interface {
	// Cluster returns the cluster of that name. The error is
	// model.ErrUnknownCluster when the installation has none.
	Cluster(ctx context.Context, name string) (model.Cluster, error)
}

// Images builds and finds images.
type Images interface {
	// Find returns the image in the registry that was built from the source
	// and the current digests of its base images, and that may be deployed: its
	// provenance is signed and says so. ok is false when it has to be built.
	Find(ctx context.Context, tree fs.FS, src model.Source) (built model.Built, ok bool, err error)
	// Exists says whether exactly this image is still in the registry, with a
	// provenance that allows its deployment. An error means that this is unknown.
	Exists(ctx context.Context, built model.Built) (bool, error)
	// Digest returns the digest of the manifest that a reference to an image
	// made elsewhere names now. The error is fs.ErrNotExist when its registry
	// answers that there is none, and model.ErrUnknown when it does not answer.
	Digest(ctx context.Context, ref string) (digest string, err error)
	// Build builds the source from a context folder on disk and pushes the
	// image, unless the registry already has it. An error that is
	// model.ErrSource is the source's fault. Progress and the build's output go
	// to log, one line at a time.
	Build(ctx context.Context, dir string, src model.Source, opts model.BuildOptions, log io.Writer) (model.Built, error)
}

// Releases are the Helm releases of all clusters.
type Releases interface {
	// Observe reads the release's newest record and readiness.
	Observe(ctx context.Context, cluster model.Cluster, target model.Target) (model.Observed, error)
	// Foreign finds the parts of the release that were made elsewhere: the
	// images that it runs or that users' servers may run, and the charts that it
	// depends on. Charts in u.Resolved are taken by their digests. The others
	// are resolved now; with only, they are an error that is model.ErrNotProven.
	// The error is model.ErrUnknown when a repository does not answer.
	Foreign(ctx context.Context, u model.Upgrade, only bool) (model.Foreign, error)
	// Upgrade installs or upgrades the release, waits until it is ready and
	// returns what runs then. It applies the release whatever Helm's records
	// say. A release left pending is recovered first. A failed upgrade is rolled
	// back before it returns; the error is then an *model.UpgradeError.
	Upgrade(ctx context.Context, cluster model.Cluster, u model.Upgrade) (model.Observed, error)
	// Rollback brings the release back to a revision and waits until it is
	// ready; revision 0 means the last good one before the newest.
	Rollback(ctx context.Context, cluster model.Cluster, target model.Target, revision int, run, reason string, log func(model.Level, string)) (model.Observed, error)
}

// EvidenceStore keeps evidence and halts of each release in the release's own
// cluster. An error from any method means that something could not be read or
// written, and says nothing about the release.
type EvidenceStore interface {
	// Evidence returns the valid evidence of the hub in the environment for
	// the shared inputs: signed, and not voided by a later halt; ok is false
	// when there is none.
	Evidence(ctx context.Context, cluster model.Cluster, target model.Target, shared string) (ev model.Evidence, ok bool, err error)
	// Latest returns the newest evidence for any inputs.
	Latest(ctx context.Context, cluster model.Cluster, target model.Target) (ev model.Evidence, ok bool, err error)
	// Records lists everything in the release's store, newest first, including
	// what is not trusted and why.
	Records(ctx context.Context, cluster model.Cluster, target model.Target) ([]model.EvidenceRecord, error)
	// Record signs and stores evidence and keeps the newest 20 records of a
	// release.
	Record(ctx context.Context, cluster model.Cluster, target model.Target, ev model.Evidence) error
	// Halt, Halted and Clear set, read and remove a release's halt. A halt
	// permanently voids the existing evidence for the inputs that failed.
	Halt(ctx context.Context, cluster model.Cluster, target model.Target, h model.Halt) error
	Halted(ctx context.Context, cluster model.Cluster, target model.Target) (h model.Halt, ok bool, err error)
	Clear(ctx context.Context, cluster model.Cluster, target model.Target) error
}

// ReleaseLock lets one run at a time change a release.
type ReleaseLock interface {
	// Lock takes the release's Lease and keeps it renewed until unlock. The
	// returned context ends when the Lease is lost. It waits while another
	// holder renews, and says so through waiting.
	Lock(ctx context.Context, cluster model.Cluster, target model.Target, holder string, waiting func(holder string)) (locked context.Context, unlock func(), err error)
}

// Verifier tests a live release as a user.
type Verifier interface {
	// Verify runs the checks against the release. A failed check is not an
	// error: it is in the Verification. An error means that verification could
	// not reach a verdict.
	Verify(ctx context.Context, cluster model.Cluster, req model.VerifyRequest) (model.Verification, error)
}

// Preview describes what a change does before a run does it.
type Preview interface {
	// Preview compares what releases run with what they should run: the lines
	// say what changes in the hubs' releases in the environment and what users
	// will notice, without any secret.
	Preview(ctx context.Context, q model.PreviewRequest) ([]string, error)
}

// History keeps runs and their logs for people to look at. Losing it
// compromises nothing.
type History interface {
	Put(ctx context.Context, run model.Run) error
	Get(ctx context.Context, id string) (model.Run, error) // fs.ErrNotExist when unknown
	// List returns the newest runs first; zero fields of the filter match all.
	List(ctx context.Context, f model.RunFilter) ([]model.Run, error)
	Append(ctx context.Context, run string, line model.Line) error // Seq is assigned
	// Lines returns lines with Seq greater than after, oldest first.
	Lines(ctx context.Context, run string, after int64, limit int) ([]model.Line, error)
}

// Assessor reads changes without running any of their code.
type Assessor interface {
	// Credentials searches what head adds to base for credentials. What it
	// returns contains none of them.
	Credentials(ctx context.Context, base, head string) ([]model.Remark, error)
	// Assess plans what merging head into base does, and saves the plan under
	// the run's id for the pages and for reports. Problems with the change are
	// in the Assessment; they are not an error.
	Assess(ctx context.Context, q model.AssessRequest) (model.Assessment, error)
}

// Sandbox runs the code of a change, in isolation and without credentials.
type Sandbox interface {
	// TestKey identifies the outcome of a test: equal keys mean equal
	// outcomes. files is a digest of the files that the test sees.
	TestKey(ctx context.Context, test model.Test, files string) (string, error)
	// Test runs a test on a folder. A test that fails is not an error.
	Test(ctx context.Context, dir string, test model.Test, log io.Writer) (model.TestResult, error)
	// Smoke tries out an image that users' servers run. An image that fails is
	// not an error.
	Smoke(ctx context.Context, built model.Built, q model.SmokeRequest, log io.Writer) (model.SmokeResult, error)
}

// Results remember which tests passed, by their keys. Losing them only costs
// time.
type Results interface {
	Passed(ctx context.Context, key string) (model.TestResult, bool, error)
	SetPassed(ctx context.Context, key string, r model.TestResult) error
}
