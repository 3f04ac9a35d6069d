// Package volumes serves PersistentVolumeClaims with directories below a node's
// data directory, so that they outlive the node's processes and are found under
// the name of their claim.
package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const (
	// StorageClass is the name of the default storage class.
	StorageClass = "hubship-local"
	// Provisioner is the name under which Serve answers claims.
	Provisioner = "hubship.dev/local"
)

// Serve answers claims of the storage class until ctx ends. Directories lie
// below root, as NAMESPACE/CLAIM. node is the name of the one node.
func Serve(ctx context.Context, config *rest.Config, root, node string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("serve volumes: %w", err)
	}
	// Only root may walk through here: the volumes themselves are open to every
	// user, because a container's user is not known beforehand.
	if err := os.MkdirAll(root, 0o700); err != nil {
		return fmt.Errorf("serve volumes: %w", err)
	}
	if err := os.Chmod(root, 0o700); err != nil {
		return fmt.Errorf("serve volumes: %w", err)
	}
	c := controller.NewProvisionController(ctx, client, Provisioner,
		&directories{root: root, node: node},
		controller.LeaderElection(false), controller.Threadiness(2))
	c.Run(ctx)
	return nil
}

// directories provisions volumes as directories.
type directories struct {
	root, node string
}

// Provision makes the directory of a claim. The same volume gets the same
// directory again.
func (d *directories) Provision(_ context.Context, options controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	claim := options.PVC
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		return nil, controller.ProvisioningFinished, errors.New("block volumes are not supported; use volumeMode Filesystem")
	}
	path, err := d.claim(claim.Namespace, claim.Name, options.PVName)
	if err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("create volume %s: %w", options.PVName, err)
	}
	reclaim := corev1.PersistentVolumeReclaimDelete
	if options.StorageClass.ReclaimPolicy != nil {
		reclaim = *options.StorageClass.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: reclaim,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{d.node},
				}},
			}}}},
		},
	}, controller.ProvisioningFinished, nil
}

// claim finds or makes the directory for a volume. A claim that was deleted and
// made again while its old volume is still being removed gets another one.
func (d *directories) claim(namespace, name, volume string) (string, error) {
	for _, path := range []string{
		filepath.Join(d.root, namespace, name),
		filepath.Join(d.root, namespace, name+"."+volume),
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		owner, err := os.ReadFile(ownerFile(path))
		switch {
		case err == nil && string(owner) != volume:
			continue
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return "", err
		}
		if err := os.WriteFile(ownerFile(path), []byte(volume), 0o600); err != nil {
			return "", err
		}
		if err := os.MkdirAll(path, 0o777); err != nil {
			return "", err
		}
		// The umask has taken bits away.
		return path, os.Chmod(path, 0o777)
	}
	return "", fmt.Errorf("the directories of claim %s/%s belong to other volumes", namespace, name)
}

// ownerFile names the file that says which volume a directory belongs to.
func ownerFile(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".volume")
}

// Delete removes the directory of a volume.
func (d *directories) Delete(_ context.Context, volume *corev1.PersistentVolume) error {
	if volume.Spec.Local == nil {
		return fmt.Errorf("delete volume %s: it is not a local one", volume.Name)
	}
	path := filepath.Clean(volume.Spec.Local.Path)
	if !strings.HasPrefix(path, d.root+"/") {
		return fmt.Errorf("delete volume %s: its path %s is not below %s", volume.Name, path, d.root)
	}
	owner, err := os.ReadFile(ownerFile(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil // It has been removed before.
	}
	if err != nil {
		return fmt.Errorf("delete volume %s: %w", volume.Name, err)
	}
	if string(owner) != volume.Name {
		return fmt.Errorf("delete volume %s: %s belongs to volume %s", volume.Name, path, owner)
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("delete volume %s: %w", volume.Name, err)
	}
	if err := os.Remove(ownerFile(path)); err != nil {
		return fmt.Errorf("delete volume %s: %w", volume.Name, err)
	}
	// The namespace's directory goes with its last volume.
	_ = os.Remove(filepath.Dir(path))
	return nil
}
