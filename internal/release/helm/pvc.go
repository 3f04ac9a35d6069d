package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

const pvcKind = "PersistentVolumeClaim"

// pvcGuard refuses upgrades that would delete or replace a
// PersistentVolumeClaim (incident I6): users' files and the hub's database are
// in them.
type pvcGuard struct {
	client    kubernetes.Interface
	namespace string
	allowed   map[string]bool // names of those that may go
}

// admit compares the manifest that runs with the new one. A claim that never
// got a volume holds nothing: it may go, and one that is replaced is removed
// here, since the API server would not change it in place.
func (g *pvcGuard) admit(ctx context.Context, before, after string) error {
	lost, err := lostPVCs(before, after)
	if err != nil {
		return err
	}
	for _, l := range lost {
		if g.allowed[l.pvc.Name] {
			if !l.replaced {
				continue
			}
		} else if empty, err := g.empty(ctx, l.pvc); err != nil {
			return err
		} else if !empty {
			return l.refusal()
		}
		g.allowed[l.pvc.Name] = true
		if l.replaced {
			if err := g.remove(ctx, l.pvc); err != nil {
				return err
			}
		}
	}
	return nil
}

// pvcs are those of the release's namespace, whatever a record says of
// another.
func (g *pvcGuard) pvcs() corev1client.PersistentVolumeClaimInterface {
	return g.client.CoreV1().PersistentVolumeClaims(g.namespace)
}

// empty says that the claim is not there, or has no volume.
func (g *pvcGuard) empty(ctx context.Context, o release.Object) (bool, error) {
	live, err := g.pvcs().Get(ctx, o.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", o, err)
	}
	return live.Status.Phase == corev1.ClaimPending && live.Spec.VolumeName == "", nil
}

// removal bounds how long a claim may take to go: a pod that uses it holds it.
const removal = 30 * time.Second

func (g *pvcGuard) remove(ctx context.Context, o release.Object) error {
	for deadline := time.Now().Add(removal); ; {
		err := g.pvcs().Delete(ctx, o.Name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove %s, to recreate it: %w", o, err)
		}
		if time.Now().After(deadline) {
			return model.WithHint(fmt.Errorf("%s has to be recreated, but was not removed", o), "a pod still uses it: stop that pod and deploy again")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove %s, to recreate it: %w", o, context.Cause(ctx))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// lostPVC is a claim that a new manifest would delete or replace.
type lostPVC struct {
	pvc      release.Object
	replaced bool
	why      string
}

// lostPVCs compares two manifests.
func lostPVCs(before, after string) ([]lostPVC, error) {
	old, err := pvcsOf(before)
	if err != nil {
		return nil, fmt.Errorf("compare claims: current manifest: %w", err)
	}
	now, err := pvcsOf(after)
	if err != nil {
		return nil, fmt.Errorf("compare claims: new manifest: %w", err)
	}
	var out []lostPVC
	for _, key := range sortedKeys(old) {
		o := old[key]
		n, ok := now[key]
		switch {
		case !ok && keeps(o):
		case !ok:
			out = append(out, lostPVC{pvc: o, why: "the new manifest no longer has it"})
		default:
			if field := replaced(o, n); field != "" {
				out = append(out, lostPVC{pvc: o, replaced: true, why: field + " of a claim cannot be changed in place"})
			}
		}
	}
	return out, nil
}

func (l lostPVC) refusal() error {
	what := "delete"
	if l.replaced {
		what = "replace"
	}
	return model.RefusedBy(
		fmt.Errorf("the upgrade would %s %s %s and everything stored in it: %s", what, pvcKind, l.pvc.Name, l.why),
		"undo that part of the change: keep the claim under its old name and with its old settings")
}

func pvcsOf(manifest string) (map[string]release.Object, error) {
	objects, err := release.ParseManifest([]byte(manifest))
	if err != nil {
		return nil, err
	}
	out := map[string]release.Object{}
	for _, o := range objects {
		if o.Kind == pvcKind {
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
