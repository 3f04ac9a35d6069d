package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/tonistiigi/fsutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// server is a web server of the few programs that the base image has.
const server = `use IO::Socket::INET; $| = 1;
my $s = IO::Socket::INET->new(Listen => 5, LocalPort => 8080, ReuseAddr => 1) or die;
print "listening\n";
while (my $c = $s->accept) { while (<$c>) { last if /^\r?\n$/ } print $c "HTTP/1.0 200 OK\r\n\r\nhello"; close $c }`

// pod describes a pod of the base image that runs as user 1000.
func pod(name string, command ...string) *corev1.Pod {
	user, grace := int64(1000), int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			SecurityContext:               &corev1.PodSecurityContext{RunAsUser: &user},
			Containers:                    []corev1.Container{{Name: "main", Image: "debian:bookworm-slim", Command: command}},
		},
	}
}

// deploy makes a web server with a Service and a volume, and a pod to look from.
func (i *instance) deploy() {
	i.t.Helper()
	ctx := i.t.Context()
	core := i.client().CoreV1()
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	web := pod("web", "perl", "-e", server)
	web.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	web.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "web"},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	_, claimErr := core.PersistentVolumeClaims("default").Create(ctx, claim, metav1.CreateOptions{})
	_, webErr := core.Pods("default").Create(ctx, web, metav1.CreateOptions{})
	_, serviceErr := core.Services("default").Create(ctx, service, metav1.CreateOptions{})
	_, lookErr := core.Pods("default").Create(ctx, pod("look", "sleep", "100000"), metav1.CreateOptions{})
	if err := errors.Join(claimErr, webErr, serviceErr, lookErr); err != nil {
		i.t.Fatal(err)
	}
	i.waitPods(2*time.Minute, "web", "look")
}

// waitPods waits until pods are ready by what the kubelet says now: after a
// restart the API still holds what was true before.
func (i *instance) waitPods(timeout time.Duration, names ...string) {
	i.t.Helper()
	core := i.client().CoreV1()
	for _, name := range names {
		eventually(i.t, timeout, "pod "+name+" runs", func() error {
			p, err := core.Pods("default").Get(i.t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, status := range p.Status.ContainerStatuses {
				if status.Ready && status.State.Running != nil {
					return nil
				}
			}
			return fmt.Errorf("phase %s: %+v", p.Status.Phase, p.Status.ContainerStatuses)
		})
	}
}

// reach asks the web server over its Service and its own address, from the
// machine.
func (i *instance) reach() {
	i.t.Helper()
	core := i.client().CoreV1()
	service, err := core.Services("default").Get(i.t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		i.t.Fatal(err)
	}
	web, err := core.Pods("default").Get(i.t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		i.t.Fatal(err)
	}
	for _, addr := range []string{service.Spec.ClusterIP + ":80", web.Status.PodIP + ":8080"} {
		eventually(i.t, 20*time.Second, "the machine reaches "+addr, func() error { return getHello("http://" + addr) })
	}
}

func getHello(url string) error {
	resp, err := (&http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if string(body) != "hello" {
		return fmt.Errorf("got %q", body)
	}
	return nil
}

// connects reports whether a TCP connection from the machine succeeds.
func connects(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// build builds the Dockerfile in dir and pushes it to the node's registry.
func (i *instance) build(dir, image string) {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), 6*time.Minute)
	defer cancel()
	builder, err := client.New(ctx, i.settings.BuildKit())
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = builder.Close() }()
	files, err := fsutil.NewFS(dir)
	if err != nil {
		i.t.Fatal(err)
	}
	var log []byte
	status := make(chan *client.SolveStatus)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range status {
			for _, line := range s.Logs {
				log = append(log, line.Data...)
			}
		}
	}()
	_, err = builder.Solve(ctx, nil, client.SolveOpt{
		Frontend:    "dockerfile.v0",
		LocalMounts: map[string]fsutil.FS{"context": files, "dockerfile": files},
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{
			"name": image, "push": "true", "compression": "zstd", "compression-level": "1",
		}}},
		Session: []session.Attachable{&keyring{i: i}},
	}, status)
	<-done
	if err != nil {
		i.t.Fatalf("build: %v\n%s", err, log)
	}
}
