package volumes

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func provision(t *testing.T, d *directories, volume string) *corev1.PersistentVolume {
	t.Helper()
	pv, _, err := d.Provision(t.Context(), controller.ProvisionOptions{
		StorageClass: &storagev1.StorageClass{}, PVName: volume,
		PVC: &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "hub", Name: "claim-ada"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return pv
}

func TestVolumeLivesAndDies(t *testing.T) {
	d := &directories{root: t.TempDir(), node: "n"}
	pv := provision(t, d, "pvc-1")
	path := pv.Spec.Local.Path
	if path != filepath.Join(d.root, "hub", "claim-ada") {
		t.Errorf("got path %s", path)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("mode %v, want 0777 (%v)", info.Mode().Perm(), err)
	}
	if again := provision(t, d, "pvc-1"); again.Spec.Local.Path != path {
		t.Errorf("the same volume moved to %s", again.Spec.Local.Path)
	}
	if err := d.Delete(t.Context(), pv); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(d.root, "hub")); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
	if err := d.Delete(t.Context(), pv); err != nil {
		t.Errorf("the second deletion failed: %v", err)
	}
}

// A claim may be made again while its old volume is still being deleted: the
// deletion must not take the new one's files.
func TestNewVolumeOutlivesOldOfTheSameClaim(t *testing.T) {
	d := &directories{root: t.TempDir(), node: "n"}
	first := provision(t, d, "pvc-1")
	second := provision(t, d, "pvc-2")
	if first.Spec.Local.Path == second.Spec.Local.Path {
		t.Fatal("two volumes share a directory")
	}
	file := filepath.Join(second.Spec.Local.Path, "notebook")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the new volume lost its file: %v", err)
	}
}

func TestDeleteStaysBelowRoot(t *testing.T) {
	d := &directories{root: t.TempDir(), node: "n"}
	outside := t.TempDir()
	for _, path := range []string{outside, d.root + "/../" + filepath.Base(outside)} {
		pv := &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}}}}
		if err := d.Delete(t.Context(), pv); err == nil {
			t.Errorf("%s was deleted", path)
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}
