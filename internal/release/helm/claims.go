package helm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

const claimKind = "PersistentVolumeClaim"

// guardClaims refuses a manifest that would delete or replace a
// PersistentVolumeClaim of the one that runs (incident I6): users' files and
// the hub's database are in them. allowed names those that may go.
func guardClaims(before, after string, allowed []string) error {
	old, err := claims(before)
	if err != nil {
		return fmt.Errorf("compare claims: manifest that runs: %w", err)
	}
	now, err := claims(after)
	if err != nil {
		return fmt.Errorf("compare claims: new manifest: %w", err)
	}
	for _, key := range sortedKeys(old) {
		o := old[key]
		if slices.Contains(allowed, o.Name) || keeps(o) {
			continue
		}
		n, ok := now[key]
		if !ok {
			return refuse(o, "delete", "the new manifest does not have it any more; if it was renamed, keep the old name")
		}
		if field := replaced(o, n); field != "" {
			return refuse(o, "replace", field+" of a claim cannot be changed in place")
		}
	}
	return nil
}

func refuse(o release.Object, what, why string) error {
	return model.RefusedBy(
		fmt.Errorf("the upgrade would %s %s %s and what is stored in it: %s", what, claimKind, o.Name, why),
		"undo that part of the change; or, if the data may go, name the claim in the change as its documentation says")
}

func claims(manifest string) (map[string]release.Object, error) {
	objects, err := release.ParseManifest([]byte(manifest))
	if err != nil {
		return nil, err
	}
	out := map[string]release.Object{}
	for _, o := range objects {
		if o.Kind == claimKind {
			out[o.Key()] = o
		}
	}
	return out, nil
}

func sortedKeys(m map[string]release.Object) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// keeps says that the chart itself keeps the claim when a release no longer
// has it.
func keeps(o release.Object) bool {
	meta, _ := o.Content["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	policy, _ := notes["helm.sh/resource-policy"].(string)
	return strings.EqualFold(strings.TrimSpace(policy), "keep")
}

// replaced names the field that differs and cannot be changed in place, or is
// empty. A claim may grow, and its class may only change by name.
func replaced(before, after release.Object) string {
	old, _ := before.Content["spec"].(map[string]any)
	now, _ := after.Content["spec"].(map[string]any)
	for _, field := range []string{"accessModes", "dataSource", "dataSourceRef", "selector", "storageClassName", "volumeMode", "volumeName"} {
		if !sameJSON(old[field], now[field]) {
			return "spec." + field
		}
	}
	if less(requested(now), requested(old)) {
		return "spec.resources.requests.storage"
	}
	return ""
}

func requested(spec map[string]any) string {
	res, _ := spec["resources"].(map[string]any)
	req, _ := res["requests"].(map[string]any)
	if req["storage"] == nil {
		return ""
	}
	return fmt.Sprint(req["storage"])
}

func less(a, b string) bool {
	qa, err1 := resource.ParseQuantity(a)
	qb, err2 := resource.ParseQuantity(b)
	return err1 == nil && err2 == nil && qa.Cmp(qb) < 0
}

func sameJSON(a, b any) bool {
	ja, err1 := json.Marshal(a)
	jb, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(ja) == string(jb)
}
