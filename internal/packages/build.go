package packages

import (
	"io/fs"
	"maps"
	"path"
	"strings"
)

// build follows the files of one image: what its instructions copy, set and
// run.
type build struct {
	*reader
	context string            // the folder that is sent to the build
	vars    map[string]string // of ENV and ARG, as far as they are known
	workdir string
	copied  []copied
	depth   int // of scripts that run scripts
	steps   int // commands of shells followed
	rSteps  int // expressions of R followed
	sourced int // scripts that R scripts include
}

// copied is a file or folder of the tree, and where the image has it.
type copied struct {
	from, to string
	dir      bool
}

// inline is where the lines of a file stand within another one.
type inline struct {
	data []byte
	file string
	line int // of what precedes its first line
}

const (
	maxDepth  = 10
	maxCopied = 2000
)

func newBuild(tree fs.FS, context string) *build {
	b := &build{reader: newReader(tree), context: context, vars: map[string]string{}, workdir: "/"}
	b.reader.found = b.found
	return b
}

// found returns the file of the tree that the build knows by this name: where
// it was copied to, or else, as the name may depend on what is not known, the
// file in the context that has the most of its path.
func (b *build) found(name string) (string, bool) {
	const most = 30 // folders in a path
	if len(name) > 4096 || strings.Count(name, "/") > most {
		return "", false
	}
	if name == "" || strings.HasSuffix(name, "/") || strings.Contains(name, "://") {
		return "", false
	}
	abs := name
	if !path.IsAbs(name) {
		abs = path.Join(b.workdir, name)
	}
	abs = path.Clean(abs)
	for i := len(b.copied) - 1; i >= 0; i-- {
		c := b.copied[i]
		if !c.dir && c.to == abs {
			return c.from, true
		}
		if rest, ok := strings.CutPrefix(abs, strings.TrimSuffix(c.to, "/")+"/"); c.dir && ok {
			if in := path.Join(c.from, rest); b.exists(in) {
				return in, true
			}
		}
	}
	parts := strings.Split(strings.TrimPrefix(path.Clean(name), "/"), "/")
	for i := range parts {
		tail := path.Join(parts[i:]...)
		if tail == "." || strings.HasPrefix(tail, "..") {
			continue
		}
		if in := path.Join(b.context, tail); b.exists(in) {
			return in, true
		}
	}
	return "", false
}

// program returns the script of the tree that a command runs by its name.
func (b *build) program(name string) (string, bool) {
	if strings.Contains(name, "/") {
		return b.found(name)
	}
	for i := len(b.copied) - 1; i >= 0; i-- {
		if c := b.copied[i]; !c.dir && path.Base(c.to) == name {
			return c.from, true
		}
	}
	return "", false
}

// copyTo records COPY, ADD and bind mounts.
func (b *build) copyTo(sources []string, to string) {
	folder := strings.HasSuffix(to, "/") || to == "." || len(sources) > 1
	if !path.IsAbs(to) {
		to = path.Join(b.workdir, to)
	}
	to = path.Clean(to)
	for _, source := range sources {
		for _, from := range b.sources(source) {
			if len(b.copied) >= maxCopied {
				return
			}
			if !b.exists(from) {
				b.copied = append(b.copied, copied{from: from, to: to, dir: true})
				continue
			}
			b.copied = append(b.copied, copied{from: from, to: path.Join(to, path.Base(from))})
			if !folder {
				b.copied = append(b.copied, copied{from: from, to: to})
			}
		}
	}
}

// sources are the paths in the tree that a source of COPY names.
func (b *build) sources(source string) []string {
	if strings.Contains(source, "://") {
		return nil
	}
	source = path.Join(b.context, path.Join("/", source))
	if !strings.ContainsAny(source, "*?[") {
		if name, err := resolve(b.tree, source); err == nil {
			if _, err := fs.Stat(b.tree, name); err == nil {
				return []string{source}
			}
		}
		return nil
	}
	const cost = 50 // in commands: a folder is listed, or many
	if b.steps += cost; b.steps > maxSteps {
		return nil
	}
	names, err := fs.Glob(b.tree, source)
	if err != nil {
		return nil
	}
	return names
}

// hold makes text that stands within a file readable as a file of its own.
// It returns its name.
func (b *build) hold(name string, in inline) string {
	key := path.Join(b.context, "\x00"+in.file, name)
	b.inline[key] = in
	return key
}

// settle gives what was read within other files the place in those.
func (b *build) settle() {
	for i, p := range b.packages {
		if in, ok := b.inline[p.File]; ok {
			b.packages[i].File, b.packages[i].Line = in.file, p.Line+in.line
		}
	}
	for i, p := range b.problems {
		if in, ok := b.inline[p.File]; ok {
			b.problems[i].File, b.problems[i].Line = in.file, p.Line+in.line
		}
	}
}

// saved returns what puts variables, folder and scope back as they are now.
func (b *build) saved() func() {
	vars, workdir, scope := maps.Clone(b.vars), b.workdir, b.scope
	return func() { b.vars, b.workdir, b.scope = vars, workdir, scope }
}
