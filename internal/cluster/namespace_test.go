package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/hubship/hubship/internal/model"
)

// TestNamespacesHoldPods makes the namespace, finds one of an earlier hubship,
// and leaves what somebody else decided.
func TestNamespacesHoldPods(t *testing.T) {
	ours := map[string]string{LabelManagedBy: ManagedBy}
	for name, tt := range map[string]struct {
		there map[string]string // labels; nil: it does not exist
		want  string
	}{
		"new":            {nil, "baseline"},
		"an earlier one": {ours, "baseline"},
		"decided":        {map[string]string{LabelManagedBy: ManagedBy, labelPodSecurity: "privileged"}, "privileged"},
		"somebody's":     {map[string]string{}, ""},
	} {
		client := fake.NewClientset()
		if tt.there != nil {
			client = fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: tt.there}})
		}
		conn := &Conn{Name: "c", Client: client, pods: "baseline"}
		for range 2 {
			if err := conn.EnsureNamespace(t.Context(), model.Target{Namespace: "n", Hub: "h", Environment: "e"}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		got, err := client.CoreV1().Namespaces().Get(t.Context(), "n", metav1.GetOptions{})
		if err != nil || got.Labels[labelPodSecurity] != tt.want {
			t.Errorf("%s: %v, %v", name, got.Labels, err)
		}
	}
}
