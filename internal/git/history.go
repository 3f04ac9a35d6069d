package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// Commit is one commit as people want to read it.
type Commit struct {
	ID      string
	Parents []string
	Author  Identity
	Time    time.Time // of the commit, not of its authorship
	Subject string    // first line of the message
}

// String is "abc1234 subject (author)".
func (c Commit) String() string {
	return fmt.Sprintf("%.7s %s (%s)", c.ID, c.Subject, c.Author.Name)
}

// Resolve returns the full id of the commit that a revision names: a branch, a
// tag, a commit id in full or abbreviated, or one of these with ~N or ^N. A
// branch wins over a tag of the same name. The error is ErrNotFound when there
// is none.
func (r *Repo) Resolve(ctx context.Context, rev string) (string, error) {
	if err := checkRev(rev); err != nil {
		return "", err
	}
	if isObjectID(rev) {
		// No process of its own: the one that reads objects knows.
		switch kind, _, err := r.objects.info(rev); {
		case err == nil && kind == "commit":
			return rev, nil
		case errors.Is(err, ErrNotFound):
			return "", r.unknown(rev)
		}
	}
	candidates := []string{rev}
	base := rev
	if i := strings.IndexAny(rev, "~^"); i > 0 {
		base = rev[:i]
	}
	if !isObjectID(base) && refProblem(base) == "" {
		candidates = []string{"refs/heads/" + rev, rev}
	}
	for _, name := range candidates {
		out, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
		switch exitCode(err) {
		case 1, 128:
			continue // 128: an abbreviation that names something else, or nothing
		}
		if err != nil {
			return "", fmt.Errorf("resolve %q: %w", rev, err)
		}
		if id := string(bytes.TrimSpace(out)); isObjectID(id) {
			// A full id is echoed without a look whether it exists.
			return r.existing(id, rev)
		}
	}
	if err := r.ambiguous(ctx, base); err != nil {
		return "", err
	}
	return "", r.unknown(rev)
}

var abbreviated = regexp.MustCompile(`^[0-9a-f]{4,39}$`)

// ambiguous is the error of an abbreviation that several commits begin with, or
// nil.
func (r *Repo) ambiguous(ctx context.Context, rev string) error {
	if !abbreviated.MatchString(rev) {
		return nil
	}
	out, err := r.git(ctx, "rev-parse", "--disambiguate="+rev)
	if err != nil {
		return nil // it is not known, then
	}
	var commits []string
	for _, id := range strings.Fields(string(out)) {
		if kind, _, err := r.objects.info(id); err == nil && kind == "commit" {
			commits = append(commits, short(id))
		}
	}
	if len(commits) < 2 {
		return nil
	}
	if n := len(commits) - maxAmbiguous; n > 0 {
		commits = append(commits[:maxAmbiguous], fmt.Sprintf("%d more", n))
	}
	return model.WithHint(fmt.Errorf("revision %q is ambiguous: %w: it may be %s", rev, ErrNotFound, strings.Join(commits, ", ")), "use more digits of the commit id")
}

// maxAmbiguous is how many of the commits are named that an abbreviation may
// stand for.
const maxAmbiguous = 5

func (r *Repo) existing(id, rev string) (string, error) {
	kind, _, err := r.objects.info(id)
	if err != nil {
		return "", fmt.Errorf("resolve %q: %w", rev, err)
	}
	if kind != "commit" {
		return "", fmt.Errorf("resolve %q: it is a %s, not a commit: %w", rev, kind, ErrNotFound)
	}
	return id, nil
}

func (r *Repo) unknown(rev string) error {
	if r.Shallow() {
		return model.WithHint(fmt.Errorf("revision %q: %w", rev, ErrNotFound), "the clone is shallow: get the rest of its history with `git fetch --unshallow`")
	}
	if branches, err := r.Branches(context.Background()); err == nil && len(branches) == 0 && rev == "HEAD" {
		return model.WithHint(fmt.Errorf("revision %q: the repository has no commits yet: %w", rev, ErrNotFound), "commit something first")
	}
	return model.WithHint(fmt.Errorf("revision %q: %w", rev, ErrNotFound), "use a branch, tag or commit that was pushed to the deployment repository")
}

// Head returns the commit of a branch, or "" if there is no such branch.
func (r *Repo) Head(ctx context.Context, branch string) (string, error) {
	if err := CheckBranchName(branch); err != nil {
		return "", err
	}
	if r.isClosed() {
		return "", ErrClosed
	}
	ref := "refs/heads/" + branch
	// Most branches are a file, which git itself would read without any lock.
	// Whatever is not just a commit's id is git's to understand.
	if data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(ref))); err == nil {
		if id := strings.TrimSuffix(string(data), "\n"); isObjectID(id) {
			return id, nil
		}
	}
	out, err := r.git(ctx, "for-each-ref", "--format=%(objectname) %(refname)", "--", ref)
	if err != nil {
		return "", fmt.Errorf("read branch %s: %w", branch, err)
	}
	for line := range strings.Lines(string(out)) {
		// The pattern also matches branches below it: refs/heads/a/b for a.
		if id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && name == ref {
			return id, nil
		}
	}
	return "", nil
}

// Branches returns the commit of each branch by its name.
func (r *Repo) Branches(ctx context.Context) (map[string]string, error) {
	out, err := r.git(ctx, "for-each-ref", "--format=%(objectname) %(refname)", "--", "refs/heads/")
	if err != nil {
		return nil, fmt.Errorf("list branches: %w", err)
	}
	branches := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " refs/heads/"); ok {
			branches[name] = id
		}
	}
	return branches, nil
}

// Subject returns the first line of the commit's message.
func (r *Repo) Subject(ctx context.Context, commit string) (string, error) {
	commits, err := r.Log(ctx, "", commit, 1)
	if err != nil {
		return "", err
	}
	return commits[0].Subject, nil
}

// IsAncestor says whether old is new or one of its ancestors.
func (r *Repo) IsAncestor(ctx context.Context, old, new string) (bool, error) {
	for _, rev := range []string{old, new} {
		if err := checkRev(rev); err != nil {
			return false, err
		}
	}
	_, err := r.git(ctx, "merge-base", "--is-ancestor", "--end-of-options", old, new)
	switch exitCode(err) {
	case 1:
		return false, nil
	case 128:
		return false, fmt.Errorf("compare commits %s and %s: %w: %w", short(old), short(new), ErrNotFound, err)
	}
	if err != nil {
		return false, fmt.Errorf("compare commits %s and %s: %w", short(old), short(new), err)
	}
	return true, nil
}

// logFormat separates fields with NUL: none of them can contain one.
const logFormat = "--format=%H%x00%P%x00%an%x00%ae%x00%ct%x00%s"

// Log returns the commits that head has and base has not, newest first; an
// empty base means all of them. A limit of 0 means no limit.
func (r *Repo) Log(ctx context.Context, base, head string, limit int) ([]Commit, error) {
	if err := checkRev(head); err != nil {
		return nil, err
	}
	args := []string{"log", "-z", logFormat, "--no-show-signature", "--encoding=UTF-8"}
	if limit > 0 {
		args = append(args, "--max-count="+strconv.Itoa(limit))
	}
	args = append(args, "--end-of-options", head)
	if base != "" {
		if err := checkRev(base); err != nil {
			return nil, err
		}
		args = append(args, "^"+base)
	}
	out, err := r.git(ctx, append(args, "--")...)
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", short(head), notFound(err))
	}
	return parseLog(out)
}

func parseLog(out []byte) ([]Commit, error) {
	const perCommit = 6
	fields := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(out) == 0 {
		return nil, nil
	}
	if len(fields)%perCommit != 0 {
		return nil, fmt.Errorf("git log answered %d fields, expected a multiple of %d", len(fields), perCommit)
	}
	commits := make([]Commit, 0, len(fields)/perCommit)
	for f := fields; len(f) > 0; f = f[perCommit:] {
		seconds, err := strconv.ParseInt(f[4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("git log answered the time %q of commit %s: %w", f[4], short(f[0]), err)
		}
		commits = append(commits, Commit{
			ID: f[0], Parents: strings.Fields(f[1]),
			Author: Identity{Name: f[2], Email: f[3]},
			Time:   time.Unix(seconds, 0).UTC(), Subject: f[5],
		})
	}
	return commits, nil
}

// ChangedPaths returns the paths of files that differ between two commits,
// sorted; a renamed file counts with both names. An empty base stands for an
// empty tree.
func (r *Repo) ChangedPaths(ctx context.Context, base, head string) ([]string, error) {
	for _, rev := range []string{base, head} {
		if rev == "" && rev != head {
			continue
		}
		if err := checkRev(rev); err != nil {
			return nil, err
		}
	}
	args := []string{"diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--end-of-options", base, head, "--"}
	if base == "" {
		args = []string{"ls-tree", "-r", "-z", "--name-only", "--full-tree", "--end-of-options", head}
	}
	out, err := r.git(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("compare trees of %s and %s: %w", short(base), short(head), notFound(err))
	}
	if len(out) == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), nil
}

// notFound marks git's complaint about an unknown revision as ErrNotFound.
func notFound(err error) error {
	if exitCode(err) == 128 {
		for _, words := range []string{"bad revision", "unknown revision", "bad object", "Not a valid object name", "not a tree object", "ambiguous argument"} {
			if strings.Contains(err.Error(), words) {
				return fmt.Errorf("%w: %w", ErrNotFound, err)
			}
		}
	}
	return err
}
