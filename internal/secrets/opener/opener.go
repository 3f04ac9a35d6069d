// Package opener opens the encrypted files of a release that is being upgraded,
// and of no other: a file with the key of another release's secrets stays closed,
// whoever may write it.
package opener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/secrets"
)

// Options say what an Opener works with.
type Options struct {
	Repository *repo.Repository
	// Keys returns what files are opened with. It is asked each time: a key may
	// come later than the server.
	Keys func() secrets.Keys
}

// Opener opens the encrypted files of releases. It is safe for concurrent use,
// and keeps what it read of the past: that does not change any more.
type Opener struct {
	repository *repo.Repository
	keys       func() secrets.Keys

	mu   sync.Mutex              // guards all below
	read map[string]secrets.File // versions of files by name and blob, without owners
	// last is the answer to the last question: the releases of a run ask the
	// same.
	asked string
	last  []secrets.File
}

// New returns an opener. It reads nothing yet.
func New(o Options) *Opener {
	return &Opener{repository: o.Repository, keys: o.Keys, read: map[string]secrets.File{}}
}

// Open returns the values of a release's file, unless it carries the key of another
// that belongs to other releases: at the commit that is deployed, on the branch of
// any environment, or there at any time before. The error is then a secrets.Copy.
// What cannot be read could be anybody's, and opens nothing. No error quotes a
// value.
func (o *Opener) Open(ctx context.Context, d model.Desired, name string, data []byte) (map[string]any, error) {
	fleet, err := o.repository.Fleet(ctx, d.Commit)
	if err != nil {
		return nil, err
	}
	files, err := o.files(ctx, fleet, d.Commit)
	if err != nil {
		return nil, err
	}
	var known []secrets.File
	var seen []string
	for _, e := range fleet.Environments {
		tip, err := o.repository.Head(ctx, e.Branch)
		if err != nil {
			return nil, err
		}
		if tip == "" || tip == d.Commit || slices.Contains(seen, tip) {
			continue
		}
		seen = append(seen, tip)
		there, err := o.repository.Fleet(ctx, tip)
		var wrong *config.Error
		if errors.As(err, &wrong) {
			continue // it says of no file whose it is
		}
		if err != nil {
			return nil, err
		}
		found, err := o.files(ctx, there, tip)
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
		versions, err := o.versions(ctx, append(seen, d.Commit), slices.Concat(files, known))
		if err != nil {
			return nil, err
		}
		if c, ok := f.From(versions); ok {
			return nil, c.AsError()
		}
	}
	return secrets.Decrypt(name, data, o.keys())
}

// maxPast bounds how many commits are looked through for earlier versions.
const maxPast = 20_000

// versions are what the files were in the history of some commits, oldest
// first.
func (o *Opener) versions(ctx context.Context, heads []string, files []secrets.File) ([]secrets.File, error) {
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
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asked == asked {
		return o.last, nil
	}
	found, err := o.repository.Git().Versions(ctx, heads, names, maxPast)
	if err != nil {
		return nil, err
	}
	var out []secrets.File
	for _, e := range found {
		if e.Mode != git.ModeFile && e.Mode != git.ModeExecutable {
			continue // what a link leads to has a name of its own
		}
		f, ok := o.read[e.Path+" "+e.ID]
		if !ok {
			data, err := o.repository.Git().Blob(ctx, e.ID)
			switch {
			case err == nil:
				f = secrets.NewFile(e.Path, data, nil, nil)
			case !errors.Is(err, git.ErrTooLarge): // such a file holds no secrets
				return nil, fmt.Errorf("read an earlier version of %s: %w", e.Path, err)
			}
			o.read[e.Path+" "+e.ID] = f
		}
		f.Name, f.Owners = e.Path, owners[e.Path].Owners
		out = append(out, f)
	}
	o.asked, o.last = asked, out
	return out, nil
}

// files are the encrypted files of a commit, with the releases that use them.
func (o *Opener) files(ctx context.Context, fleet *model.Fleet, commit string) ([]secrets.File, error) {
	tree, err := o.repository.FS(ctx, commit)
	if err != nil {
		return nil, err
	}
	owners := map[string][]string{}
	var all []string
	for _, e := range fleet.Environments {
		wanted, err := o.repository.Desired(ctx, fleet, e.Name)
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
