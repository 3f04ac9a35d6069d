package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hubship/hubship/internal/model"
)

// Labels of everything that hubship itself keeps in a cluster.
const (
	LabelManagedBy   = "app.kubernetes.io/managed-by"
	LabelKind        = "hubship.io/kind"
	LabelHub         = "hubship.io/hub"
	LabelEnvironment = "hubship.io/environment"
	LabelRelease     = "hubship.io/release"
	ManagedBy        = "hubship"
)

// Secret returns the data of a Secret. A Secret that does not exist is an
// error that apierrors.IsNotFound recognises.
func (s *Set) Secret(ctx context.Context, c model.Cluster, namespace, name string) (map[string][]byte, error) {
	conn, err := s.Conn(c)
	if err != nil {
		return nil, err
	}
	secret, err := conn.Client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: read Secret %s/%s: %w", c.Name, namespace, name, err)
	}
	return secret.Data, nil
}

// annotationUser is where KubeSpawner writes whose claim a claim is.
const annotationUser = "hub.jupyter.org/username"

// ClaimsBeingRemoved names the PersistentVolumeClaims of a hub's user that are
// marked for removal and not gone yet.
func (s *Set) ClaimsBeingRemoved(ctx context.Context, c model.Cluster, namespace, user string) ([]string, error) {
	conn, err := s.Conn(c)
	if err != nil {
		return nil, err
	}
	// Metadata alone: a hub has a claim for each of its users. The annotation
	// is compared, for a label's value cannot hold every name.
	list, err := conn.Metadata.Resource(corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: list PersistentVolumeClaims of %s: %w", c.Name, namespace, err)
	}
	var names []string
	for _, claim := range list.Items {
		if claim.DeletionTimestamp != nil && claim.Annotations[annotationUser] == user {
			names = append(names, claim.Name)
		}
	}
	return names, nil
}

// labelPodSecurity is the standard that Kubernetes holds a namespace's pods to.
const labelPodSecurity = "pod-security.kubernetes.io/enforce"

// EnsureNamespace creates the target's namespace if there is none, and has
// Kubernetes hold its pods to a Pod Security Standard: charts are judged before
// they are applied, and this holds for what the hub itself starts. A namespace
// that somebody else made, or gave a standard, is left as it is.
func (c *Conn) EnsureNamespace(ctx context.Context, t model.Target) error {
	client := c.Client.CoreV1().Namespaces()
	found, err := client.Get(ctx, t.Namespace, metav1.GetOptions{})
	if err == nil {
		return c.holdPods(ctx, found)
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("cluster %s: read namespace %s: %w", c.Name, t.Namespace, err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: t.Namespace, Labels: map[string]string{
		LabelManagedBy: ManagedBy, LabelHub: t.Hub, LabelEnvironment: t.Environment, labelPodSecurity: c.pods,
	}}}
	if _, err := client.Create(ctx, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("cluster %s: create namespace %s: %w", c.Name, t.Namespace, err)
	}
	return nil
}

// holdPods gives a namespace that an earlier hubship made the standard that it
// lacks, where hubship may change namespaces.
func (c *Conn) holdPods(ctx context.Context, ns *corev1.Namespace) error {
	if _, ok := ns.Labels[labelPodSecurity]; ok || ns.Labels[LabelManagedBy] != ManagedBy {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, labelPodSecurity, c.pods)
	if _, err := c.Client.CoreV1().Namespaces().Patch(ctx, ns.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil && !apierrors.IsForbidden(err) {
		return fmt.Errorf("cluster %s: label namespace %s: %w", c.Name, ns.Name, err)
	}
	return nil
}
