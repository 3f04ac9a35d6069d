package buildkit

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/hubship/hubship/internal/model"
)

// buildGroup lets callers who want the same image at the same time share one
// build. The build reads its starter's context folder, so it ends with its
// starter: one of those who follow it then starts it again from a folder of
// its own, with the steps that were done in BuildKit's cache.
//
// Trusted and untrusted callers share an image, as they would a moment later
// by finding it in the registry: its name says that it comes of the same
// sources, and what an untrusted build is kept from can only make it fail.
// They do not share a failure, for that very reason: where one was refused
// something or lacked credentials, the other builds for itself.
type buildGroup struct {
	mu     sync.Mutex
	active map[string]*flight
}

type flight struct {
	log       fanOut
	done      chan struct{}
	built     model.Built
	err       error
	abandoned bool // the starter went away; err says nothing to the others
	untrusted bool
}

func (f *buildGroup) do(ctx context.Context, key string, untrusted bool, log io.Writer, build func(context.Context, io.Writer) (model.Built, error)) (model.Built, error) {
	for {
		fl, mine := f.join(key, untrusted, log)
		if mine {
			fl.built, fl.err = build(ctx, &fl.log)
			fl.abandoned = ctx.Err() != nil
			f.end(key, fl)
			return fl.built, fl.err
		}
		_, _ = io.WriteString(log, "the same image is already being built: following that build\n")
		select {
		case <-fl.done:
			fl.log.remove(log)
		case <-ctx.Done():
			fl.log.remove(log)
			return model.Built{}, context.Cause(ctx)
		}
		if !fl.abandoned && (fl.err == nil || fl.untrusted == untrusted) {
			return fl.built, fl.err
		}
	}
}

// join returns the build under way for the key, or a new one that the caller
// has to run.
func (f *buildGroup) join(key string, untrusted bool, log io.Writer) (fl *flight, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl, ok := f.active[key]
	if !ok {
		fl = &flight{done: make(chan struct{}), untrusted: untrusted}
		if f.active == nil {
			f.active = map[string]*flight{}
		}
		f.active[key] = fl
	}
	fl.log.add(log)
	return fl, !ok
}

func (f *buildGroup) end(key string, fl *flight) {
	f.mu.Lock()
	delete(f.active, key)
	f.mu.Unlock()
	close(fl.done)
}

// fanOut writes to whoever follows a build at the moment.
type fanOut struct {
	mu sync.Mutex
	to []io.Writer
}

// Write never fails: a follower that cannot be written to must not end the
// build.
func (w *fanOut) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, to := range w.to {
		_, _ = to.Write(p)
	}
	return len(p), nil
}

func (w *fanOut) add(to io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = append(w.to, to)
}

func (w *fanOut) remove(to io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = slices.DeleteFunc(w.to, func(o io.Writer) bool { return o == to })
}
