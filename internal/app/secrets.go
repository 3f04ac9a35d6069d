package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/secrets"
)

// secretKeys are what an installation opens encrypted files with.
func secretKeys(p install.Paths, s install.Settings) secrets.Keys {
	keys := secrets.Keys{}
	if readable(p.AgeKey) {
		keys.AgeFiles = append(keys.AgeFiles, p.AgeKey)
	}
	if s.Keys == nil {
		return keys
	}
	keys.AgeFiles = append(keys.AgeFiles, s.Keys.AgeFiles...)
	for _, k := range s.Keys.Services {
		keys.Services = append(keys.Services, secrets.Service{Kind: k.Kind, Allow: k.Allow, Credentials: k.Credentials})
	}
	return keys
}

// secretFiles opens the encrypted files of a release that is being upgraded.
type secretFiles struct {
	paths      install.Paths
	settings   install.Settings
	repository *repo.Repository
}

// open returns the values of a file, unless it carries the key of another that
// belongs to other releases: at the commit that is deployed, or on the branch
// of any environment.
func (s secretFiles) open(ctx context.Context, d model.Desired, name string, data []byte) (map[string]any, error) {
	fleet, err := s.repository.Fleet(ctx, d.Commit)
	if err != nil {
		return nil, err
	}
	files, err := s.files(ctx, fleet, d.Commit)
	if err != nil {
		return nil, err
	}
	var known []secrets.File
	var seen []string
	for _, e := range fleet.Environments {
		tip, err := s.repository.Head(ctx, e.Branch)
		if err != nil {
			return nil, err
		}
		if tip == "" || tip == d.Commit || slices.Contains(seen, tip) {
			continue
		}
		seen = append(seen, tip)
		there, err := s.repository.Fleet(ctx, tip)
		var wrong *config.Error
		if errors.As(err, &wrong) {
			continue // it says of no file whose it is
		}
		if err != nil {
			return nil, err
		}
		found, err := s.files(ctx, there, tip)
		if err != nil {
			return nil, err
		}
		known = append(known, found...)
	}
	for _, c := range secrets.Copies(files, known) {
		if c.File.Name == name {
			return nil, c.AsError()
		}
	}
	return secrets.Decrypt(name, data, secretKeys(s.paths, s.settings))
}

// files are the encrypted files of a commit, with the releases that use them.
func (s secretFiles) files(ctx context.Context, fleet *model.Fleet, commit string) ([]secrets.File, error) {
	tree, err := s.repository.FS(ctx, commit)
	if err != nil {
		return nil, err
	}
	owners := map[string][]string{}
	var all []string
	for _, e := range fleet.Environments {
		wanted, err := s.repository.Desired(ctx, fleet, e.Name)
		if err != nil {
			return nil, err
		}
		for _, d := range wanted {
			all = append(all, d.Target.Key())
			for _, name := range d.Secrets {
				owners[name] = append(owners[name], d.Target.Key())
			}
		}
	}
	var out []secrets.File
	for name, by := range owners {
		data, err := fs.ReadFile(tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s at %.12s: %w", name, commit, err)
		}
		out = append(out, secrets.NewFile(name, data, by, all))
	}
	return out, nil
}

func readable(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
