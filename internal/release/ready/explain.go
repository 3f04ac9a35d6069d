package ready

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// problem is something that keeps an object from being ready.
type problem struct {
	key   string // the same for one cause, however its words change
	text  string
	fatal bool          // it seldom mends itself
	grace time.Duration // how long it may last all the same
}

// explanation is why an object is not ready.
type explanation struct {
	line     string // "Deployment hub: 0 of 1 ready; pod hub-1 container hub: ImagePullBackOff: …"
	problems []problem
}

// explain says why an object is not ready. What cannot be read is left out.
func (w *Watcher) explain(ctx context.Context, s state) explanation {
	var out explanation
	parts := []string{}
	if s.message != "" {
		parts = append(parts, s.message)
	}
	switch {
	case s.object == nil:
		out.problems = append(out.problems, problem{key: s.ref.String() + "/gone", text: "does not exist", fatal: true, grace: w.opts.Limits.Create})
	case s.ref.GVK.Kind == "PersistentVolumeClaim":
		if e := w.newestWarning(ctx, s.object.GetNamespace(), string(s.object.GetUID())); e != "" {
			parts = append(parts, e)
		}
	default:
		out.problems = append(out.problems, w.controllerProblems(s)...)
		pods := w.pods(ctx, s.object)
		for _, pod := range pods {
			out.problems = append(out.problems, w.podProblems(ctx, pod)...)
		}
		if len(pods) == 0 && len(out.problems) == 0 {
			if e := w.newestWarning(ctx, s.object.GetNamespace(), string(s.object.GetUID())); e != "" {
				parts = append(parts, e)
			}
		}
	}
	seen := map[string]bool{}
	for _, p := range out.problems {
		if p.text != "" && !seen[p.text] && p.text != s.message {
			seen[p.text] = true
			parts = append(parts, p.text)
		}
	}
	const most = 4
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("and %d more", len(parts)-most))
	}
	out.line = s.ref.String() + ": " + oneLine(strings.Join(parts, "; "))
	return out
}

// controllerProblems are what a workload's own conditions tell.
func (w *Watcher) controllerProblems(s state) []problem {
	conditions, _, _ := unstructured.NestedSlice(s.object.Object, "status", "conditions")
	var out []problem
	for _, c := range conditions {
		m, _ := c.(map[string]any)
		kind, _ := m["type"].(string)
		reason, _ := m["reason"].(string)
		message, _ := m["message"].(string)
		bad := kind == "ReplicaFailure" && m["status"] == "True" ||
			kind == "Failed" && m["status"] == "True" && s.ref.GVK.Kind == "Job"
		if bad {
			out = append(out, problem{
				key: s.ref.String() + "/" + kind, text: reason + ": " + message,
				fatal: true, grace: w.opts.Limits.Create,
			})
		}
	}
	return out
}

// podProblems are what keeps one pod from being ready.
func (w *Watcher) podProblems(ctx context.Context, pod corev1.Pod) []problem {
	name := "pod " + pod.Name
	if c := podCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		return []problem{w.unscheduled(ctx, pod, c)}
	}
	if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
		return []problem{{key: string(pod.UID) + "/failed", text: name + " failed: " + pod.Status.Reason + ": " + pod.Status.Message}}
	}
	var out []problem
	creating := len(pod.Status.ContainerStatuses) == 0
	for _, cs := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if p, ok := w.containerProblem(pod, cs); ok {
			out = append(out, p)
		}
		if s := cs.State.Waiting; s != nil && (s.Reason == "ContainerCreating" || s.Reason == "PodInitializing") {
			creating = true
		}
	}
	if len(out) == 0 && podCondition(pod, corev1.PodReady) != nil && podCondition(pod, corev1.PodReady).Status == corev1.ConditionTrue {
		return nil
	}
	if slices.ContainsFunc(out, func(p problem) bool { return p.fatal }) {
		return out // the container's own words say it best
	}
	if e := w.newestWarning(ctx, pod.Namespace, string(pod.UID)); e != "" && !(w.early() && strings.HasPrefix(e, "Unhealthy: Readiness")) {
		out = append(out, problem{key: string(pod.UID) + "/event", text: name + ": " + e})
	}
	if len(out) == 0 && creating {
		out = append(out, problem{key: string(pod.UID) + "/creating", text: name + " is being created"})
	}
	return out
}

// early says that a pod's readiness probe may still fail because the pod has
// only begun to start, which is no news.
func (w *Watcher) early() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.started) < 20*time.Second
}

func (w *Watcher) unscheduled(ctx context.Context, pod corev1.Pod, c *corev1.PodCondition) problem {
	p := problem{
		key: string(pod.UID) + "/unschedulable", text: fmt.Sprintf("pod %s is not scheduled: %s", pod.Name, c.Message),
		fatal: c.Reason == corev1.PodReasonUnschedulable, grace: w.opts.Limits.Unschedulable,
	}
	// A node is on its way: that takes longer than the limit, and ends well.
	for _, e := range w.events(ctx, pod.Namespace, string(pod.UID)) {
		if e.Reason == "TriggeredScaleUp" {
			p.fatal = false
			p.text += " (the cluster is adding a node)"
			break
		}
	}
	return p
}

// certain are an image pull's errors that another attempt will not change.
var certain = []string{"not found", "manifest unknown", "unauthorized", "denied", "forbidden", "invalid reference", "no match for platform"}

// containerProblem says what is wrong with a container, if anything is.
func (w *Watcher) containerProblem(pod corev1.Pod, cs corev1.ContainerStatus) (problem, bool) {
	id := string(pod.UID) + "/" + cs.Name
	crashes := w.crashes(id, pod, cs)
	p := problem{text: fmt.Sprintf("pod %s container %s: ", pod.Name, cs.Name)}
	if t := cs.State.Terminated; t != nil && t.ExitCode != 0 {
		p.key, p.fatal, p.grace = id+"/crash", true, w.opts.Limits.Crash
		if pod.Spec.RestartPolicy != corev1.RestartPolicyAlways {
			p.fatal = false // its Job decides whether to try again
		}
		p.text += ended(pod, cs.Name, t)
		return p, true
	}
	waiting := cs.State.Waiting
	if waiting == nil {
		if cs.State.Running != nil && !cs.Ready {
			p.key = id + "/unready"
			p.text += "is running but not ready"
			if cs.RestartCount > 0 {
				p.text += fmt.Sprintf(" (restarted %d times)", cs.RestartCount)
			}
			return p, true
		}
		return problem{}, false
	}
	words := waiting.Reason
	if waiting.Message != "" {
		words += ": " + pullNoise.ReplaceAllString(waiting.Message, "")
	}
	p.text += words
	switch waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
		p.key, p.fatal, p.grace = id+"/image", true, w.opts.Limits.Pull
		if slices.ContainsFunc(certain, func(s string) bool { return strings.Contains(strings.ToLower(waiting.Message), s) }) {
			p.grace = 0
		}
	case "InvalidImageName", "ErrImageNeverPull":
		p.key, p.fatal = id+"/image", true
	case "CrashLoopBackOff":
		p.key, p.fatal, p.grace = id+"/crash", true, w.opts.Limits.Crash
		if crashes >= w.opts.Limits.Restarts {
			p.grace = 0
		}
		if t := cs.LastTerminationState.Terminated; t != nil {
			p.text = fmt.Sprintf("pod %s container %s: CrashLoopBackOff, restarted %d times, last %s", pod.Name, cs.Name, cs.RestartCount, ended(pod, cs.Name, t))
		}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError":
		p.key, p.fatal, p.grace = id+"/create", true, w.opts.Limits.Config
	case "", "ContainerCreating", "PodInitializing":
		return problem{}, false
	default:
		p.key = id + "/" + waiting.Reason
	}
	return p, true
}

// ended says how a container ended. Everybody who sees a hub's state reads it, so
// it has no message that is the end of the container's log: that is for others.
func ended(pod corev1.Pod, container string, t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("ended with exit code %d", t.ExitCode)
	if t.Reason != "" && t.Reason != "Error" {
		text += " (" + t.Reason + ")"
	}
	if t.Message != "" && !logsItsEnd(pod, container) {
		text += ": " + t.Message
	}
	return text
}

// logsItsEnd says whether the message of a container's end may be its log.
func logsItsEnd(pod corev1.Pod, container string) bool {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == container {
			return c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError
		}
	}
	return true // nobody knows
}

// crashes counts a container's restarts since the wait began: a pod that runs
// for weeks may have restarted before. A pod made for this wait is counted
// from nothing.
func (w *Watcher) crashes(id string, pod corev1.Pod, cs corev1.ContainerStatus) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	base, ok := w.restarts[id]
	if !ok {
		if time.Since(pod.CreationTimestamp.Time) > 10*time.Minute {
			base = cs.RestartCount
		}
		w.restarts[id] = base
	}
	return int(cs.RestartCount - base)
}

func podCondition(pod corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// oneLine joins lines and bounds the length.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 600
	if len(s) > most {
		cut := most
		for cut > 0 && s[cut]&0xC0 == 0x80 { // not within a character
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// counts are the general view's words for how far a workload is.
var counts = regexp.MustCompile(`^([A-Z][A-Za-z ]*): (\d+)/(\d+)$`)

// words says in plain ones what the general view of an object's status says.
func words(message string) string {
	if m := counts.FindStringSubmatch(message); m != nil {
		what := strings.ToLower(m[1])
		if what == "replicas" {
			what = "replicas created"
		}
		return m[2] + " of " + m[3] + " " + what
	}
	if strings.Contains(message, "latest observed generation") {
		return "its controller has not processed the change yet"
	}
	return message
}

// pullNoise is what a container runtime wraps around the reason why an image
// cannot be pulled; it repeats the image's name each time.
var pullNoise = regexp.MustCompile(`rpc error: code = \w+ desc = |failed to pull and unpack image "[^"]*": |failed to resolve reference "[^"]*": `)
