package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

const (
	// maxIncludes bounds the files that one list, or one image, leads to.
	maxIncludes = 50
	// maxFile bounds the size of one file, in bytes.
	maxFile = 4 << 20
	// maxLinks bounds the symbolic links followed in one look-up.
	maxLinks = 40
	// maxPackages bounds what one image may list.
	maxPackages = 50_000
	// maxProblems bounds what is reported of one image.
	maxProblems = 200
)

// errOutside says that a path leads out of the repository.
var errOutside = errors.New("is outside the repository")

// reader collects what files install. Everything that is read of one image
// goes through one reader, which bounds it.
type reader struct {
	tree fs.FS
	// found resolves a name that is none within the tree, such as where a
	// Dockerfile has copied a file to. It may be nil.
	found func(name string) (string, bool)
	// strict ends the reading at the first thing that a build would refuse.
	strict bool

	inline   map[string]inline // files that stand within others, by the name they are read under
	seen     map[string]bool   // kind and path of what was read
	scope    string
	added    map[Package]bool
	packages []Package
	problems []plan.Problem
}

func newReader(tree fs.FS) *reader {
	return &reader{tree: tree, inline: map[string]inline{}, seen: map[string]bool{}, added: map[Package]bool{}}
}

// add takes a package, unless there are too many. The same line may be come by
// several times.
func (r *reader) add(p Package) {
	p.scope = r.scope
	if len(r.packages) == maxPackages || r.added[p] {
		return
	}
	r.added[p] = true
	r.packages = append(r.packages, p)
}

// once says whether this file is to be read as a list of that kind: once, and
// not as one too many.
func (r *reader) once(kind, name string) (bool, error) {
	k := kind + " " + name
	if r.seen[k] {
		return false, nil
	}
	if len(r.seen) == maxIncludes {
		return false, fmt.Errorf("read %s: more than %d files include each other", name, maxIncludes)
	}
	r.seen[k] = true
	return true, nil
}

// read returns a file of the tree. Links are followed within the tree only.
func (r *reader) read(name string) ([]byte, error) {
	if data, ok := r.held(name); ok {
		return data, nil
	}
	name, err := resolve(r.tree, name)
	if err != nil {
		return nil, err
	}
	info, err := fs.Stat(r.tree, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", name)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxFile>>20)
	}
	return fs.ReadFile(r.tree, name)
}

// held returns the text of a file that stands within another one.
func (r *reader) held(name string) ([]byte, bool) {
	in, ok := r.inline[name]
	return in.data, ok
}

// exists says whether the tree has a file of this name.
func (r *reader) exists(name string) bool {
	if _, ok := r.held(name); ok {
		return true
	}
	name, err := resolve(r.tree, name)
	if err != nil {
		return false
	}
	info, err := fs.Stat(r.tree, name)
	return err == nil && info.Mode().IsRegular()
}

// resolve follows symbolic links. A path or a link that leads out of the tree
// is errOutside, whatever the file system would do.
func resolve(tree fs.FS, name string) (string, error) {
	outside := fmt.Errorf("%s %w", name, errOutside)
	if path.IsAbs(name) {
		return "", outside
	}
	at, rest := ".", strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", outside
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := fs.Lstat(tree, next)
		if errors.Is(err, fs.ErrNotExist) {
			return "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many symbolic links", name)
		}
		target, err := fs.ReadLink(tree, next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			return "", outside
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// refuse takes something that the build would refuse: it returns the error if
// reading is strict, and else records it and returns nil.
func (r *reader) refuse(file string, line int, err error) error {
	if r.strict {
		if line == 0 {
			return err
		}
		return fmt.Errorf("%s:%d: %w", file, line, err)
	}
	r.report(plan.Error, file, line, err)
	return nil
}

// report records a problem.
func (r *reader) report(severity plan.Severity, file string, line int, err error) {
	if len(r.problems) >= maxProblems {
		return
	}
	for _, p := range r.problems {
		if p.Message == err.Error() && p.File == file && p.Line == line {
			return
		}
	}
	r.problems = append(r.problems, plan.Problem{
		Severity: severity, Check: "packages", Message: err.Error(), Hint: model.HintOf(err), File: file, Line: line,
	})
}

// text returns the file as lines end on Linux, without a byte order mark.
func text(data []byte) string {
	s := strings.TrimPrefix(string(data), "\ufeff")
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}

// beside returns the path in the tree of what file calls name: relative to the
// file, or where the image's build has it from. It is false for a name outside
// of the tree.
func (r *reader) beside(file, name string) (string, bool) {
	joined := path.Join(path.Dir(file), name)
	outside := path.IsAbs(name) || joined == ".." || strings.HasPrefix(joined, "../")
	if r.found != nil && (outside || !r.exists(joined)) {
		if known, ok := r.found(name); ok {
			return known, true
		}
	}
	return joined, !outside
}
