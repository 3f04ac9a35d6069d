package buildkit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/tonistiigi/fsutil"

	"github.com/hubship/hubship/internal/model"
)

// maxBuildFile bounds what is read as a build file.
const maxBuildFile = 1 << 20

// BuildFile is where Build reads the build file of the source when its context
// is in dir. A file within the context is found there. One outside of it has to
// be written, by the caller, beside dir: to dir with ".Dockerfile" appended.
func BuildFile(dir string, src model.Source) string {
	context := path.Clean(src.Context)
	if context == "." {
		return filepath.Join(dir, filepath.FromSlash(path.Clean(src.Dockerfile)))
	}
	if rel, ok := strings.CutPrefix(path.Clean(src.Dockerfile), context+"/"); ok {
		return filepath.Join(dir, filepath.FromSlash(rel))
	}
	return filepath.Clean(dir) + ".Dockerfile"
}

// readBuildFile reads the build file; one within dir is not followed out of it.
func readBuildFile(dir, file string) ([]byte, error) {
	root, rel := filepath.Split(file)
	if inside, err := filepath.Rel(dir, file); err == nil && filepath.IsLocal(inside) {
		root, rel = dir, inside
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open build context: %w", err)
	}
	defer r.Close()
	f, err := r.Open(rel)
	if err != nil {
		hint := "add the build file to the context, or correct `dockerfile` of the image in hubship.yaml"
		return nil, model.WithHint(fmt.Errorf("open build file: %w", err), hint)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBuildFile+1))
	if err != nil {
		return nil, fmt.Errorf("read build file: %w", err)
	}
	if len(data) > maxBuildFile {
		return nil, errors.New("read build file: it is larger than 1 MiB")
	}
	return data, nil
}

// locals are the folders that BuildKit may read, named as the Dockerfile
// frontend asks for them. Symbolic links in them are sent as links: they are
// followed where the build runs, never on this machine.
func locals(dir, file string) (map[string]fsutil.FS, error) {
	context, err := fsutil.NewFS(dir)
	if err != nil {
		return nil, fmt.Errorf("open build context: %w", err)
	}
	folder, err := fsutil.NewFS(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("open folder of build file: %w", err)
	}
	// Beside the build file may lie what does not belong to this image: only
	// what does is shown.
	name := filepath.Base(file)
	only, err := fsutil.NewFilterFS(folder, &fsutil.FilterOpt{
		IncludePatterns: []string{name, name + ".dockerignore"},
	})
	if err != nil {
		return nil, fmt.Errorf("open build file: %w", err)
	}
	return map[string]fsutil.FS{"context": context, "dockerfile": only}, nil
}

// cutRepository takes the registry's address off an image's full name.
func cutRepository(name, registry string) (string, bool) {
	return strings.CutPrefix(name, registry+"/")
}
