package ready

import (
	"context"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
)

// listed bounds what is asked for about one workload: a release's namespace
// may hold thousands of users' pods.
const listed = 50

// pods returns the pods that a workload runs at its present revision, those of
// interest first. What cannot be read is left out.
func (w *Watcher) pods(ctx context.Context, object *unstructured.Unstructured) []corev1.Pod {
	ns := object.GetNamespace()
	if object.GetKind() == "Pod" {
		var pod corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &pod); err != nil {
			return nil
		}
		return []corev1.Pod{pod}
	}
	raw, ok, _ := unstructured.NestedMap(object.Object, "spec", "selector")
	if !ok {
		return nil
	}
	var sel metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &sel); err != nil {
		return nil
	}
	if label, value := w.revision(ctx, object, &sel); value != "" {
		if sel.MatchLabels == nil {
			sel.MatchLabels = map[string]string{}
		}
		sel.MatchLabels[label] = value
	}
	parsed, err := metav1.LabelSelectorAsSelector(&sel)
	if err != nil || parsed.Empty() {
		return nil
	}
	list, err := w.opts.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: parsed.String(), Limit: listed})
	if err != nil {
		return nil
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		if n := readiness(a) - readiness(b); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	return pods
}

func readiness(p corev1.Pod) int {
	if c := podCondition(p, corev1.PodReady); c != nil && c.Status == corev1.ConditionTrue {
		return 1
	}
	return 0
}

// revision returns the label that tells pods of a workload's present revision
// from older ones, which may be failing for reasons of the past.
func (w *Watcher) revision(ctx context.Context, object *unstructured.Unstructured, sel *metav1.LabelSelector) (label, value string) {
	parsed, err := metav1.LabelSelectorAsSelector(sel)
	if err != nil {
		return "", ""
	}
	opts := metav1.ListOptions{LabelSelector: parsed.String(), Limit: listed}
	owned := func(refs []metav1.OwnerReference) bool {
		return slices.ContainsFunc(refs, func(r metav1.OwnerReference) bool { return r.UID == object.GetUID() })
	}
	switch object.GetKind() {
	case "StatefulSet":
		value, _, _ = unstructured.NestedString(object.Object, "status", "updateRevision")
		return appsv1.ControllerRevisionHashLabelKey, value
	case "DaemonSet":
		list, err := w.opts.Client.AppsV1().ControllerRevisions(object.GetNamespace()).List(ctx, opts)
		if err != nil {
			return "", ""
		}
		var newest int64 = -1
		for _, r := range list.Items {
			if owned(r.OwnerReferences) && r.Revision > newest {
				newest, value = r.Revision, r.Labels[appsv1.ControllerRevisionHashLabelKey]
			}
		}
		return appsv1.ControllerRevisionHashLabelKey, value
	case "Deployment":
		list, err := w.opts.Client.AppsV1().ReplicaSets(object.GetNamespace()).List(ctx, opts)
		if err != nil {
			return "", ""
		}
		newest := -1
		for _, r := range list.Items {
			n, err := strconv.Atoi(r.Annotations["deployment.kubernetes.io/revision"])
			if err == nil && owned(r.OwnerReferences) && n > newest {
				newest, value = n, r.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
			}
		}
		return appsv1.DefaultDeploymentUniqueLabelKey, value
	}
	return "", ""
}

// events returns the newest events about an object, newest first.
func (w *Watcher) events(ctx context.Context, namespace, uid string) []corev1.Event {
	if uid == "" {
		return nil
	}
	list, err := w.opts.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", uid).String(), Limit: listed,
	})
	if err != nil {
		return nil
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return eventTime(b).Compare(eventTime(a)) })
	return list.Items
}

// newestWarning is the newest warning about an object in one line, or "".
func (w *Watcher) newestWarning(ctx context.Context, namespace, uid string) string {
	for _, e := range w.events(ctx, namespace, uid) {
		if e.Type == corev1.EventTypeWarning {
			return oneLine(e.Reason + ": " + pullNoise.ReplaceAllString(e.Message, ""))
		}
	}
	return ""
}
