// Package clustertest gives tests a real cluster. The cluster is named by
// HUBSHIP_TEST_KUBECONFIG and HUBSHIP_TEST_CONTEXT; without both, a test that
// needs it is skipped by name.
package clustertest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// counter keeps namespaces of one process apart.
var counter atomic.Int64

// Cluster returns the test cluster, or skips the test.
func Cluster(t testing.TB) model.Cluster {
	t.Helper()
	c := model.Cluster{Name: "test", Kubeconfig: os.Getenv("HUBSHIP_TEST_KUBECONFIG"), Context: os.Getenv("HUBSHIP_TEST_CONTEXT")}
	if c.Kubeconfig == "" || c.Context == "" {
		t.Skip("skipped: needs a Kubernetes cluster; set HUBSHIP_TEST_KUBECONFIG and HUBSHIP_TEST_CONTEXT")
	}
	return c
}

// Image returns an image that the cluster's nodes can pull and that has
// `sleep` and `sh`, or skips the test. It is named by HUBSHIP_TEST_IMAGE.
func Image(t testing.TB) (name, tag string) {
	t.Helper()
	ref := os.Getenv("HUBSHIP_TEST_IMAGE")
	i := strings.LastIndex(ref, ":")
	if ref == "" || i < strings.LastIndex(ref, "/") {
		t.Skip("skipped: needs nodes that run pods; set HUBSHIP_TEST_IMAGE to an image with a tag, that has sleep and sh")
	}
	return ref[:i], ref[i+1:]
}

// Digest returns the digest of that image, which everybody may read at the
// registry of a test's node, over HTTP.
func Digest(t testing.TB) string {
	t.Helper()
	name, tag := Image(t)
	host, repository, _ := strings.Cut(name, "/")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+host+"/v2/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"} {
		req.Header.Add("Accept", kind)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	digest := res.Header.Get("Docker-Content-Digest")
	if digest == "" {
		t.Fatalf("%s:%s has no digest: %s", name, tag, res.Status)
	}
	return digest
}

// Target returns where a release of the test may live: a namespace of its own,
// that is created when something first needs it and removed with the test.
func Target(t testing.TB, set *cluster.Set, c model.Cluster, release string) model.Target {
	t.Helper()
	conn, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	ns := fmt.Sprintf("hubship-test-%d-%d-%d", os.Getpid(), time.Now().Unix(), counter.Add(1))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := conn.Client.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("remove namespace %s: %v", ns, err)
		}
	})
	return model.Target{Hub: "data8", Environment: "staging", Cluster: c.Name, Namespace: ns, Release: release}
}
