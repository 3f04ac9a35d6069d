package cluster_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/cluster/clustertest"
)

func TestNamespaceAndSecret(t *testing.T) {
	c := clustertest.Cluster(t)
	set := cluster.New(cluster.Options{})
	target := clustertest.Target(t, set, c, "data8")
	conn, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Secret(t.Context(), c, target.Namespace, "hub"); !apierrors.IsNotFound(err) {
		t.Errorf("a Secret that is not there: %v", err)
	}
	for range 2 {
		if err := conn.EnsureNamespace(t.Context(), target); err != nil {
			t.Fatal(err)
		}
	}
	ns, err := conn.Client.CoreV1().Namespaces().Get(t.Context(), target.Namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ns.Labels[cluster.LabelManagedBy] != cluster.ManagedBy || ns.Labels[cluster.LabelHub] != "data8" || ns.Labels[cluster.LabelEnvironment] != "staging" {
		t.Errorf("labels %v", ns.Labels)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hub"}, Data: map[string][]byte{"k": []byte("v")}}
	if _, err := conn.Client.CoreV1().Secrets(target.Namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	data, err := set.Secret(t.Context(), c, target.Namespace, "hub")
	if err != nil || string(data["k"]) != "v" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestClaimsBeingRemoved(t *testing.T) {
	c := clustertest.Cluster(t)
	set := cluster.New(cluster.Options{})
	target := clustertest.Target(t, set, c, "claims")
	conn, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.EnsureNamespace(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	claims := conn.Client.CoreV1().PersistentVolumeClaims(target.Namespace)
	for name, user := range map[string]string{"claim-ada": "ada@berkeley.edu", "claim-ben": "ben", "claim-kept": "ada@berkeley.edu"} {
		_, err := claims.Create(t.Context(), &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"hub.jupyter.org/username": user}, Finalizers: []string{"hubship.io/test"}},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Mi")}},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, err := claims.Patch(context.Background(), name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				t.Error(err)
			}
		})
	}
	removed := func(want ...string) {
		t.Helper()
		got, err := set.ClaimsBeingRemoved(t.Context(), c, target.Namespace, "ada@berkeley.edu")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("being removed: %q, %v; want %q", got, err, want)
		}
	}
	removed()
	for _, name := range []string{"claim-ada", "claim-ben"} {
		if err := claims.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	removed("claim-ada")
	if _, err := claims.Patch(t.Context(), "claim-ada", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := claims.Get(t.Context(), "claim-ada", metav1.GetOptions{}); apierrors.IsNotFound(err) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the claim does not go away")
		}
	}
	removed()
}

func TestMapperAsksAgainForMissingKinds(t *testing.T) {
	c := clustertest.Cluster(t)
	conn, err := cluster.New(cluster.Options{}).Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"}); err != nil {
		t.Fatal(err)
	}
	before := conn.Mapper.Generation()
	if _, err := conn.Mapper.RESTMapping(schema.GroupKind{Group: "hubship.io", Kind: "Nothing"}); err == nil {
		t.Fatal("a kind that does not exist was found")
	}
	if conn.Mapper.Generation() == before {
		t.Error("discovery was not read again for a missing kind")
	}
	again := conn.Mapper.Generation()
	_, _ = conn.Mapper.RESTMapping(schema.GroupKind{Group: "hubship.io", Kind: "Nothing"})
	if conn.Mapper.Generation() != again {
		t.Error("discovery is read again at every question")
	}
}

// TestForward reaches a pod's HTTP server through the API server.
func TestForward(t *testing.T) {
	c := clustertest.Cluster(t)
	name, tag := clustertest.Image(t)
	set := cluster.New(cluster.Options{})
	target := clustertest.Target(t, set, c, "data8")
	conn, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.EnsureNamespace(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	grace := int64(0)
	labels := map[string]string{"app": "echo"}
	// perl is part of every Debian base image; it answers each connection.
	server := `use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die;
		while (my $c = $s->accept) { while (my $l = <$c>) { last if $l =~ /^\r?$/ } print $c "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"; close $c }`
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "echo", Labels: labels}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{
			Name: "echo", Image: name + ":" + tag, Command: []string{"perl", "-e", server},
			Ports:          []corev1.ContainerPort{{Name: "web", ContainerPort: 8000}},
			ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8000)}}},
		}},
	}}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "echo"}, Spec: corev1.ServiceSpec{
		Selector: labels, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("web")}},
	}}
	if _, err := conn.Client.CoreV1().Pods(target.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Client.CoreV1().Services(target.Namespace).Create(t.Context(), svc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: set.HTTPTransport(c, target.Namespace, "echo", "http"), Timeout: 10 * time.Second}
	var last error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(300 * time.Millisecond) {
		if last = get(client); last == nil {
			break
		}
	}
	if last != nil {
		t.Fatal(last)
	}
	for range 20 { // a forwarded connection each: the server closes them
		if err := get(client); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := set.Dial(t.Context(), c, target.Namespace, "echo", "nothing"); err == nil || !strings.Contains(err.Error(), `no port "nothing"`) {
		t.Errorf("an unknown port: %v", err)
	}
	if _, err := set.Dial(t.Context(), c, target.Namespace, "other", "80"); err == nil || !strings.Contains(err.Error(), "other port 80") {
		t.Errorf("an unknown Service: %v", err)
	}
	nc, err := set.Dial(t.Context(), c, target.Namespace, "echo", "80")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if err := nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("a read past its deadline gave something")
	}
}

func get(client *http.Client) error {
	resp, err := client.Get("http://hub.example/")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != "hello" {
		return io.ErrUnexpectedEOF
	}
	return err
}
