package ship_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/hubship/hubship/internal/model"
)

// The deployment repository: commits, and branches that are at them.

// commit adds a commit on a branch that changes some files.
func (w *world) commit(branch, subject string, files map[string]string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := commit{id: fmt.Sprintf("%040x", len(w.commits)+1), subject: subject, files: map[string]string{}}
	if parent := w.branches[branch]; parent != "" {
		c.parents = []string{parent}
		for k, v := range w.at(parent).files {
			c.files[k] = v
		}
	}
	for k, v := range files {
		c.files[k] = v
	}
	w.commits = append(w.commits, c)
	w.branches[branch] = c.id
	return c.id
}

func (w *world) at(id string) commit {
	for _, c := range w.commits {
		if c.id == id {
			return c
		}
	}
	return commit{}
}

func (w *world) Resolve(_ context.Context, rev string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id := w.branches[rev]; id != "" {
		return id, nil
	}
	if w.at(rev).id == "" {
		return "", fmt.Errorf("no commit %s", rev)
	}
	return rev, nil
}

func (w *world) Head(_ context.Context, branch string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.branches[branch], nil
}

func (w *world) Subject(_ context.Context, id string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at(id).subject, nil
}

func (w *world) IsAncestor(_ context.Context, old, new string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	todo := []string{new}
	for len(todo) > 0 {
		id := todo[0]
		todo = todo[1:]
		if id == old {
			return true, nil
		}
		todo = append(todo, w.at(id).parents...)
	}
	return false, nil
}

func (w *world) Log(ctx context.Context, base, head string) ([]string, error) {
	return []string{head[:7] + " " + w.at(head).subject}, nil
}

func (w *world) Changed(context.Context, string, string, string) ([]string, error) {
	return []string{"common"}, nil
}

// Now is the process, which is at staging's tip.
func (w *world) Now(context.Context) (model.Process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.process()
}

func (w *world) process() (model.Process, error) {
	p := model.Process{Branch: "staging", Commit: w.branches["staging"]}
	if p.Commit == "" || w.broken {
		return p, errors.New("the process branch staging is broken")
	}
	p.Environments, p.Clusters = w.environments, []string{"local"}
	return p, nil
}

// Cluster knows one cluster.
func (w *world) Cluster(_ context.Context, name string) (model.Cluster, error) {
	if name != "local" {
		return model.Cluster{}, model.ErrUnknownCluster
	}
	return model.Cluster{Name: name, Embedded: true}, nil
}

func (w *world) Fleet(_ context.Context, id string) (*model.Fleet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at(id).id == "" {
		return nil, fmt.Errorf("no commit %s", id)
	}
	p, err := w.process()
	if err != nil {
		return nil, err
	}
	f := &model.Fleet{
		Tests:  w.tests,
		Commit: id, Hubs: []model.Hub{{Name: "bio"}, {Name: "data"}},
		Images: []model.Image{{ID: "user", Name: "user", Repository: "user", Context: "image", Dockerfile: "image/Dockerfile", Values: "jupyterhub.singleuser.image"}},
	}
	if tests, ok := w.testsAt[id]; ok {
		f.Tests = tests
	}
	f.Under(p)
	return f, nil
}

func (w *world) Desired(_ context.Context, f *model.Fleet, env string) ([]model.Desired, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := w.at(f.Commit).files
	var out []model.Desired
	for _, hub := range f.Hubs {
		t, err := f.Target(hub.Name, env)
		if err != nil {
			return nil, err
		}
		src := model.Source{Image: f.Images[0], Hash: sum(files["image/requirements.txt"])}
		out = append(out, model.Desired{
			Target: t, Commit: f.Commit, Images: []model.Source{src},
			Shared: sum(files["common"], files["names/all"], files[hub.Name], src.Hash), Own: sum(files[env], files["names/"+env]),
		})
	}
	return out, nil
}

func (w *world) FS(_ context.Context, id string) (fs.FS, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tree := fstest.MapFS{}
	for name, text := range w.at(id).files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree, nil
}

func (w *world) Files(_ context.Context, id string) (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := map[string]string{}
	for name, text := range w.at(id).files {
		files[name] = sum(text)
	}
	return files, nil
}

// Checkout writes the whole tree, whatever part is asked for.
func (w *world) Checkout(_ context.Context, id, _, dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, text := range w.at(id).files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// merge merges a branch into another one.
func (w *world) merge(into, from string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := commit{id: fmt.Sprintf("%040x", len(w.commits)+1), subject: "Merge " + from, parents: []string{w.branches[into], w.branches[from]}, files: w.at(w.branches[from]).files}
	w.commits = append(w.commits, c)
	w.branches[into] = c.id
	return c.id
}
