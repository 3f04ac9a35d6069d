package planner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/secrets"
)

// copies reports encrypted files of the head that carry the key of another, on
// either side, that other releases use.
func (w *work) copies(ctx context.Context) error {
	same, err := w.sameSecrets(ctx)
	if err != nil || same {
		return err
	}
	var files [2][]secrets.File
	for n, s := range []*revision{&w.base, &w.head} {
		var err error
		if files[n], err = w.secretFiles(ctx, s); err != nil {
			return err
		}
	}
	before := map[string]bool{}
	for _, c := range secrets.Copies(files[0], nil) {
		before[c.Error()] = true
	}
	for _, c := range secrets.Copies(files[1], files[0]) {
		w.problem(plan.Problem{
			Severity: plan.Error, Check: check.CheckEncryption, File: c.File.Name, Message: c.Error(), Hint: c.Hint(),
			Releases: c.File.Owners, Preexisting: before[c.Error()],
		})
	}
	return nil
}

// sameSecrets says that both sides have the same encrypted files for the same
// releases: most changes touch none.
func (w *work) sameSecrets(ctx context.Context) (bool, error) {
	var sides [2]map[string]string
	for n, s := range []*revision{&w.base, &w.head} {
		owners, err := w.owners(ctx, s)
		if err != nil {
			return false, err
		}
		sides[n] = map[string]string{}
		for name, by := range owners {
			sides[n][name] = s.id(name) + " " + strings.Join(by, " ")
		}
	}
	return maps.Equal(sides[0], sides[1]), nil
}

// owners are the releases that use each encrypted file of a side, sorted.
func (w *work) owners(ctx context.Context, s *revision) (map[string][]string, error) {
	all, err := w.all(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	out := map[string][]string{}
	for _, key := range sortedKeys(all) {
		for _, name := range all[key].Secrets {
			out[name] = append(out[name], key)
		}
	}
	return out, nil
}

// secretFiles are the encrypted files of a side, with the releases that use
// them.
func (w *work) secretFiles(ctx context.Context, s *revision) ([]secrets.File, error) {
	owners, err := w.owners(ctx, s)
	if err != nil {
		return nil, err
	}
	releases, err := w.all(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	var out []secrets.File
	for _, name := range sortedKeys(owners) {
		data, err := readTree(s.tree, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil: // the check of the file says what is wrong with it
		default:
			out = append(out, secrets.NewFile(name, data, owners[name], sortedKeys(releases)))
		}
	}
	return out, nil
}

// all are the releases of a side, by their keys.
func (w *work) all(ctx context.Context, s *revision) (map[string]model.Desired, error) {
	if s.cfg == nil {
		return nil, nil
	}
	_, _, err := w.desired(ctx, s, plan.Release{})
	return s.desired, err
}
