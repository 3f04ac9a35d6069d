package ship_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/hubship/hubship/internal/model"
)

// The registries: that of the installation, and those elsewhere.

func (w *world) Find(_ context.Context, _ fs.FS, src model.Source) (model.Built, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		return model.Built{}, false, fmt.Errorf("the registry %w", model.ErrUnknown)
	}
	b, ok := w.registry[src.Hash]
	b.Rebuilt = false
	return b, ok, nil
}

func (w *world) Exists(_ context.Context, b model.Built) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		return false, fmt.Errorf("the registry %w", model.ErrUnknown)
	}
	_, ok := w.registry[b.Source]
	return ok, nil
}

func (w *world) Build(_ context.Context, _ string, src model.Source, opts model.BuildOptions, log io.Writer) (model.Built, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if opts.Untrusted {
		w.untrusted = append(w.untrusted, src.Hash)
	}
	if b, ok := w.registry[src.Hash]; ok {
		b.Rebuilt = false
		return b, nil
	}
	fmt.Fprintln(log, "building")
	if w.failBuild {
		return model.Built{}, fmt.Errorf("RUN pip install: exit code 1: %w", model.ErrSource)
	}
	b := model.Built{ID: src.ID, Source: src.Hash, Key: src.Hash, Name: "r/user", Tag: "h-" + src.Hash[:8], Digest: "sha256:" + src.Hash, Rebuilt: true}
	w.registry[src.Hash] = b
	w.builds = append(w.builds, src.Hash)
	return b, nil
}

func (w *world) Digest(_ context.Context, ref string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch digest := w.elsewhere[ref]; digest {
	case "":
		return "", fmt.Errorf("image %s: quay.io does not have it: %w", ref, fs.ErrNotExist)
	case "?":
		return "", fmt.Errorf("image %s: quay.io %w", ref, model.ErrUnknown)
	default:
		return digest, nil
	}
}
