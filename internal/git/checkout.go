package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// maxCheckout bounds what one checkout writes, in bytes: a push of a few
// kilobytes would fill the disk otherwise.
const maxCheckout = 4 << 30

// Checkout writes everything below a folder of the commit's tree to dest, which
// is made if it does not exist and has to be empty otherwise; if name is a
// file, dest becomes that file and must not exist. Files keep whether they are
// executable. Symbolic links are written as they are and refused if they lead
// out of the folder; submodules become empty folders. Times are those of the
// writing: a fixed time would make tools that compare size and time take a
// changed file for the old one.
func (r *Repo) Checkout(ctx context.Context, commit, name, dest string) error {
	tree, err := r.Tree(ctx, commit)
	if err != nil {
		return err
	}
	return tree.Checkout(ctx, name, dest)
}

// Checkout is like Repo.Checkout, from a tree that is known already.
func (t *Tree) Checkout(ctx context.Context, name, dest string) error {
	from, err := t.Resolve(name)
	if err == nil {
		switch from.Mode {
		case ModeDir:
			err = t.checkoutFolder(ctx, from, dest)
		case ModeFile, ModeExecutable:
			err = t.checkoutFile(ctx, from, dest)
		default:
			err = errors.New("it is neither a folder nor a file")
		}
	}
	if err != nil {
		return fmt.Errorf("check out %s at %s to %s: %w", name, short(t.Commit), dest, err)
	}
	return nil
}

func (t *Tree) checkoutFolder(ctx context.Context, from Entry, dest string) error {
	// Everything is checked before anything is written.
	if err := t.checkable(from.Path); err != nil {
		return err
	}
	root, err := emptyRoot(dest)
	if err != nil {
		return err
	}
	room := int64(maxCheckout)
	err = t.Below(from.Path, func(e Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return t.write(ctx, root, within(from.Path, e.Path), e, &room)
	})
	return errors.Join(err, root.Close())
}

func (t *Tree) checkoutFile(ctx context.Context, from Entry, dest string) error {
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(dest))
	if err != nil {
		return err
	}
	room := int64(maxCheckout)
	err = t.writeFile(ctx, root, filepath.Base(dest), from, &room)
	return errors.Join(err, root.Close())
}

// emptyRoot opens dir so that nothing can be written outside of it.
func emptyRoot(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	_, err = d.Readdirnames(1)
	_ = d.Close() // nothing was written through it
	switch {
	case err == nil:
		return nil, model.WithHint(fmt.Errorf("folder %s is not empty", dir), "give a new or empty folder")
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return os.OpenRoot(dir)
}

// checkable refuses names and links that have no place in a folder on disk.
func (t *Tree) checkable(root string) error {
	return t.Below(root, func(e Entry) error {
		name := e.Name()
		if name == "." || name == ".." || name == "" || strings.EqualFold(name, ".git") || strings.ContainsRune(name, filepath.Separator) {
			return fmt.Errorf("%s: a file with that name is not allowed", e.Path)
		}
		if !e.IsSymlink() {
			return nil
		}
		if err := t.linkStays(root, e); err != nil {
			return model.WithHint(err, "point the link to something inside the folder, with a relative path")
		}
		return nil
	})
}

// within is a path relative to the folder root that it lies in; "." is the root
// of the tree, and not the beginning of ".gitignore".
func within(root, name string) string {
	if root == "." {
		return name
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
}

// linkStays says whether a link leads to somewhere inside of root, by way of
// all other links. A link to nothing is fine.
func (t *Tree) linkStays(root string, e Entry) error {
	rel := within(root, e.Path)
	_, err := t.resolve(root, rel, true)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// What does not exist cannot be followed; its name alone has to stay.
	target, err := t.linkTarget(e)
	if err != nil {
		return err
	}
	if lexical := path.Join(path.Dir(rel), target); path.IsAbs(target) || lexical == ".." || strings.HasPrefix(lexical, "../") {
		return fmt.Errorf("%s: %w", e.Path, ErrOutside)
	}
	return nil
}

// write puts one entry in its place below root, and takes its size off room.
func (t *Tree) write(ctx context.Context, root *os.Root, name string, e Entry, room *int64) error {
	name = filepath.FromSlash(name)
	switch e.Mode {
	case ModeDir, ModeSubmodule:
		return root.Mkdir(name, 0o755)
	case ModeSymlink:
		target, err := t.linkTarget(e)
		if err != nil {
			return err
		}
		return root.Symlink(target, name)
	case ModeFile, ModeExecutable:
		return t.writeFile(ctx, root, name, e, room)
	default:
		return fmt.Errorf("%s: mode %o is unknown", e.Path, e.Mode)
	}
}

func (t *Tree) writeFile(ctx context.Context, root *os.Root, name string, e Entry, room *int64) error {
	mode := fs.FileMode(0o644)
	if e.Mode == ModeExecutable {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = t.repo.copyBlob(ctx, e.ID, f, room)
	// The mode is set apart from the creation: the umask does not count.
	return errors.Join(err, f.Chmod(mode), f.Close())
}
