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

// files are where a source lies on disk.
type files struct {
	context string // folder
	file    string // build file
}

func filesOf(dir string, src model.Source) files {
	at := func(p string) string { return filepath.Join(dir, filepath.FromSlash(path.Clean(p))) }
	return files{context: at(src.Context), file: at(src.Dockerfile)}
}

// readBuildFile reads the build file. A symbolic link is not followed out of
// dir.
func readBuildFile(dir string, src model.Source) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open build folder: %w", err)
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(path.Clean(src.Dockerfile)))
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("open build file: %w", err),
			"commit the build file, or fix the image's `dockerfile` in hubship.yaml")
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
func locals(at files) (map[string]fsutil.FS, error) {
	context, err := fsutil.NewFS(at.context)
	if err != nil {
		return nil, fmt.Errorf("open build context: %w", err)
	}
	folder, err := fsutil.NewFS(filepath.Dir(at.file))
	if err != nil {
		return nil, fmt.Errorf("open folder of build file: %w", err)
	}
	// Beside the build file may lie what does not belong to this image: only
	// what does is shown.
	name := filepath.Base(at.file)
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
