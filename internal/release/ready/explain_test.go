package ready

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func TestContainerProblem(t *testing.T) {
	crashed := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error", Message: "no config"}}
	tests := []struct {
		name   string
		status corev1.ContainerStatus
		text   string // part of it; "" means no problem
		fatal  bool
		grace  time.Duration
	}{
		{"image is not there", corev1.ContainerStatus{State: waiting("ImagePullBackOff", `Back-off pulling image "x": failed: x: not found`)}, "not found", true, 0},
		{"no right to the image", corev1.ContainerStatus{State: waiting("ErrImagePull", "pull access denied")}, "denied", true, 0},
		{"registry hiccup", corev1.ContainerStatus{State: waiting("ErrImagePull", "dial tcp: i/o timeout")}, "timeout", true, time.Minute},
		{"bad image name", corev1.ContainerStatus{State: waiting("InvalidImageName", "x")}, "InvalidImageName", true, 0},
		{"first crash", corev1.ContainerStatus{RestartCount: 1, State: waiting("CrashLoopBackOff", "back-off"), LastTerminationState: crashed}, "exit code 3: no config", true, time.Minute},
		{"third crash", corev1.ContainerStatus{RestartCount: 3, State: waiting("CrashLoopBackOff", "back-off")}, "CrashLoopBackOff", true, 0},
		{"between crashes", corev1.ContainerStatus{State: crashed}, "exit code 3", true, time.Minute},
		{"missing ConfigMap", corev1.ContainerStatus{State: waiting("CreateContainerConfigError", `configmap "x" not found`)}, `configmap "x" not found`, true, 15 * time.Second},
		{"not ready yet", corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, "not ready", false, 0},
		{"ready", corev1.ContainerStatus{Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}, "", false, 0},
		{"being created", corev1.ContainerStatus{State: waiting("ContainerCreating", "")}, "", false, 0},
		{"ended well", corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}, "", false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWatcher(Options{})
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "hub-1", UID: "u", CreationTimestamp: metav1.Now()}, Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "hub"}}}}
			tt.status.Name = "hub"
			p, ok := w.containerProblem(pod, tt.status)
			if ok != (tt.text != "") {
				t.Fatalf("problem %v: %+v", ok, p)
			}
			if !ok {
				return
			}
			if !strings.Contains(p.text, tt.text) || !strings.Contains(p.text, "hub-1") {
				t.Errorf("text %q does not say %q", p.text, tt.text)
			}
			if p.fatal != tt.fatal || p.grace != tt.grace {
				t.Errorf("fatal %v after %s, want %v after %s", p.fatal, p.grace, tt.fatal, tt.grace)
			}
		})
	}
}

// A container whose message is the end of its log, if it writes none: who reads
// why a hub is not ready is not let in to logs.
func TestReasonsHoldNoLog(t *testing.T) {
	end := &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: "PASSWORD=what the log ended with"}
	for policy, told := range map[corev1.TerminationMessagePolicy]bool{"": true, corev1.TerminationMessageReadFile: true, corev1.TerminationMessageFallbackToLogsOnError: false} {
		pod := corev1.Pod{Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "before", TerminationMessagePolicy: policy}},
			Containers:     []corev1.Container{{Name: "other"}, {Name: "hub", TerminationMessagePolicy: policy}},
		}}
		for _, name := range []string{"before", "hub"} {
			for _, status := range []corev1.ContainerStatus{
				{Name: name, State: corev1.ContainerState{Terminated: end}},
				{Name: name, State: waiting("CrashLoopBackOff", "back-off"), LastTerminationState: corev1.ContainerState{Terminated: end}},
			} {
				p, ok := NewWatcher(Options{}).containerProblem(pod, status)
				if !ok || strings.Contains(p.text, "PASSWORD") != told || !strings.Contains(p.text, "exit code 1") {
					t.Errorf("%q: %q, %v", policy, p.text, ok)
				}
			}
		}
	}
}

// A pod that has run for weeks may have restarted before this wait.
func TestCrashesOfOldPodsAreCountedFromNow(t *testing.T) {
	w := NewWatcher(Options{})
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "hub-1", UID: "u", CreationTimestamp: metav1.NewTime(time.Now().Add(-time.Hour))}, Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways}}
	for restarts, grace := range map[int32]time.Duration{5: time.Minute} {
		p, _ := w.containerProblem(pod, corev1.ContainerStatus{Name: "hub", RestartCount: restarts, State: waiting("CrashLoopBackOff", "")})
		if p.grace != grace {
			t.Errorf("%d restarts: grace %s, want %s", restarts, p.grace, grace)
		}
	}
	p, _ := w.containerProblem(pod, corev1.ContainerStatus{Name: "hub", RestartCount: 8, State: waiting("CrashLoopBackOff", "")})
	if p.grace != 0 {
		t.Errorf("three more restarts: grace %s, want none", p.grace)
	}
}

func TestHopelessAfterGrace(t *testing.T) {
	w := NewWatcher(Options{})
	p := problem{key: "k", text: "t", fatal: true, grace: time.Minute}
	now := time.Now()
	if _, ok := w.hopeless([]problem{p}, now); ok {
		t.Error("given up at first sight")
	}
	p.text = "other words for the same"
	if _, ok := w.hopeless([]problem{p}, now.Add(59*time.Second)); ok {
		t.Error("given up too early")
	}
	if _, ok := w.hopeless([]problem{{key: "x"}, p}, now.Add(60*time.Second)); !ok {
		t.Error("not given up after the grace")
	}
}

func TestJudge(t *testing.T) {
	object := func(kind, api string, fields map[string]any) *unstructured.Unstructured {
		o := map[string]any{"kind": kind, "apiVersion": api, "metadata": map[string]any{"name": "x", "generation": int64(2)}}
		for k, v := range fields {
			o[k] = v
		}
		return &unstructured.Unstructured{Object: o}
	}
	status := func(m map[string]any) map[string]any { return map[string]any{"status": m} }
	conditions := func(kind, value, reason string) map[string]any {
		return status(map[string]any{"conditions": []any{map[string]any{"type": kind, "status": value, "reason": reason}}})
	}
	tests := []struct {
		name         string
		object       *unstructured.Unstructured
		goal         Goal
		done, failed bool
	}{
		{"stale deployment", object("Deployment", "apps/v1", status(map[string]any{"observedGeneration": int64(1)})), Ready, false, false},
		{"deployment past its deadline", object("Deployment", "apps/v1", map[string]any{
			"spec":   map[string]any{"progressDeadlineSeconds": int64(600)},
			"status": map[string]any{"observedGeneration": int64(2), "conditions": []any{map[string]any{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}}},
		}), Ready, false, true},
		{"paused deployment", object("Deployment", "apps/v1", map[string]any{"spec": map[string]any{"paused": true}}), Ready, true, false},
		{"daemonset on all nodes", object("DaemonSet", "apps/v1", status(map[string]any{"observedGeneration": int64(2), "desiredNumberScheduled": int64(1), "currentNumberScheduled": int64(1), "updatedNumberScheduled": int64(1), "numberAvailable": int64(1), "numberReady": int64(1)})), Ready, true, false},
		{"daemonset on no node yet", object("DaemonSet", "apps/v1", status(map[string]any{"observedGeneration": int64(2), "desiredNumberScheduled": int64(1), "currentNumberScheduled": int64(1), "updatedNumberScheduled": int64(1)})), Ready, false, false},
		{"job under way", object("Job", "batch/v1", status(map[string]any{"startTime": "2026-01-01T00:00:00Z"})), Ready, true, false},
		{"hook job under way", object("Job", "batch/v1", status(map[string]any{"startTime": "2026-01-01T00:00:00Z"})), Completed, false, false},
		{"hook job done", object("Job", "batch/v1", conditions("Complete", "True", "")), Completed, true, false},
		{"hook job failed", object("Job", "batch/v1", conditions("Failed", "True", "BackoffLimitExceeded")), Completed, false, true},
		{"hook that is a ConfigMap", object("ConfigMap", "v1", nil), Completed, true, false},
		{"pod that ended badly", object("Pod", "v1", status(map[string]any{"phase": "Failed"})), Ready, false, true},
		{"hook pod running", object("Pod", "v1", status(map[string]any{"phase": "Running"})), Completed, false, false},
		{"hook pod done", object("Pod", "v1", status(map[string]any{"phase": "Succeeded"})), Completed, true, false},
		{"unbound claim", object("PersistentVolumeClaim", "v1", status(map[string]any{"phase": "Pending"})), Ready, false, false},
		{"still there", object("Pod", "v1", nil), Gone, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := state{ref: Ref{GVK: schema.FromAPIVersionAndKind(tt.object.GetAPIVersion(), tt.object.GetKind()), Name: "x"}, object: tt.object}
			s.judge(tt.goal)
			if s.done != tt.done || s.failed != tt.failed {
				t.Errorf("done %v failed %v (%s), want %v %v", s.done, s.failed, s.message, tt.done, tt.failed)
			}
			if !s.done && s.message == "" {
				t.Error("not done, and no word why")
			}
		})
	}
}

func TestOneLine(t *testing.T) {
	long := oneLine("a\n b\t" + strings.Repeat("é", 1000))
	if !strings.HasPrefix(long, "a b é") || !strings.HasSuffix(long, "é…") || len(long) > 610 {
		t.Errorf("got %d bytes: %q…", len(long), long[:20])
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"Available: 0/1": "0 of 1 available",
		"Replicas: 1/3":  "1 of 3 replicas created",
		"Deployment generation is 2, but latest observed generation is 1": "its controller has not processed the change yet",
		"Pod is in the Pending phase":                                     "Pod is in the Pending phase",
	} {
		if got := words(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	p, _ := NewWatcher(Options{}).containerProblem(corev1.Pod{}, corev1.ContainerStatus{Name: "c", State: waiting("ErrImagePull",
		`rpc error: code = NotFound desc = failed to pull and unpack image "r/x:1": failed to resolve reference "r/x:1": r/x:1: not found`)})
	if want := "pod  container c: ErrImagePull: r/x:1: not found"; p.text != want {
		t.Errorf("got %q, want %q", p.text, want)
	}
}
