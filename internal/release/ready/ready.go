// Package ready waits until the objects of a release are ready, and says what
// it waits for and why in words: the condition, the container's state, the
// newest events. It ends early where waiting cannot help.
package ready

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// Ref names one object in a cluster.
type Ref struct {
	GVK       schema.GroupVersionKind
	Namespace string // empty for objects without one
	Name      string
}

// String is "Deployment hub".
func (r Ref) String() string { return r.GVK.Kind + " " + r.Name }

// Limits say how long a state that seldom mends itself is tolerated. Zero
// fields mean the defaults.
type Limits struct {
	Pull          time.Duration // an image that cannot be pulled for another reason than that it is not there; 0 means 60 s
	Crash         time.Duration // a container that crashes again and again; 0 means 60 s
	Restarts      int           // or that has crashed so often since the wait began; 0 means 3
	Config        time.Duration // a container that cannot be created; 0 means 15 s
	Unschedulable time.Duration // a pod that fits on no node; 0 means 2 min
	Create        time.Duration // a controller that may not create pods, or an object that is gone; 0 means 30 s
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&l.Pull, time.Minute)
	set(&l.Crash, time.Minute)
	set(&l.Config, 15*time.Second)
	set(&l.Unschedulable, 2*time.Minute)
	set(&l.Create, 30*time.Second)
	if l.Restarts == 0 {
		l.Restarts = 3
	}
	return l
}

// Options of a Watcher.
type Options struct {
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	Mapper  meta.RESTMapper
	Log     func(level model.Level, text string) // may be nil
	Redact  *release.Redactor                    // may be nil
	Limits  Limits
	// Companions are watched for states that cannot mend, and explained, but
	// need not become ready: the image puller beside the job that waits for
	// it.
	Companions []Ref
}

// Watcher waits for objects. It belongs to one wait at a time.
type Watcher struct {
	opts Options

	mu       sync.Mutex
	started  time.Time            // of the wait
	first    map[string]time.Time // when a problem was first seen
	restarts map[string]int32     // of a container when it was first seen
	said     map[Ref]string
}

// NewWatcher returns a watcher.
func NewWatcher(o Options) *Watcher {
	o.Limits = o.Limits.withDefaults()
	if o.Log == nil {
		o.Log = func(model.Level, string) {}
	}
	return &Watcher{opts: o, first: map[string]time.Time{}, restarts: map[string]int32{}, said: map[Ref]string{}}
}

// Error is a wait that ended without everything being ready.
type Error struct {
	Reason  string   // one line: what was not ready, and why
	Waiting []string // every object that was not ready, with why, one line each
	Details string   // conditions, events and last log lines of these objects
	Err     error    // context error, if that ended the wait
}

func (e *Error) Error() string { return e.Reason }

// Unwrap returns the context's error, if that ended the wait.
func (e *Error) Unwrap() error { return e.Err }

// Goal is what a wait waits for.
type Goal int

// The goals.
const (
	Ready     Goal = iota // objects answer; a Job has started
	Completed             // Jobs and Pods have ended well; other objects exist
	Gone                  // objects do not exist any more
)

// settled are kinds that are as good as they get once they exist. Asking after
// each of them would cost a request for nothing.
var settled = map[string]bool{
	"ConfigMap": true, "Secret": true, "ServiceAccount": true, "Role": true, "RoleBinding": true,
	"ClusterRole": true, "ClusterRoleBinding": true, "NetworkPolicy": true, "PriorityClass": true,
	"StorageClass": true, "PodDisruptionBudget": true, "CronJob": true, "LimitRange": true,
	"ResourceQuota": true, "IngressClass": true, "RuntimeClass": true, "PersistentVolume": true,
	"MutatingWebhookConfiguration": true, "ValidatingWebhookConfiguration": true,
}

// Relevant says whether an object of the kind can be other than ready.
func Relevant(gvk schema.GroupVersionKind) bool { return !settled[gvk.Kind] }

// state is one object as it was last seen.
type state struct {
	ref     Ref
	object  *unstructured.Unstructured // nil when it does not exist
	done    bool
	failed  bool   // it cannot become ready any more
	message string // why it is not done
}

// look reads one object and judges it by the goal.
func (w *Watcher) look(ctx context.Context, ref Ref, goal Goal) (state, error) {
	s := state{ref: ref}
	mapping, err := w.opts.Mapper.RESTMapping(ref.GVK.GroupKind(), ref.GVK.Version)
	if err != nil {
		return s, fmt.Errorf("%s: %w", ref, err)
	}
	var client dynamic.ResourceInterface = w.opts.Dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = w.opts.Dynamic.Resource(mapping.Resource).Namespace(ref.Namespace)
	}
	object, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		s.done, s.message = goal == Gone, "does not exist"
		return s, nil
	case err != nil:
		return s, fmt.Errorf("read %s: %w", ref, err)
	}
	s.object = object
	s.judge(goal)
	return s, nil
}

func (s *state) judge(goal Goal) {
	if goal == Gone {
		s.message = "still exists"
		if len(s.object.GetFinalizers()) > 0 {
			s.message += ", held by finalizers " + strings.Join(s.object.GetFinalizers(), ", ")
		}
		return
	}
	kind := s.ref.GVK.Kind
	if goal == Completed && kind != "Job" && kind != "Pod" {
		s.done = true
		return
	}
	if paused, _, _ := unstructured.NestedBool(s.object.Object, "spec", "paused"); paused && kind == "Deployment" {
		s.done = true
		return
	}
	result, err := status.Compute(s.object)
	if err != nil {
		s.message = err.Error()
		return
	}
	s.done = result.Status == status.CurrentStatus
	s.failed = result.Status == status.FailedStatus
	s.message = words(result.Message)
	switch kind {
	case "Pod":
		s.judgePod(goal)
	case "Job":
		if goal == Completed {
			s.done = conditionTrue(s.object, "Complete")
		}
	}
}

// judgePod corrects the general view: a pod that ended badly is not ready, one
// that has not been scheduled may still be, and a hook's pod is done only when
// it has ended.
func (s *state) judgePod(goal Goal) {
	phase, _, _ := unstructured.NestedString(s.object.Object, "status", "phase")
	s.failed = phase == "Failed"
	if goal == Completed {
		s.done = phase == "Succeeded"
	}
	if s.failed {
		s.done = false
	}
}

func conditionTrue(u *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, _ := c.(map[string]any)
		return m["type"] == kind && m["status"] == "True"
	})
}

// lookAll reads objects side by side. Errors other than "not found" are
// returned beside the states that could be read.
func (w *Watcher) lookAll(ctx context.Context, refs []Ref, goal Goal) ([]state, error) {
	states := make([]state, len(refs))
	errs := make([]error, len(refs))
	gate := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			states[i], errs[i] = w.look(ctx, ref, goal)
			if errs[i] != nil {
				states[i].message = errs[i].Error()
			}
		})
	}
	wg.Wait()
	return states, errors.Join(errs...)
}

// Check looks once and returns what is not ready, one line an object.
func (w *Watcher) Check(ctx context.Context, refs []Ref) ([]string, error) {
	states, err := w.lookAll(ctx, relevant(refs), Ready)
	if err != nil {
		return nil, err
	}
	var waiting []string
	open := notDone(states)
	if w.onlyUnclaimed(ctx, open) {
		return nil, nil
	}
	for _, s := range open {
		waiting = append(waiting, w.opts.Redact.Text(w.explain(ctx, s).line))
	}
	return waiting, nil
}

func relevant(refs []Ref) []Ref {
	return slices.DeleteFunc(slices.Clone(refs), func(r Ref) bool { return !Relevant(r.GVK) })
}

func notDone(states []state) []state {
	return slices.DeleteFunc(slices.Clone(states), func(s state) bool { return s.done })
}
