package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Errors of repositories elsewhere, which callers tell apart with errors.Is.
var (
	// ErrUnreachable says that the other side did not answer, or let nobody
	// in: later it may.
	ErrUnreachable = errors.New("the other repository cannot be reached")
	// ErrRejected says that the other side does not take what was pushed.
	ErrRejected = errors.New("the push was rejected")
)

// Remote is a repository elsewhere.
type Remote struct {
	URL string // of HTTP or HTTPS, without credentials
	// Env are variables of the environment that let git in, so that neither an
	// argument nor a file has the credentials; nil for none.
	Env []string
}

// settings are those of every process that speaks to another repository.
func (m Remote) settings() ([]string, error) {
	u, err := url.Parse(m.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		// It is not shown: somebody may have put a password into it.
		return nil, errors.New("the URL of the other repository must be HTTP(S) without credentials")
	}
	args := []string{
		// No helper that a URL could name is ever started.
		"-c", "protocol.allow=never", "-c", "protocol.http.allow=always", "-c", "protocol.https.allow=always",
		// A redirect would carry the credentials elsewhere.
		"-c", "http.followRedirects=false",
		// Who is silent for a minute has gone.
		"-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60",
		"-c", "fetch.fsckObjects=true",
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		args = append(args, "-c", "http.proxy=") // a proxy would look on its own machine
	}
	return args, nil
}

// Fetch makes the branches and tags here those of another repository, also those
// that were rewritten there or are gone, and brings further references, given by
// their full names, under the same names. Nobody else may write to the references
// of this repository meanwhile. The error is ErrUnreachable when the other side
// does not answer, and ErrNotFound when it lacks a reference.
func (r *Repo) Fetch(ctx context.Context, from Remote, refs ...string) error {
	args, err := from.settings()
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	args = append(args, "fetch", "--quiet", "--no-tags", "--prune", "--no-write-fetch-head", "--no-recurse-submodules",
		"--no-auto-maintenance", "--refmap=", "--end-of-options", from.URL, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
	for _, ref := range refs {
		if err := CheckRefName(ref); err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		args = append(args, "+"+ref+":"+ref)
	}
	select {
	case r.fetch <- struct{}{}:
		defer func() { <-r.fetch }()
	case <-ctx.Done():
		return fmt.Errorf("fetch from %s: %w", from.URL, context.Cause(ctx))
	}
	_, err = r.exec(ctx, command{args: args, env: from.Env})
	var failed *exitError
	if errors.As(err, &failed) && strings.Contains(failed.stderr, ".lock': File exists") {
		// A git that was killed left it: without help no fetch would ever end well.
		if err := r.dropLocks(); err != nil {
			return fmt.Errorf("fetch from %s: %w", from.URL, err)
		}
		_, err = r.exec(ctx, command{args: args, env: from.Env})
	}
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &failed):
		return fmt.Errorf("fetch from %s: %w", from.URL, err)
	case strings.Contains(failed.stderr, "couldn't find remote ref"):
		return fmt.Errorf("fetch from %s: %w: %w", from.URL, ErrNotFound, err)
	default:
		return unreachable("fetch from", from, err)
	}
}

// dropLocks removes the locks of references.
func (r *Repo) dropLocks() error {
	locks := []string{filepath.Join(r.dir, "packed-refs.lock")}
	err := filepath.WalkDir(filepath.Join(r.dir, "refs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".lock") {
			locks = append(locks, path)
		}
		return err
	})
	for _, lock := range locks {
		if gone := os.Remove(lock); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

func unreachable(what string, m Remote, err error) error {
	return model.WithHint(fmt.Errorf("%s %s: %w: %w", what, m.URL, ErrUnreachable, err), "check the network, and that the credentials are still valid")
}

// Push moves a branch of another repository to a commit of this one if it is
// at the commit expected there, or at this one already; an empty expected makes
// the branch. The error is ErrMoved otherwise, ErrRejected with the reason when
// the other side does not take it, and ErrUnreachable when it does not answer.
func (r *Repo) Push(ctx context.Context, to Remote, branch, commit, expected string) error {
	args, err := to.settings()
	if err == nil {
		err = CheckBranchName(branch)
	}
	if err == nil && (!isObjectID(commit) || expected != "" && !isObjectID(expected)) {
		err = fmt.Errorf("%q or %q is not a commit id", commit, expected)
	}
	if err != nil {
		return fmt.Errorf("push branch %s: %w", branch, err)
	}
	ref := "refs/heads/" + branch
	args = append(args, "push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no",
		"--force-with-lease="+ref+":"+expected, "--end-of-options", to.URL, commit+":"+ref)
	_, err = r.exec(ctx, command{args: args, env: to.Env})
	var failed *exitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &failed):
		return fmt.Errorf("push branch %s to %s: %w", branch, to.URL, err)
	}
	reason, rejected := rejection(string(failed.stdout))
	switch {
	case !rejected:
		return unreachable("push branch "+branch+" to", to, err)
	case strings.Contains(reason, "stale info"):
		return fmt.Errorf("push branch %s to %s: %w", branch, to.URL, ErrMoved)
	default:
		return fmt.Errorf("push branch %s to %s: %w: %s", branch, to.URL, ErrRejected, reason)
	}
}

// rejection finds why a reference was not moved in what push --porcelain says:
// "!", what was pushed where, and the reason.
func rejection(out string) (reason string, found bool) {
	for line := range strings.Lines(out) {
		if f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3); f[0] == "!" && len(f) == 3 {
			return f[2], true
		}
	}
	return "", false
}

// RevertCommit writes a commit on top of onto that takes back what changed
// between two other commits, before and after, and returns it. No reference
// moves. It is ErrNothingToMerge if nothing of the change is left, and a
// *ConflictError if later changes are in the way.
func (r *Repo) RevertCommit(ctx context.Context, onto, before, after, message string, author Identity) (string, error) {
	wrap := func(err error) error {
		return fmt.Errorf("revert %s on top of %s: %w", short(after), short(onto), err)
	}
	trees := map[string]string{}
	for _, id := range []string{onto, before, after} {
		if !isObjectID(id) {
			return "", wrap(fmt.Errorf("%q is not a commit id", id))
		}
		tree, err := r.root(ctx, id)
		if err != nil {
			return "", wrap(err)
		}
		trees[id] = tree
	}
	// A merge of what is with what was, whose common ancestor is the change.
	// Of two commits made for it alone, since git before 2.40 takes no other
	// ancestor than the one that the commits have.
	var sides [2]string
	for i, id := range []string{onto, before} {
		var err error
		if sides[i], err = r.commitTree(ctx, trees[id], []string{after}, "Side of a revert", author); err != nil {
			return "", wrap(err)
		}
	}
	tree, err := r.mergeTree(ctx, short(onto), sides[0], "what was before "+short(after), sides[1])
	var conflict *ConflictError
	if errors.As(err, &conflict) {
		return "", model.WithHint(wrap(conflict), "revert it in a clone, resolve the conflicts and open a pull request")
	}
	if err != nil {
		return "", wrap(err)
	}
	if tree == trees[onto] {
		return "", model.WithHint(wrap(ErrNothingToMerge), "nothing of the change is left on the branch")
	}
	return r.commitTree(ctx, tree, []string{onto}, message, author)
}
