package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Find opens the repository that a folder belongs to, as git finds it: the
// folder itself or one above it. The work tree's root is "" for a repository
// without one.
func Find(ctx context.Context, dir string) (r *Repo, root string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", fmt.Errorf("find repository of %s: %w", dir, err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, "", model.WithHint(fmt.Errorf("folder %s does not exist", dir), "give the folder of a Git repository with --repo")
	}
	out, err := runGit(ctx, command{args: []string{"-C", abs, "rev-parse", "--absolute-git-dir", "--is-bare-repository"}})
	if err != nil {
		return nil, "", model.WithHint(fmt.Errorf("%s is not in a Git repository", dir), "run it in a clone of the deployment repository, or give one with --repo")
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != 2 {
		return nil, "", fmt.Errorf("find repository of %s: git rev-parse answered %q", dir, out)
	}
	r = &Repo{dir: lines[0], bare: lines[1] == "true", fetch: make(chan struct{}, 1)}
	r.objects.dir = r.dir
	if top, err := runGit(ctx, command{args: []string{"-C", abs, "rev-parse", "--show-toplevel"}}); err == nil {
		root = strings.TrimRight(string(top), "\n")
	}
	return r, root, nil
}

// Shallow says that the repository does not have all of its history.
func (r *Repo) Shallow() bool {
	_, err := os.Stat(filepath.Join(r.dir, "shallow"))
	return err == nil
}

// CutOff says that the clone is shallow and ends at this commit: it has parents,
// which are not here.
func (r *Repo) CutOff(commit string) bool {
	data, err := os.ReadFile(filepath.Join(r.dir, "shallow"))
	return err == nil && isObjectID(commit) && slices.Contains(strings.Fields(string(data)), commit)
}

// MergeBase returns the best common ancestor of two commits; ErrNotFound says
// that they have none.
func (r *Repo) MergeBase(ctx context.Context, a, b string) (string, error) {
	for _, rev := range []string{a, b} {
		if err := checkRev(rev); err != nil {
			return "", err
		}
	}
	out, err := r.git(ctx, "merge-base", "--end-of-options", a, b)
	if exitCode(err) == 1 {
		return "", fmt.Errorf("commits %s and %s have no common ancestor: %w", short(a), short(b), ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("find the common ancestor of %s and %s: %w", short(a), short(b), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// MergeResult returns a commit that is what merging head into base would make.
// No branch moves; the commit and its trees are objects that nothing refers to.
// It is head itself if base has nothing of its own, and a *ConflictError if the
// two do not go together.
func (r *Repo) MergeResult(ctx context.Context, base, head string) (string, error) {
	switch ancestor, err := r.MergeBase(ctx, base, head); {
	case err != nil:
		return "", err
	case ancestor == base:
		return head, nil
	case ancestor == head:
		return base, nil
	}
	tree, err := r.mergeTree(ctx, short(base), base, short(head), head)
	if err != nil {
		return "", err
	}
	return r.commitTree(ctx, tree, []string{base, head}, "Merge "+head, Hubship)
}

// Messages returns the whole messages of the commits that head has and base
// has not, newest first, at most limit; of an empty base that of head alone.
func (r *Repo) Messages(ctx context.Context, base, head string, limit int) (string, error) {
	if err := checkRev(head); err != nil {
		return "", err
	}
	args := []string{"log", "--format=%B%n", "--no-show-signature", "--encoding=UTF-8"}
	if base == "" {
		limit = 1
	}
	args = append(args, "--max-count="+strconv.Itoa(limit), "--end-of-options", head)
	if base != "" {
		if err := checkRev(base); err != nil {
			return "", err
		}
		args = append(args, "^"+base)
	}
	out, err := r.git(ctx, append(args, "--")...)
	if err != nil {
		return "", fmt.Errorf("read messages of %s: %w", short(head), notFound(err))
	}
	return string(out), nil
}

// IsConflict says that an error is a merge that needs a person.
func IsConflict(err error) bool {
	var c *ConflictError
	return errors.As(err, &c)
}
