package git

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/hubship/hubship/internal/model"
)

const link = fs.ModeSymlink

// withSubmodule adds an entry for a submodule to a branch.
func withSubmodule(t testing.TB, r *Repo, branch, name, target string) string {
	t.Helper()
	index := filepath.Join(t.TempDir(), "index")
	env := []string{"GIT_INDEX_FILE=" + index}
	for _, args := range [][]string{
		{"read-tree", branch},
		{"update-index", "--add", "--cacheinfo", "160000," + target + "," + name},
	} {
		if _, err := r.exec(t.Context(), command{args: args, env: env}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := r.exec(t.Context(), command{args: []string{"write-tree"}, env: env})
	if err != nil {
		t.Fatal(err)
	}
	parent, err := r.Head(t.Context(), branch)
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.commitTree(t.Context(), strings.TrimSpace(string(out)), []string{parent}, "submodule", tester)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetBranch(t.Context(), branch, id, parent); err != nil {
		t.Fatal(err)
	}
	return id
}

func sampleTree(t testing.TB) (*Repo, *Tree) {
	t.Helper()
	r := newRepo(t)
	id := commit(t, r, "staging", "sample", map[string]string{
		"README.md": "read me\n", "empty": "", ".hidden": "dot", ".config/x": "dot folder", "a/b/c.txt": "deep", "a.txt": "dot sorts before slash",
		"a-b": "dash too", "bin/run": "#!/bin/sh\n", "with space/ä \t\"quote\".txt": "odd",
		"to-file": "a/b/c.txt", "to-dir": "a/b", "a/up": "../README.md", "chain": "to-dir/c.txt",
	}, map[string]fs.FileMode{"bin/run": 0o755, "to-file": link, "to-dir": link, "a/up": link, "chain": link})
	withSubmodule(t, r, "staging", "module", id)
	tree, err := r.Tree(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	return r, tree
}

// TestFS holds the tree against the standard library's own test of file
// systems.
func TestFS(t *testing.T) {
	_, tree := sampleTree(t)
	if err := fstest.TestFS(tree.FS(), "README.md", "empty", "a/b/c.txt", "a.txt", "a-b", "bin/run", "to-file", "a/up", "chain", "module"); err != nil {
		t.Fatal(err)
	}
}

func TestFSContents(t *testing.T) {
	_, tree := sampleTree(t)
	fsys := tree.FS()
	for name, want := range map[string]string{
		"README.md": "read me\n", "empty": "", ".hidden": "dot", ".config/x": "dot folder", "a/b/c.txt": "deep", "to-file": "deep", "to-dir/c.txt": "deep",
		"a/up": "read me\n", "chain": "deep", "with space/ä \t\"quote\".txt": "odd",
	} {
		if data, err := fs.ReadFile(fsys, name); string(data) != want || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if info, err := fs.Stat(fsys, name); err != nil || info.Size() != int64(len(want)) || !info.Mode().IsRegular() {
			t.Errorf("%s: stat %v, %v", name, info, err)
		}
	}
	for name, want := range map[string]error{"nothing": fs.ErrNotExist, "a/b/c.txt/d": fs.ErrNotExist, "/README.md": fs.ErrInvalid, "../x": fs.ErrInvalid} {
		var p *fs.PathError
		if _, err := fs.ReadFile(fsys, name); !errors.Is(err, want) || !errors.As(err, &p) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if info, err := fs.Stat(fsys, "bin/run"); err != nil || info.Mode() != 0o555 {
		t.Errorf("executable: %v, %v", info, err)
	}
	if list, err := fs.ReadDir(fsys, "module"); err != nil || len(list) != 0 {
		t.Errorf("submodule: %v, %v", list, err)
	}
	var names []string
	list, err := fs.ReadDir(fsys, ".")
	for _, e := range list {
		names = append(names, e.Name())
	}
	if want := ".config .hidden README.md a a-b a.txt bin chain empty module to-dir to-file with space"; strings.Join(names, " ") != want || err != nil {
		t.Errorf("root lists %q, %v, want %q", names, err, want)
	}
	f, err := fsys.Open("a/b/c.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.(io.Seeker).Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(f); string(rest) != "ep" || err != nil {
		t.Errorf("after a seek: %q, %v", rest, err)
	}
}

// TestLinksStayInside has links that lead out in every way known.
func TestLinksStayInside(t *testing.T) {
	for name, target := range map[string]string{
		"parent": "..", "absolute": "/etc/passwd", "deep": "d/../../x", "root": "/", "far": "../../../../etc/passwd",
		"itself": "itself", "sneaky": "self/..",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			commit(t, r, "staging", "link", map[string]string{"d/file": "1", "self": ".", name: target},
				map[string]fs.FileMode{name: link, "self": link})
			tree, err := r.Tree(t.Context(), "staging")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fs.Stat(tree.FS(), name); err == nil {
				t.Errorf("the link to %q was followed", target)
			}
			dir := filepath.Join(t.TempDir(), "out")
			if err := tree.Checkout(t.Context(), ".", dir); err == nil {
				t.Errorf("the link to %q was written", target)
			}
			if list, _ := os.ReadDir(dir); len(list) > 0 {
				t.Errorf("a refused checkout wrote %v", list)
			}
		})
	}
}

func TestCheckout(t *testing.T) {
	r, tree := sampleTree(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if err := r.Checkout(t.Context(), "staging", ".", dir); err != nil {
		t.Fatal(err)
	}
	// git itself finds no difference, modes and links included.
	work := t.TempDir()
	realGit(t, work, "clone", "-q", "--branch", "staging", r.Dir(), ".")
	if err := os.RemoveAll(filepath.Join(work, ".git")); err != nil {
		t.Fatal(err)
	}
	compareFolders(t, work, dir)

	sub := filepath.Join(t.TempDir(), "sub")
	if err := tree.Checkout(t.Context(), "bin", sub); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(sub, "run")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("executable: %v, %v", info, err)
	}
	if err := tree.Checkout(t.Context(), "bin", sub); err == nil || model.HintOf(err) == "" {
		t.Errorf("a folder that is not empty: %v", err)
	}
	// "a/up" leads to the root: fine in the whole, refused in the part.
	part := filepath.Join(t.TempDir(), "part")
	if err := tree.Checkout(t.Context(), "a", part); !errors.Is(err, ErrOutside) || !strings.Contains(err.Error(), "a/up") && !strings.Contains(err.Error(), "up:") {
		t.Errorf("link out of the part: %v", err)
	}
	for _, missing := range []string{"nothing", "module", "../x"} {
		if err := tree.Checkout(t.Context(), missing, filepath.Join(t.TempDir(), "x")); err == nil {
			t.Errorf("%s was checked out", missing)
		}
	}
	// A single file, also by way of a link.
	for name, want := range map[string]string{"bin/run": "#!/bin/sh\n", "chain": "deep"} {
		dest := filepath.Join(t.TempDir(), "made", "file")
		if err := tree.Checkout(t.Context(), name, dest); err != nil {
			t.Error(err)
		}
		if data, err := os.ReadFile(dest); string(data) != want || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if err := tree.Checkout(t.Context(), name, dest); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s again: %v", name, err)
		}
	}
}

// compareFolders compares names, types, modes and contents.
func compareFolders(t *testing.T, want, got string) {
	t.Helper()
	list := func(root string) map[string]string {
		out := map[string]string{}
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || name == root {
				return err
			}
			rel, _ := filepath.Rel(root, name)
			info, err := d.Info()
			if err != nil {
				return err
			}
			text := info.Mode().String()
			switch {
			case info.Mode()&fs.ModeSymlink != 0:
				target, err := os.Readlink(name)
				if err != nil {
					return err
				}
				text = "-> " + target
			case info.Mode().IsRegular():
				data, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				text += fmt.Sprintf(" %q", data)
			}
			out[rel] = text
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	a, b := list(want), list(got)
	for name, text := range a {
		if b[name] != text {
			t.Errorf("%s: %s, want %s", name, b[name], text)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			t.Errorf("%s is there and should not be", name)
		}
	}
}

func TestHash(t *testing.T) {
	r := newRepo(t)
	commit(t, r, "staging", "one", map[string]string{"d/a": "1", "b": "1"}, nil)
	one, err := r.Tree(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, r, "staging", "two", map[string]string{"b": "2"}, nil)
	two, err := r.Tree(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	if one.Hash("d") != two.Hash("d") || one.Hash("d") == "" {
		t.Error("the same folder has two hashes")
	}
	if one.Hash("b") == two.Hash("b") || one.Hash(".") == two.Hash(".") {
		t.Error("different contents have one hash")
	}
	if want := realGit(t, r.Dir(), "rev-parse", "staging^{tree}"); two.Hash("") != want {
		t.Errorf("root %s, want %s", two.Hash(""), want)
	}
	if two.Hash("none") != "" {
		t.Error("what is not there has a hash")
	}
}

// TestConcurrentReads shares one process between many readers, some of which
// stop half-way.
func TestConcurrentReads(t *testing.T) {
	r := newRepo(t)
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("f%d", i)] = strings.Repeat(fmt.Sprintf("%d\n", i), 1<<i>>4)
	}
	commit(t, r, "staging", "many", files, nil)
	tree, err := r.Tree(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 40 {
				name := fmt.Sprintf("f%d", (g+i)%20)
				if i%7 == 3 {
					stop := errors.New("enough")
					err := r.objects.read(t.Context(), tree.Hash(name), "blob", func(_ int64, content io.Reader) error {
						_, _ = content.Read(make([]byte, 3))
						return stop
					})
					if !errors.Is(err, stop) {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				if data, err := fs.ReadFile(tree.FS(), name); err != nil || string(data) != files[name] {
					t.Errorf("%s: %d bytes, %v", name, len(data), err)
				}
			}
		})
	}
	group.Wait()
}

// TestReaderRestarts kills the process that reads objects.
func TestReaderRestarts(t *testing.T) {
	r := newRepo(t)
	commit(t, r, "staging", "one", map[string]string{"a": "1"}, nil)
	tree, err := r.Tree(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if data, err := fs.ReadFile(tree.FS(), "a"); string(data) != "1" || err != nil {
			t.Fatalf("%q, %v", data, err)
		}
		r.objects.mu.Lock()
		err := r.objects.cmd.Process.Kill()
		r.objects.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Blob(t.Context(), strings.Repeat("1", 40)); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing object: %v", err)
	}
	if _, err := r.Blob(t.Context(), tree.Hash(".")); err == nil {
		t.Error("a tree was read as a blob")
	}
	if data, err := r.Blob(t.Context(), tree.Hash("a")); !bytes.Equal(data, []byte("1")) || err != nil {
		t.Errorf("after a wrong kind: %q, %v", data, err)
	}
}

// TestPushAndRepack reads what others push while the process that reads
// objects goes on, also after all objects were packed anew.
func TestPushAndRepack(t *testing.T) {
	r := newRepo(t)
	commit(t, r, "staging", "one", map[string]string{"a": "1"}, nil)
	first, err := r.Tree(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ReadFile(first.FS(), "a"); err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	realGit(t, work, "clone", "-q", "--branch", "staging", r.Dir(), ".")
	for i := range 3 {
		want := strings.Repeat(fmt.Sprint(i), 1000)
		if err := os.WriteFile(filepath.Join(work, "a"), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		realGit(t, work, "commit", "-q", "-a", "-m", "change")
		realGit(t, work, "push", "-q", "origin", "staging")
		realGit(t, r.Dir(), "repack", "-q", "-a", "-d")
		tree, err := r.Tree(t.Context(), "staging")
		if err != nil {
			t.Fatal(err)
		}
		if data, err := fs.ReadFile(tree.FS(), "a"); string(data) != want || err != nil {
			t.Errorf("push %d: %q, %v", i, data, err)
		}
		if data, err := fs.ReadFile(first.FS(), "a"); string(data) != "1" || err != nil {
			t.Errorf("push %d: the first tree says %q, %v", i, data, err)
		}
	}
}

func TestUnknownTree(t *testing.T) {
	r := newRepo(t)
	commit(t, r, "staging", "one", map[string]string{"a": "1"}, nil)
	if _, err := r.Tree(t.Context(), strings.Repeat("1", 40)); !errors.Is(err, ErrNotFound) || model.HintOf(err) == "" {
		t.Errorf("error %v", err)
	}
}
