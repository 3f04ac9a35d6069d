package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// FS returns the tree as a read-only file system. It implements
// fs.ReadDirFS, fs.ReadFileFS, fs.StatFS and fs.ReadLinkFS. Symbolic links are
// followed inside the tree only, submodules are empty folders, and no file has
// a modification time.
func (t *Tree) FS() fs.FS { return treeFS{t} }

type treeFS struct{ t *Tree }

var (
	_ fs.ReadDirFS  = treeFS{}
	_ fs.ReadFileFS = treeFS{}
	_ fs.StatFS     = treeFS{}
	_ fs.ReadLinkFS = treeFS{}
)

func (f treeFS) find(op, name string, follow bool) (Entry, error) {
	if !fs.ValidPath(name) {
		return Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	e, err := f.t.resolve(".", name, follow)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fs.ErrNotExist // PathError names the path already
		} else if errors.Is(err, ErrOutside) {
			err = ErrOutside
		}
		return Entry{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return e, nil
}

// Open opens a file or folder. A file's content is read at the first use.
func (f treeFS) Open(name string) (fs.File, error) {
	e, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	info := fileInfo{name: path.Base(name), entry: e, repo: f.t.repo}
	if info.IsDir() {
		return &openDir{info: info, path: name, entries: f.list(e)}, nil
	}
	return &openFile{info: info, path: name}, nil
}

// ReadFile returns the content of a file.
func (f treeFS) ReadFile(name string) ([]byte, error) {
	e, err := f.find("read", name, true)
	if err != nil {
		return nil, err
	}
	if e.IsDir() || e.IsSubmodule() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	data, err := f.t.repo.Blob(context.Background(), e.ID)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// ReadDir lists a folder, sorted by name.
func (f treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := f.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !e.IsDir() && !e.IsSubmodule() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
	}
	return f.list(e), nil
}

// Stat describes what a path leads to.
func (f treeFS) Stat(name string) (fs.FileInfo, error) { return f.info("stat", name, true) }

// Lstat describes what is at a path, a symbolic link included.
func (f treeFS) Lstat(name string) (fs.FileInfo, error) { return f.info("lstat", name, false) }

func (f treeFS) info(op, name string, follow bool) (fs.FileInfo, error) {
	e, err := f.find(op, name, follow)
	if err != nil {
		return nil, err
	}
	return fileInfo{name: path.Base(name), entry: e, repo: f.t.repo}, nil
}

// ReadLink returns where a symbolic link points.
func (f treeFS) ReadLink(name string) (string, error) {
	e, err := f.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if !e.IsSymlink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	target, err := f.t.linkTarget(e)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

func (f treeFS) list(e Entry) []fs.DirEntry {
	children := f.t.children[e.Path]
	out := make([]fs.DirEntry, 0, len(children))
	for _, c := range children {
		out = append(out, fs.FileInfoToDirEntry(fileInfo{name: c.Name(), entry: c, repo: f.t.repo}))
	}
	return out
}

// fileInfo describes an entry. The size is asked for only when it is needed:
// a listing of the tree does not carry it.
type fileInfo struct {
	name  string
	entry Entry
	repo  *Repo
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return i.Mode().IsDir() }

// Sys returns the Entry.
func (i fileInfo) Sys() any { return i.entry }

func (i fileInfo) Mode() fs.FileMode {
	switch i.entry.Mode {
	case ModeDir, ModeSubmodule:
		return fs.ModeDir | 0o555
	case ModeSymlink:
		return fs.ModeSymlink | 0o777
	case ModeExecutable:
		return 0o555
	default:
		return 0o444
	}
}

// Size is the length of a file's content, or 0 when it cannot be read: the
// reading itself then says why.
func (i fileInfo) Size() int64 {
	if i.IsDir() {
		return 0
	}
	_, size, err := i.repo.objects.info(i.entry.ID)
	if err != nil {
		return 0
	}
	return size
}

type openFile struct {
	info    fileInfo
	path    string
	content *bytes.Reader
	closed  bool
}

func (f *openFile) load(op string) error {
	if f.closed {
		return &fs.PathError{Op: op, Path: f.path, Err: fs.ErrClosed}
	}
	if f.content != nil {
		return nil
	}
	data, err := f.info.repo.Blob(context.Background(), f.info.entry.ID)
	if err != nil {
		return &fs.PathError{Op: op, Path: f.path, Err: err}
	}
	f.content = bytes.NewReader(data)
	return nil
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *openFile) Read(p []byte) (int, error) {
	if err := f.load("read"); err != nil {
		return 0, err
	}
	return f.content.Read(p)
}

func (f *openFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.load("read"); err != nil {
		return 0, err
	}
	return f.content.ReadAt(p, off)
}

func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	if err := f.load("seek"); err != nil {
		return 0, err
	}
	return f.content.Seek(offset, whence)
}

func (f *openFile) Close() error {
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.path, Err: fs.ErrClosed}
	}
	f.closed, f.content = true, nil
	return nil
}

type openDir struct {
	info    fileInfo
	path    string
	entries []fs.DirEntry
	at      int
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: errors.New("is a directory")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := d.entries[d.at:]
	if n <= 0 {
		d.at = len(d.entries)
		return rest, nil
	}
	if len(rest) == 0 {
		return nil, io.EOF
	}
	rest = rest[:min(n, len(rest))]
	d.at += len(rest)
	return rest, nil
}

// copyBlob writes the content of a blob to w if there is room for it, and takes
// its size off that.
func (r *Repo) copyBlob(ctx context.Context, id string, w io.Writer, room *int64) error {
	return r.objects.read(ctx, id, "blob", func(size int64, content io.Reader) error {
		if *room -= size; *room < 0 {
			return model.WithHint(fmt.Errorf("there are more than %d GiB of files", int64(maxCheckout)>>30), "keep large files out of the repository")
		}
		n, err := io.Copy(w, content)
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("read object %s: %w", short(id), err)
		}
		return nil
	})
}
