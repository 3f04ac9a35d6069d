package planner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/secrets"
)

// maxFile bounds a values file, in bytes. What is larger is a problem.
const maxFile = 10 << 20

// parsed is a values file as it was read. The values are shared: nobody
// changes them.
type parsed struct {
	values map[string]any
	err    error
}

// sealed is an encrypted file, as far as it can be read without a key.
type sealed struct {
	placeholders map[string]any // in the place of its values
	opaque       bool           // not even the names of its values can be read
	err          error          // it cannot be read at all
}

// gitCrypt is what a file begins with that git-crypt encrypted as a whole.
const gitCrypt = "\x00GITCRYPT\x00"

// readTree reads a file of a tree within the bound.
func readTree(t *git.Tree, name string) ([]byte, error) {
	f := t.FS()
	info, err := fs.Stat(f, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes; the limit is %d", name, info.Size(), int64(maxFile))
	}
	return fs.ReadFile(f, name)
}

// id returns the object id of what a path leads to, or "".
func (s *revision) id(name string) string {
	e, err := s.tree.Resolve(name)
	if err != nil {
		return ""
	}
	return e.ID
}

// file reads a values file once for all commits that have it.
func (w *work) file(s *revision, name string) *parsed {
	id := s.id(name)
	if p, ok := w.values.Get(id); ok && id != "" {
		return p
	}
	p := &parsed{}
	data, err := readTree(s.tree, name)
	if err == nil {
		p.values, err = release.ParseValues(data)
	}
	p.err = err
	if id != "" {
		w.values.Add(id, p)
	}
	return p
}

// encrypted reads a file of secrets once, and stands in for its values.
func (w *work) encrypted(s *revision, name string) *sealed {
	id := s.id(name)
	if o, ok := w.secret.Get(id); ok && id != "" {
		return o
	}
	o := &sealed{}
	data, err := readTree(s.tree, name)
	o.opaque = bytes.HasPrefix(data, []byte(gitCrypt))
	if err == nil && !o.opaque {
		o.placeholders, err = secrets.Placeholders(name, data)
	}
	switch {
	case err != nil:
		o.err = err
	case o.opaque:
		o.placeholders = map[string]any{}
	}
	if id != "" {
		w.secret.Add(id, o)
	}
	return o
}

// clear is what a release is set to in the clear: the chart's own values, its
// files, and its images.
func (w *work) clear(s *revision, d model.Desired) (map[string]any, error) {
	values := map[string]any{}
	for _, name := range append([]string{path.Join(d.Chart, "values.yaml")}, d.Values...) {
		p := w.file(s, name)
		if errors.Is(p.err, fs.ErrNotExist) {
			continue
		}
		if p.err != nil {
			return nil, p.err
		}
		values = release.Merge(values, p.values)
	}
	return values, w.setImages(s, values, d)
}

// setImages puts the images of a release into its values. One that is built
// from the repository has a tag only once it is: until then its inputs stand
// for it.
func (w *work) setImages(s *revision, values map[string]any, d model.Desired) error {
	for _, p := range d.Pinned {
		if err := release.SetPinned(values, p); err != nil {
			return err
		}
	}
	for _, i := range d.Images {
		if i.Values == "" {
			continue
		}
		if err := release.SetImage(values, i.Values, i.Image.Repository, imageTag(i)); err != nil {
			return err
		}
	}
	return nil
}

// imageTag stands for the tag of an image that is built from the repository.
func imageTag(s model.Source) string { return "inputs-" + s.Hash[:min(len(s.Hash), 12)] }

// desired returns a release as a side wants it.
func (w *work) desired(ctx context.Context, s *revision, r plan.Release) (model.Desired, bool, error) {
	if s.cfg == nil {
		return model.Desired{}, false, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.desired == nil {
		s.desired = map[string]model.Desired{}
		for _, e := range s.cfg.Fleet.Environments {
			all, err := w.o.Repository.Desired(ctx, s.cfg.Fleet, e.Name)
			if err != nil {
				s.desired = nil
				return model.Desired{}, false, err
			}
			for _, d := range all {
				s.desired[d.Target.Key()] = d
			}
		}
	}
	d, ok := s.desired[r.Key()]
	return d, ok, nil
}

// settings fills in what each release is set to otherwise than before.
func (w *work) settings(ctx context.Context) error {
	for i := range w.plan.Releases {
		r := &w.plan.Releases[i]
		if r.Change != plan.Changed || r.Unrendered != "" {
			continue
		}
		var sides [2]map[string]any
		for n, s := range []*revision{&w.base, &w.head} {
			d, ok, err := w.desired(ctx, s, *r)
			if err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			if !ok || d.Invalid != "" {
				break
			}
			if sides[n], err = w.clear(s, d); err != nil {
				break // the check of the file says what is wrong with it
			}
		}
		if sides[0] != nil && sides[1] != nil {
			r.Values = append(r.Values, release.CompareValues(sides[0], sides[1])...)
			w.references(r, sides[0], sides[1])
		}
		if err := w.sealedSettings(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// sealedSettings names the encrypted values that differ, by what they are
// encrypted to: SOPS leaves the others as they were.
func (w *work) sealedSettings(ctx context.Context, r *plan.Release) error {
	var sides [2]map[string]any
	for n, s := range []*revision{&w.base, &w.head} {
		d, ok, err := w.desired(ctx, s, *r)
		if err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		if !ok {
			return nil
		}
		sides[n] = map[string]any{}
		for _, name := range d.Secrets {
			if o := w.encrypted(s, name); o.err == nil {
				sides[n] = release.Merge(sides[n], o.placeholders)
			}
		}
	}
	for _, f := range release.CompareValues(sides[0], sides[1]) {
		r.Values = append(r.Values, plan.Field{Path: f.Path, Masked: true, Sealed: true})
	}
	return nil
}
