package ready

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/model"
)

// gathering bounds how long a failed wait may take to collect its details.
const gathering = 20 * time.Second

// Wait waits until all objects have reached the goal. It ends with an *Error
// when one of them cannot reach it any more, when the timeout has passed or
// when the context ends. Failures to ask the API server are tolerated until
// then.
func (w *Watcher) Wait(ctx context.Context, refs []Ref, goal Goal, timeout time.Duration) error {
	started := time.Now()
	w.mu.Lock()
	w.started = started
	w.mu.Unlock()
	if goal == Ready {
		refs = relevant(refs)
	}
	open := refs
	explained := started // the first moments explain nothing yet
	steady := newSteadiness()
	unanswered := false
	for {
		states, err := w.lookAll(ctx, open, goal)
		if ctx.Err() != nil {
			return w.interrupted(states, context.Cause(ctx))
		}
		if goal == Ready {
			steady.judge(states)
		}
		if err != nil && !unanswered {
			unanswered = true
			w.opts.Log(model.LevelWarn, w.opts.Redact.Text(oneLine("the cluster does not answer; still asking: "+err.Error())))
		}
		waiting := notDone(states)
		if err == nil && (len(waiting) == 0 || goal == Ready && w.onlyUnclaimed(ctx, waiting)) {
			if len(open) == len(refs) {
				return nil
			}
			// Something that was ready early may have changed since.
			open = refs
			continue
		}
		if goal != Gone && time.Since(explained) >= time.Second {
			explained = time.Now()
			if failure := w.report(ctx, waiting); failure != nil {
				return failure
			}
		}
		if time.Since(started) >= timeout {
			return w.expired(ctx, waiting, timeout)
		}
		open = open[:0:0]
		for _, s := range waiting {
			open = append(open, s.ref)
		}
		select {
		case <-ctx.Done():
			return w.interrupted(waiting, context.Cause(ctx))
		case <-time.After(min(interval(time.Since(started)), max(timeout-time.Since(started), 0))):
		}
	}
}

// interval asks often at first, where most waits end.
func interval(waited time.Duration) time.Duration {
	switch {
	case waited < 15*time.Second:
		return 200 * time.Millisecond
	case waited < time.Minute:
		return 500 * time.Millisecond
	default:
		return time.Second
	}
}

// report logs what has changed, and returns an error when an object cannot
// become ready.
func (w *Watcher) report(ctx context.Context, waiting []state) error {
	now := time.Now()
	var fatal []explanation
	for _, s := range waiting {
		e := w.explain(ctx, s)
		if w.said[s.ref] != e.line {
			w.said[s.ref] = e.line
			w.opts.Log(model.LevelInfo, w.opts.Redact.Text("waiting for "+e.line))
		}
		if s.failed {
			fatal = append(fatal, e)
		} else if p, ok := w.hopeless(e.problems, now); ok {
			e.line = s.ref.String() + ": " + p.text
			fatal = append(fatal, e)
		}
	}
	for _, ref := range w.opts.Companions {
		s, err := w.look(ctx, ref, Ready)
		if err != nil || s.done {
			continue
		}
		e := w.explain(ctx, s)
		if p, ok := w.hopeless(e.problems, now); ok {
			e.line = ref.String() + ": " + p.text
			fatal = append(fatal, e)
			waiting = append(waiting, s)
		}
	}
	if len(fatal) == 0 || ctx.Err() != nil {
		return nil
	}
	return w.failure(ctx, fatal[0].line, waiting, nil)
}

// hopeless returns the first problem that has lasted longer than it may.
func (w *Watcher) hopeless(problems []problem, now time.Time) (problem, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range problems {
		if !p.fatal {
			continue
		}
		first, ok := w.first[p.key]
		if !ok {
			first = now
			w.first[p.key] = now
		}
		if now.Sub(first) >= p.grace {
			return p, true
		}
	}
	return problem{}, false
}

func (w *Watcher) expired(ctx context.Context, waiting []state, timeout time.Duration) error {
	reason := fmt.Sprintf("not ready after %s", timeout.Round(time.Second))
	if len(waiting) > 0 {
		reason += ": " + w.explain(ctx, waiting[0]).line
	}
	if len(waiting) > 1 {
		reason += fmt.Sprintf(" (and %d more)", len(waiting)-1)
	}
	return w.failure(ctx, reason, waiting, nil)
}

func (w *Watcher) interrupted(waiting []state, cause error) error {
	names := make([]string, 0, len(waiting))
	for _, s := range waiting {
		names = append(names, s.ref.String())
	}
	return &Error{
		Reason:  w.opts.Redact.Text(fmt.Sprintf("stopped waiting for %s: %v", strings.Join(names, ", "), cause)),
		Waiting: names,
		Err:     cause,
	}
}

func (w *Watcher) failure(ctx context.Context, reason string, waiting []state, err error) error {
	ctx, cancel := context.WithTimeout(ctx, gathering)
	defer cancel()
	out := &Error{Reason: w.opts.Redact.Text(oneLine(reason)), Err: err}
	var details strings.Builder
	for i, s := range waiting {
		out.Waiting = append(out.Waiting, w.opts.Redact.Text(w.explain(ctx, s).line))
		if i < maxDetailed {
			w.detail(ctx, &details, s)
		}
	}
	out.Details = w.opts.Redact.Text(details.String())
	return out
}

// onlyUnclaimed says that all that is open are claims that bind when a pod
// first uses them, which no pod of this release does yet: waiting for them
// would never end.
func (w *Watcher) onlyUnclaimed(ctx context.Context, open []state) bool {
	if len(open) == 0 {
		return true
	}
	for _, s := range open {
		if s.ref.GVK.Kind != "PersistentVolumeClaim" || s.object == nil {
			return false
		}
		phase, _, _ := unstructured.NestedString(s.object.Object, "status", "phase")
		class, _, _ := unstructured.NestedString(s.object.Object, "spec", "storageClassName")
		if phase != "Pending" || class == "" {
			return false
		}
		sc, err := w.opts.Client.StorageV1().StorageClasses().Get(ctx, class, metav1.GetOptions{})
		if err != nil || sc.VolumeBindingMode == nil || *sc.VolumeBindingMode != "WaitForFirstConsumer" {
			return false
		}
	}
	return true
}
