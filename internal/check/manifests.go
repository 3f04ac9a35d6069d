package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

// maxPerObject bounds what is said of one object.
const maxPerObject = 20

// Manifests judges the objects of one release against Kubernetes' own types:
// fields that do not exist and values of another type than the field's are
// errors, and so are names and labels that an API server refuses, selectors
// that do not match their pods, and an object that is there twice. Kinds that
// Kubernetes does not have itself are skipped. What is in a Secret is not
// told.
func Manifests(objects []release.Object) []plan.Problem { return ManifestsFor(objects, "") }

// ManifestsFor is Manifests for a cluster of a known version, "1.31": an API
// version that it no longer has is an error, where it otherwise is a warning.
func ManifestsFor(objects []release.Object, kube string) []plan.Problem {
	out := twice(objects)
	for _, o := range objects {
		m := &manifest{object: o}
		m.judge(kube)
		out = append(out, m.problems...)
	}
	return out
}

// twice reports objects that a release has more than once. Hooks are made and
// deleted at their own times, so one may have the name of another object.
func twice(objects []release.Object) []plan.Problem {
	first := map[string]release.Object{}
	var out []plan.Problem
	for _, o := range objects {
		if o.Hook {
			continue
		}
		earlier, ok := first[o.Key()]
		if !ok {
			first[o.Key()] = o
			continue
		}
		m := &manifest{object: o}
		where := ""
		if earlier.Template != "" && earlier.Template != o.Template {
			where = ", first in " + earlier.Template
		}
		m.add(plan.Error, "is defined twice"+where, "one replaces the other: give them different names")
		out = append(out, m.problems...)
	}
	return out
}

// manifest is one object, and what is wrong with it.
type manifest struct {
	object   release.Object
	problems []plan.Problem
}

func (m *manifest) add(s plan.Severity, message, hint string) {
	if len(m.problems) < maxPerObject {
		m.problems = append(m.problems, plan.Problem{Severity: s, Check: CheckManifest, Message: m.object.String() + " " + message, Hint: hint,
			File: m.object.Template, Object: m.object.String()})
	}
}

// field reports something about one field.
func (m *manifest) field(s plan.Severity, path, message, hint string) {
	m.add(s, "has "+path+": "+message, hint)
}

func (m *manifest) judge(kube string) {
	gv, err := schema.ParseGroupVersion(m.object.APIVersion)
	if err != nil || gv.Version == "" {
		m.add(plan.Error, "has no valid apiVersion", `write it as "v1" or "apps/v1"`)
		return
	}
	m.names(gv)
	gvk := gv.WithKind(m.object.Kind)
	if !scheme.Scheme.Recognizes(gvk) {
		m.unknownKind(gvk)
		return
	}
	m.lifecycle(gvk, kube)
	m.decode(gvk)
	m.pods()
}

// unknownKind reports a kind that Kubernetes once had, or a version of it that
// it does not have. Groups that are not Kubernetes' own are let pass.
func (m *manifest) unknownKind(gvk schema.GroupVersionKind) {
	if !scheme.Scheme.IsGroupRegistered(gvk.Group) {
		return
	}
	var have []string
	for _, gv := range scheme.Scheme.VersionsForGroupKind(gvk.GroupKind()) {
		have = append(have, gv.String())
	}
	if len(have) > 0 {
		m.add(plan.Warning, "has apiVersion "+gvk.GroupVersion().String()+", which Kubernetes does not have", "it has "+strings.Join(have, ", "))
		return
	}
	hint := "check apiVersion and kind"
	var kinds []string
	for _, gv := range scheme.Scheme.PrioritizedVersionsForGroup(gvk.Group) {
		for kind := range scheme.Scheme.KnownTypes(gv) {
			kinds = append(kinds, kind)
		}
	}
	if near := nearest(gvk.Kind, kinds); near != "" {
		hint = "did you mean " + near + "?"
	} else if group := groupOf(gvk.Kind); group != "" {
		hint = "did you mean apiVersion " + group + "?"
	}
	m.add(plan.Warning, "is of a kind that "+gvk.GroupVersion().String()+" does not have", hint)
}

// groupOf finds the API version that Kubernetes has a kind in, by its name.
func groupOf(kind string) string {
	for _, gv := range scheme.Scheme.PrioritizedVersionsAllGroups() {
		if scheme.Scheme.Recognizes(gv.WithKind(kind)) {
			return gv.String()
		}
	}
	return ""
}

// ourMinor is the minor version of Kubernetes 1 whose types are compared with.
const ourMinor = 37

// soon is how many minor versions ahead a removal is spoken of.
const soon = 3

// lifecycle reports an API version that Kubernetes has removed, or soon will.
func (m *manifest) lifecycle(gvk schema.GroupVersionKind, kube string) {
	object, err := scheme.Scheme.New(gvk)
	if err != nil {
		return
	}
	removed, ok := object.(interface{ APILifecycleRemoved() (int, int) })
	if !ok {
		return
	}
	major, minor := removed.APILifecycleRemoved()
	if major != 1 {
		return
	}
	hint := "see Kubernetes' deprecation guide"
	if r, ok := object.(interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}); ok {
		hint = "use " + r.APILifecycleReplacement().GroupVersion().String()
	} else if best := scheme.Scheme.PrioritizedVersionsForGroup(gvk.Group); len(best) > 0 && best[0].Version != gvk.Version {
		hint = "use " + best[0].String()
	}
	has, known := minorOf(kube)
	message := fmt.Sprintf("has apiVersion %s, which Kubernetes 1.%d no longer has", gvk.GroupVersion(), minor)
	switch {
	case known && minor <= has:
		m.add(plan.Error, message+": the cluster has "+kube, hint)
	case known && minor <= has+soon, !known && minor <= ourMinor:
		m.add(plan.Warning, message, hint)
	}
}

// minorOf reads "1.31", "v1.31.2" or "1.31+".
func minorOf(kube string) (int, bool) {
	parts := strings.Split(strings.TrimPrefix(kube, "v"), ".")
	if len(parts) < 2 || parts[0] != "1" {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimRight(parts[1], "+"))
	return n, err == nil
}

// nearest returns the word that is spelled most alike, or "" when none is.
func nearest(word string, among []string) string {
	best, at := "", max(1, len(word)/3)+1
	slices.SortFunc(among, cmp.Compare[string])
	for _, w := range among {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < at {
			best, at = w, d
		}
	}
	return best
}
