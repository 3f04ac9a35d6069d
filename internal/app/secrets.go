package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
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
	past       *pastSecrets
}

// pastSecrets keeps what was read of the versions that files had: they do not
// change any more.
type pastSecrets struct {
	mu   sync.Mutex
	read map[string]secrets.File // by name and blob, without owners
	// last is the answer to the last question: the releases of a run ask the
	// same.
	asked string
	last  []secrets.File
}

func newPastSecrets() *pastSecrets { return &pastSecrets{read: map[string]secrets.File{}} }

// open returns the values of a file, unless it carries the key of another that
// belongs to other releases: at the commit that is deployed, on the branch of
// any environment, or there at any time before.
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
	for _, f := range files {
		if f.Name != name {
			continue
		}
		versions, err := s.versions(ctx, append(seen, d.Commit), slices.Concat(files, known))
		if err != nil {
			return nil, err
		}
		if c, ok := f.From(versions); ok {
			return nil, c.AsError()
		}
	}
	return secrets.Decrypt(name, data, secretKeys(s.paths, s.settings))
}

// maxPast bounds how many commits are looked through for earlier versions.
const maxPast = 20_000

// versions are what the files were in the history of some commits, oldest
// first.
func (s secretFiles) versions(ctx context.Context, heads []string, files []secrets.File) ([]secrets.File, error) {
	owners := map[string]secrets.File{}
	var names []string
	for _, f := range files {
		if _, ok := owners[f.Name]; !ok {
			owners[f.Name] = f
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	asked := strings.Join(heads, " ")
	for _, name := range names {
		asked += "\x00" + name + "\x00" + strings.Join(owners[name].Owners, " ")
	}
	s.past.mu.Lock()
	defer s.past.mu.Unlock()
	if s.past.asked == asked {
		return s.past.last, nil
	}
	found, err := s.repository.Git().Versions(ctx, heads, names, maxPast)
	if err != nil {
		return nil, err
	}
	var out []secrets.File
	for _, e := range found {
		if e.Mode != git.ModeFile && e.Mode != git.ModeExecutable {
			continue // what a link leads to has a name of its own
		}
		f, ok := s.past.read[e.Path+" "+e.ID]
		if !ok {
			data, err := s.repository.Git().Blob(ctx, e.ID)
			switch {
			case err == nil:
				f = secrets.NewFile(e.Path, data, nil, nil)
			case !errors.Is(err, git.ErrTooLarge): // such a file holds no secrets
				return nil, fmt.Errorf("read an earlier version of %s: %w", e.Path, err)
			}
			s.past.read[e.Path+" "+e.ID] = f
		}
		f.Name, f.Owners = e.Path, owners[e.Path].Owners
		out = append(out, f)
	}
	s.past.asked, s.past.last = asked, out
	return out, nil
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
