package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Entry is a file, folder, symbolic link or submodule in a tree.
type Entry struct {
	Path string // from the root of the tree; "." for the root itself
	Mode uint32 // as git records it: 0o100644, 0o100755, 0o120000, 0o040000, 0o160000
	ID   string // object id; of a submodule, its commit
}

// Modes of entries.
const (
	ModeDir        = 0o040000
	ModeFile       = 0o100644
	ModeExecutable = 0o100755
	ModeSymlink    = 0o120000
	ModeSubmodule  = 0o160000
)

// IsDir says that the entry is a folder. A submodule is not.
func (e Entry) IsDir() bool { return e.Mode == ModeDir }

// IsSymlink says that the entry is a symbolic link.
func (e Entry) IsSymlink() bool { return e.Mode == ModeSymlink }

// IsSubmodule says that the entry is a submodule.
func (e Entry) IsSubmodule() bool { return e.Mode == ModeSubmodule }

// Name is the last part of the path.
func (e Entry) Name() string { return path.Base(e.Path) }

// Tree is all that a commit contains. It is immutable and safe for concurrent
// use; contents are read through the Repo that it came from.
type Tree struct {
	Commit string // as it was asked for

	repo     *Repo
	entries  map[string]Entry
	children map[string][]Entry // by folder, sorted by name
}

// ErrOutside says that a symbolic link leads out of the tree.
var ErrOutside = errors.New("symbolic link leads out of the tree")

// maxLinks bounds the symbolic links followed in one look-up.
const maxLinks = 40

// Tree reads the names, modes and ids of everything in a commit.
func (r *Repo) Tree(ctx context.Context, commit string) (*Tree, error) {
	if err := checkRev(commit); err != nil {
		return nil, err
	}
	out, err := r.git(ctx, "ls-tree", "-r", "-t", "-z", "--full-tree", "--end-of-options", commit)
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("read tree of %s: %w", short(commit), notFound(err)), "use a commit that was pushed to the deployment repository")
	}
	root, err := r.root(ctx, commit)
	if err != nil {
		return nil, fmt.Errorf("read tree of %s: %w", short(commit), err)
	}
	t := &Tree{Commit: commit, repo: r, entries: map[string]Entry{}, children: map[string][]Entry{".": nil}}
	t.entries["."] = Entry{Path: ".", Mode: ModeDir, ID: root}
	if err := t.parse(string(out)); err != nil {
		return nil, fmt.Errorf("read tree of %s: %w", short(commit), err)
	}
	return t, nil
}

// root returns the id of a commit's tree.
func (r *Repo) root(ctx context.Context, commit string) (string, error) {
	if isObjectID(commit) {
		var header string
		err := r.objects.read(ctx, commit, "commit", func(_ int64, content io.Reader) error {
			var err error
			header, err = bufio.NewReader(content).ReadString('\n')
			return err
		})
		if id, ok := strings.CutPrefix(strings.TrimSuffix(header, "\n"), "tree "); err == nil && ok && isObjectID(id) {
			return id, nil
		}
	}
	out, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", commit+"^{tree}")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// parse reads records "mode type id<TAB>path<NUL>".
func (t *Tree) parse(out string) error {
	for out != "" {
		record, rest, ok := strings.Cut(out, "\x00")
		meta, name, tab := strings.Cut(record, "\t")
		fields := strings.Fields(meta)
		if !ok || !tab || len(fields) != 3 || !isObjectID(fields[2]) {
			return fmt.Errorf("git ls-tree answered %q", record)
		}
		var mode uint32
		if _, err := fmt.Sscanf(fields[0], "%o", &mode); err != nil {
			return fmt.Errorf("git ls-tree answered the mode %q of %q", fields[0], name)
		}
		if mode == 0o100664 {
			mode = ModeFile // what early versions of git recorded
		}
		e := Entry{Path: name, Mode: mode, ID: fields[2]}
		t.entries[name] = e
		parent := path.Dir(name)
		t.children[parent] = append(t.children[parent], e)
		out = rest
	}
	for _, list := range t.children {
		// git sorts folders as if their names ended in a slash.
		sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	}
	return nil
}

// Lookup returns the entry at exactly this path: symbolic links are not
// followed.
func (t *Tree) Lookup(name string) (Entry, bool) {
	e, ok := t.entries[clean(name)]
	return e, ok
}

// Hash returns the object id at exactly this path, or "" if there is nothing.
// Equal ids are equal contents, in whatever commit.
func (t *Tree) Hash(name string) string { return t.entries[clean(name)].ID }

// Resolve returns the entry that a path leads to, symbolic links followed
// within the tree. The error is fs.ErrNotExist or ErrOutside.
func (t *Tree) Resolve(name string) (Entry, error) {
	return t.resolve(".", name, true)
}

// Below calls visit for every entry below a folder, which is not followed if
// it is a link, in a fixed order, until visit returns an error.
func (t *Tree) Below(dir string, visit func(Entry) error) error {
	for _, e := range t.children[clean(dir)] {
		if err := visit(e); err != nil {
			return err
		}
		if e.IsDir() {
			if err := t.Below(e.Path, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// clean gives a path the form of the index's keys.
func clean(name string) string {
	name = path.Clean(name)
	if name == "/" || name == "" {
		return "."
	}
	return strings.TrimPrefix(name, "/")
}

// resolve follows a path part by part within the folder root, which links
// must not leave. The last part's link is followed if last says so.
func (t *Tree) resolve(root, name string, last bool) (Entry, error) {
	at, rest, links := root, strings.Split(clean(name), "/"), 0
	if clean(name) == "." {
		rest = nil
	}
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case ".", "":
			continue
		case "..":
			if at == root {
				return Entry{}, fmt.Errorf("%s: %w", name, ErrOutside)
			}
			at = path.Dir(at)
			continue
		}
		here, ok := t.entries[at]
		if !ok || !here.IsDir() {
			return Entry{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		next := path.Join(at, part)
		e, ok := t.entries[next]
		if !ok {
			return Entry{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		if !e.IsSymlink() || (len(rest) == 0 && !last) {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return Entry{}, fmt.Errorf("%s: too many symbolic links", name)
		}
		target, err := t.linkTarget(e)
		if err != nil {
			return Entry{}, err
		}
		if path.IsAbs(target) {
			return Entry{}, fmt.Errorf("%s: %w", name, ErrOutside)
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	e, ok := t.entries[at]
	if !ok {
		return Entry{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return e, nil
}

// linkTarget reads where a symbolic link points.
func (t *Tree) linkTarget(e Entry) (string, error) {
	data, err := t.repo.Blob(context.Background(), e.ID)
	if err != nil {
		return "", fmt.Errorf("read symbolic link %s: %w", e.Path, err)
	}
	return string(data), nil
}
