package cluster

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/model"
)

// OwnNamespace is where hubship keeps what is its own in every cluster:
// evidence, the standing of each release, and Leases. Whoever may write in a
// release's namespace need not, and should not, be able to write there.
const OwnNamespace = "hubship-system"

// Identity tells clusters apart, however they are reached: the UID of the
// namespace kube-system, which every cluster has from its beginning to its
// end. It is asked of the live cluster each time.
func (c *Conn) Identity(ctx context.Context) (string, error) {
	ns, err := c.Client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", model.WithHint(fmt.Errorf("cluster %s: read namespace %s, which identifies the cluster: %w", c.Name, metav1.NamespaceSystem, err),
			"hubship's account must be allowed to get that namespace")
	}
	if ns.UID == "" {
		return "", fmt.Errorf("cluster %s: %w", c.Name, errors.New("namespace kube-system has no UID"))
	}
	return string(ns.UID), nil
}

// EnsureOwnNamespace creates hubship's own namespace if there is none.
func (c *Conn) EnsureOwnNamespace(ctx context.Context) error {
	_, err := c.Client.CoreV1().Namespaces().Get(ctx, OwnNamespace, metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if apierrors.IsNotFound(err) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: OwnNamespace, Labels: map[string]string{
			LabelManagedBy: ManagedBy, LabelKind: "own",
			// No pod belongs there.
			"pod-security.kubernetes.io/enforce": "restricted",
		}}}
		_, err = c.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{FieldManager: ManagedBy})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return model.WithHint(fmt.Errorf("cluster %s: create namespace %s: %w", c.Name, OwnNamespace, err),
			"create the namespace "+OwnNamespace+", and let hubship's account write ConfigMaps and Leases in it")
	}
	return nil
}
