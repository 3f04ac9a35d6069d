// Package bootstrap gives an installation its deployment repository, and a person a
// folder to start one from: the starter, with newly generated secrets.
package bootstrap

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

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/secrets"
	"github.com/hubship/hubship/starter"
)

// Open opens hubship's copy of the forge's deployment repository, and creates an
// empty one if it does not exist. The caller closes it.
func Open(ctx context.Context, p install.Paths, s install.Settings) (*git.Repo, error) {
	if err := findCopy(p, s); err != nil {
		return nil, model.WithHint(fmt.Errorf("find the copy of the deployment repository: %w", err), "check that the data directory is writable and has room")
	}
	return bare(ctx, p.Repository)
}

// findCopy makes the copy that is missing from what there is on this machine. Runs
// that an earlier process left are taken up before anything can be fetched, and
// need what they are about. Older versions kept the copy of GitHub's repository
// where the embedded forge has its own, and had none of the latter.
func findCopy(p install.Paths, s install.Settings) error {
	if _, err := os.Stat(filepath.Join(p.Repository, "HEAD")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.ForgeRepository, "HEAD")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := os.RemoveAll(p.Repository); err != nil {
		return err
	}
	if s.GitHub != nil {
		return os.Rename(p.ForgeRepository, p.Repository)
	}
	// The forge is not open yet: nobody writes to its repository.
	begun := p.Repository + ".new"
	if err := errors.Join(os.RemoveAll(begun), os.Mkdir(begun, 0o700)); err != nil {
		return err
	}
	if err := os.CopyFS(begun, os.DirFS(p.ForgeRepository)); err != nil {
		return err
	}
	return os.Rename(begun, p.Repository)
}

// unborn is what HEAD names until the process branch is known: a branch that no
// forge can have, so that no process holds.
const unborn = "unborn/hubship-process"

// bare opens a bare repository, which is made empty where there is none.
func bare(ctx context.Context, dir string) (*git.Repo, error) {
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			return nil, fmt.Errorf("create the folder for repositories: %w", err)
		}
		r, err := git.Init(ctx, dir, git.InitOptions{Bare: true, DefaultBranch: unborn})
		if err != nil {
			return nil, fmt.Errorf("create the deployment repository: %w", err)
		}
		return r, nil
	}
	r, err := git.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the deployment repository: %w", err)
	}
	return r, nil
}

// WithStarter opens the deployment repository of the embedded forge. If there is
// none, it creates one from the starter, with secrets that only this installation's
// key opens. It leaves an existing repository alone, and finishes what a killed
// process began. The caller closes it.
func WithStarter(ctx context.Context, p install.Paths) (*git.Repo, error) {
	repo, err := bare(ctx, p.ForgeRepository)
	if err != nil {
		return nil, err
	}
	branches, err := repo.Branches(ctx)
	if err != nil {
		return nil, err
	}
	process, err := config.ReadProcess(starter.Files(), "")
	if err != nil {
		return nil, fmt.Errorf("read the starter: %w", err)
	}
	// The first environment's branch is written last, so that its presence
	// says that all is there. It is where the process is.
	first := process.Environments[0].Branch
	if len(branches) > 0 {
		if head, err := repo.DefaultBranch(ctx); err != nil || branches[head] != "" {
			return repo, err
		}
	}
	files, modes, err := starterFiles(p.AgeKey, p.Password)
	if err != nil {
		return nil, err
	}
	commit := ""
	for _, env := range slices.Backward(process.Environments) {
		switch {
		case branches[env.Branch] != "":
			commit = branches[env.Branch]
			continue
		case commit == "":
			commit, err = repo.CommitFiles(ctx, env.Branch, "", files, modes, "Start from the starter repository\n", git.Hubship)
		case env.Branch == first:
			if err = repo.SetDefaultBranch(ctx, first); err == nil {
				err = repo.SetBranch(ctx, first, commit, "")
			}
		default:
			err = repo.SetBranch(ctx, env.Branch, commit, "")
		}
		if err != nil {
			return nil, fmt.Errorf("create the starter repository: %w", err)
		}
	}
	return repo, nil
}

// Write writes the starter repository to a folder that is empty or does not exist;
// any other folder is a usage error. Its secrets are encrypted for the age identity
// in keyFile, and the hubs' password is the one in passwordFile. Both files are
// created if they do not exist.
func Write(dir, keyFile, passwordFile string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("inspect %s: %w", dir, err)
	}
	if len(entries) > 0 {
		return model.Usage(fmt.Errorf("%s is not empty", dir), "name a new or empty folder")
	}
	files, modes, err := starterFiles(keyFile, passwordFile)
	if err != nil {
		return err
	}
	for name, data := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("write the starter repository: %w", err)
		}
		mode := modes[name].Perm()
		if mode == 0 {
			mode = 0o644
		}
		if err := os.WriteFile(file, data, mode); err != nil {
			return fmt.Errorf("write the starter repository: %w", err)
		}
	}
	return nil
}

// starterFiles returns the starter's files with encrypted secrets for every
// release, and .sops.yaml for people who edit them.
func starterFiles(keyFile, passwordFile string) (map[string][]byte, map[string]fs.FileMode, error) {
	recipient, err := secrets.NewKey(keyFile)
	if err != nil {
		return nil, nil, err
	}
	password, err := install.EnsurePassword(passwordFile)
	if err != nil {
		return nil, nil, err
	}
	files, modes := map[string][]byte{}, map[string]fs.FileMode{}
	src := starter.Files()
	err = fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(src, name)
		if err != nil {
			return err
		}
		files[name] = data
		if bytes.HasPrefix(data, []byte("#!")) {
			modes[name] = 0o755
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the starter: %w", err)
	}
	fleet, err := config.Load(src, "")
	if err != nil {
		return nil, nil, fmt.Errorf("read the starter: %w", err)
	}
	for _, hub := range fleet.Hubs {
		for _, env := range fleet.Environments {
			plain := "jupyterhub:\n  hub:\n    config:\n      DummyAuthenticator:\n        password: " + password + "\n"
			sealed, err := secrets.Encrypt([]byte(plain), []string{recipient})
			if err != nil {
				return nil, nil, fmt.Errorf("encrypt the secrets of %s in %s: %w", hub.Name, env.Name, err)
			}
			files[path.Join(hub.Path, "secrets", env.Name+".yaml")] = sealed
		}
	}
	files[".sops.yaml"] = []byte("# Who can read the files below secrets/: the holders of these age keys.\ncreation_rules:\n  - path_regex: /secrets/.*\\.yaml$\n    age: " + recipient + "\n")
	return files, modes, nil
}
