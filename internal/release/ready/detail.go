package ready

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Bounds of what a failure collects.
const (
	maxDetailed = 5        // objects
	maxPods     = 3        // an object
	maxEvents   = 10       // an object or pod
	maxLogLines = 20       // a container
	maxLogBytes = 16 << 10 // a container
)

func eventTime(e corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// detail writes all that explains one object's failure.
func (w *Watcher) detail(ctx context.Context, out *strings.Builder, s state) {
	fmt.Fprintf(out, "%s: %s\n", s.ref, oneLine(s.message))
	if s.object == nil {
		return
	}
	conditions, _, _ := unstructured.NestedSlice(s.object.Object, "status", "conditions")
	for _, c := range conditions {
		m, _ := c.(map[string]any)
		fmt.Fprintf(out, "  condition %v=%v", m["type"], m["status"])
		if r, _ := m["reason"].(string); r != "" {
			fmt.Fprintf(out, " %s", r)
		}
		if msg, _ := m["message"].(string); msg != "" {
			fmt.Fprintf(out, ": %s", oneLine(msg))
		}
		out.WriteByte('\n')
	}
	w.writeEvents(ctx, out, s.object.GetNamespace(), string(s.object.GetUID()))
	pods := w.pods(ctx, s.object)
	for i, pod := range pods {
		if i == maxPods {
			fmt.Fprintf(out, "  and %d more pods\n", len(pods)-maxPods)
			break
		}
		w.detailPod(ctx, out, pod)
	}
}

func (w *Watcher) writeEvents(ctx context.Context, out *strings.Builder, namespace, uid string) {
	events := w.events(ctx, namespace, uid)
	events = events[:min(len(events), maxEvents)]
	slices.Reverse(events) // oldest first reads like a story
	for _, e := range events {
		fmt.Fprintf(out, "  event %s %s %s", eventTime(e).UTC().Format(time.TimeOnly), e.Type, e.Reason)
		if e.Count > 1 {
			fmt.Fprintf(out, " (%d times)", e.Count)
		}
		fmt.Fprintf(out, ": %s\n", oneLine(e.Message))
	}
}

func (w *Watcher) detailPod(ctx context.Context, out *strings.Builder, pod corev1.Pod) {
	fmt.Fprintf(out, "  pod %s: %s", pod.Name, pod.Status.Phase)
	if pod.Spec.NodeName != "" {
		fmt.Fprintf(out, " on node %s", pod.Spec.NodeName)
	}
	out.WriteByte('\n')
	w.writeEvents(ctx, out, pod.Namespace, string(pod.UID))
	for _, cs := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		fmt.Fprintf(out, "  container %s (image %s): %s\n", cs.Name, cs.Image, containerState(pod, cs))
		if cs.RestartCount > 0 {
			w.writeLog(ctx, out, pod, cs.Name, true)
		}
		if cs.State.Waiting == nil {
			w.writeLog(ctx, out, pod, cs.Name, false)
		}
	}
}

func containerState(pod corev1.Pod, cs corev1.ContainerStatus) string {
	var s string
	switch {
	case cs.State.Waiting != nil:
		s = oneLine(strings.TrimSuffix(cs.State.Waiting.Reason+": "+cs.State.Waiting.Message, ": "))
	case cs.State.Terminated != nil:
		s = ended(pod, cs.Name, cs.State.Terminated)
	case cs.State.Running != nil && cs.Ready:
		s = "ready"
	case cs.State.Running != nil:
		s = "running, not ready"
	default:
		s = "not started"
	}
	if cs.RestartCount > 0 {
		s += fmt.Sprintf(", restarted %d times", cs.RestartCount)
	}
	return s
}

// writeLog writes a container's last lines, or those of its previous run.
func (w *Watcher) writeLog(ctx context.Context, out *strings.Builder, pod corev1.Pod, container string, previous bool) {
	lines, bytes := int64(maxLogLines), int64(maxLogBytes)
	stream, err := w.opts.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container, Previous: previous, TailLines: &lines, LimitBytes: &bytes,
	}).Stream(ctx)
	if err != nil {
		return // there often is none, and the rest still explains
	}
	defer func() { _ = stream.Close() }()
	data, _ := io.ReadAll(io.LimitReader(stream, maxLogBytes))
	text := strings.TrimRight(string(data), "\n")
	if text == "" {
		return
	}
	title := "last lines"
	if previous {
		title = "last lines before it restarted"
	}
	fmt.Fprintf(out, "    %s:\n", title)
	for line := range strings.Lines(text) {
		fmt.Fprintf(out, "    | %s\n", strings.TrimRight(line, "\r\n"))
	}
}
