package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// ConflictError is a merge that needs a person.
type ConflictError struct {
	Into, From string   // branches or commits
	Files      []string // sorted
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("merge %s into %s: conflicts in %s", e.From, e.Into, strings.Join(e.Files, ", "))
}

// mergeTree writes the tree that a merge of two commits results in.
func (r *Repo) mergeTree(ctx context.Context, into, ours, from, theirs string) (string, error) {
	out, err := r.git(ctx, "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
	var failed *exitError
	if errors.As(err, &failed) && failed.code == 1 {
		files := strings.Split(strings.TrimRight(string(failed.stdout), "\x00"), "\x00")[1:]
		sort.Strings(files)
		return "", model.WithHint(&ConflictError{Into: into, From: from, Files: slices.Compact(files)},
			fmt.Sprintf("merge %s into %s in a clone, resolve the conflicts and push", into, from))
	}
	if err != nil {
		return "", fmt.Errorf("merge %s into %s: %w", short(from), into, err)
	}
	tree := strings.TrimRight(string(out), "\x00\n")
	if !isObjectID(tree) {
		return "", fmt.Errorf("merge %s into %s: git merge-tree answered %q", short(from), into, tree)
	}
	return tree, nil
}

func (r *Repo) commitTree(ctx context.Context, tree string, parents []string, message string, author Identity) (string, error) {
	if err := author.validate(); err != nil {
		return "", err
	}
	if strings.TrimSpace(message) == "" {
		return "", errors.New("the commit message is empty")
	}
	args := []string{"commit-tree", "-F", "-"}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	out, err := r.exec(ctx, command{
		args:  append(args, tree),
		stdin: strings.NewReader(message + "\n"),
		env: []string{
			"GIT_AUTHOR_NAME=" + author.Name, "GIT_AUTHOR_EMAIL=" + author.Email,
			"GIT_COMMITTER_NAME=" + author.Name, "GIT_COMMITTER_EMAIL=" + author.Email,
		},
	})
	if err != nil {
		return "", fmt.Errorf("record commit: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// checkMove says early whether a branch can be moved.
func (r *Repo) checkMove(ctx context.Context, branch, expected string) error {
	head, err := r.Head(ctx, branch)
	if err != nil {
		return err
	}
	if head != expected {
		return moved(branch, expected, head)
	}
	if r.bare {
		return nil
	}
	out, err := r.git(ctx, "symbolic-ref", "--quiet", "HEAD")
	if err == nil && strings.TrimSpace(string(out)) == "refs/heads/"+branch {
		return model.WithHint(fmt.Errorf("branch %s is checked out in a work tree", branch), "use a bare repository, or check out another branch")
	}
	return nil
}

func moved(branch, expected, found string) error {
	at := func(id string) string {
		if id == "" {
			return "not there"
		}
		return "at " + short(id)
	}
	return model.WithHint(fmt.Errorf("branch %s was expected to be %s but is %s: %w", branch, at(expected), at(found), ErrMoved), "somebody has pushed in the meantime: try again")
}

// moveBranch sets a branch if it still is where it was expected.
func (r *Repo) moveBranch(ctx context.Context, branch, commit, expected string) error {
	old := expected
	if old == "" {
		old = strings.Repeat("0", len(commit)) // has to be absent
	}
	_, err := r.git(ctx, "update-ref", "--no-deref", "-m", "hubship", "--end-of-options", "refs/heads/"+branch, commit, old)
	if err == nil {
		return nil
	}
	if found, headErr := r.Head(ctx, branch); headErr == nil && found != expected {
		return moved(branch, expected, found)
	}
	return fmt.Errorf("set branch %s: %w", branch, err)
}

// SetBranch moves a branch to a commit if it is at the commit expected; an
// empty expected makes the branch. The error is ErrMoved otherwise.
func (r *Repo) SetBranch(ctx context.Context, branch, commit, expected string) error {
	id, err := r.Resolve(ctx, commit)
	if err == nil {
		err = r.checkMove(ctx, branch, expected)
	}
	if err == nil {
		err = r.moveBranch(ctx, branch, id, expected)
	}
	if err != nil {
		return fmt.Errorf("set branch %s to %s: %w", branch, short(commit), err)
	}
	return nil
}

// CommitFiles records a commit on a branch, without a work tree, that sets the
// given files and leaves all others as they are. A nil content removes the
// file. Modes are those of modes: fs.ModeSymlink makes a link whose target is
// the content, any execute bit an executable; the rest are ordinary files. The
// branch has to be at expectedParent; an empty expectedParent makes the branch
// with a first commit. The error is ErrMoved otherwise.
func (r *Repo) CommitFiles(ctx context.Context, branch, expectedParent string, files map[string][]byte, modes map[string]fs.FileMode, message string, author Identity) (string, error) {
	wrap := func(err error) error { return fmt.Errorf("commit to branch %s: %w", branch, err) }
	if err := r.checkMove(ctx, branch, expectedParent); err != nil {
		return "", wrap(err)
	}
	commit, err := r.FilesCommit(ctx, expectedParent, files, modes, message, author)
	if err != nil {
		return "", wrap(err)
	}
	if err := r.moveBranch(ctx, branch, commit, expectedParent); err != nil {
		return "", wrap(err)
	}
	return commit, nil
}

// FilesCommit is CommitFiles that moves no branch: the commit is there, and
// nothing names it. An empty parent makes a first commit.
func (r *Repo) FilesCommit(ctx context.Context, parent string, files map[string][]byte, modes map[string]fs.FileMode, message string, author Identity) (string, error) {
	tree, err := r.writeTree(ctx, parent, files, modes)
	if err != nil {
		return "", err
	}
	var parents []string
	if parent != "" {
		parents = []string{parent}
	}
	return r.commitTree(ctx, tree, parents, message, author)
}

// writeTree makes a tree through an index of its own, so that no other index
// is touched.
func (r *Repo) writeTree(ctx context.Context, parent string, files map[string][]byte, modes map[string]fs.FileMode) (string, error) {
	tmp, err := os.MkdirTemp("", "hubship-index-")
	if err != nil {
		return "", fmt.Errorf("make a temporary index: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(tmp, "index")}
	if parent != "" {
		if _, err := r.exec(ctx, command{args: []string{"read-tree", parent}, env: env}); err != nil {
			return "", fmt.Errorf("read tree of %s: %w", short(parent), err)
		}
	}
	list, err := r.writeBlobs(ctx, files, modes)
	if err != nil {
		return "", err
	}
	if _, err := r.exec(ctx, command{args: []string{"update-index", "-z", "--index-info"}, env: env, stdin: list}); err != nil {
		return "", fmt.Errorf("write tree: %w", err)
	}
	out, err := r.exec(ctx, command{args: []string{"write-tree"}, env: env})
	if err != nil {
		return "", fmt.Errorf("write tree: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// writeBlobs stores contents and returns them as update-index reads them.
func (r *Repo) writeBlobs(ctx context.Context, files map[string][]byte, modes map[string]fs.FileMode) (*bytes.Buffer, error) {
	names := make([]string, 0, len(files))
	for name := range files {
		if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) || strings.Contains("/"+strings.ToLower(name)+"/", "/.git/") {
			return nil, fmt.Errorf("%q is not a path for a file in a repository", name)
		}
		names = append(names, name)
	}
	sort.Strings(names)
	var list bytes.Buffer
	stored := map[string]string{} // id by content: each costs a process
	for _, name := range names {
		if files[name] == nil {
			fmt.Fprintf(&list, "0 %s\t%s\x00", strings.Repeat("0", 40), name)
			continue
		}
		id, ok := stored[string(files[name])]
		if !ok {
			out, err := r.exec(ctx, command{args: []string{"hash-object", "-w", "--no-filters", "--stdin"}, stdin: bytes.NewReader(files[name])})
			if err != nil {
				return nil, fmt.Errorf("store %s: %w", path.Clean(name), err)
			}
			id = strings.TrimSpace(string(out))
			stored[string(files[name])] = id
		}
		fmt.Fprintf(&list, "%o %s\t%s\x00", gitMode(modes[name]), id, name)
	}
	return &list, nil
}

func gitMode(m fs.FileMode) uint32 {
	switch {
	case m&fs.ModeSymlink != 0:
		return ModeSymlink
	case m&0o111 != 0:
		return ModeExecutable
	default:
		return ModeFile
	}
}
