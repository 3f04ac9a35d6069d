package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/node/internal/policy/attach"
)

// The tests run this very program as a container runtime does.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// supervisor answers at a socket and notes what it was asked.
type supervisor struct {
	mu       sync.Mutex
	attached []attach.Sandbox
	detached []string
	refuses  string
}

func (s *supervisor) serve(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "policy.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /sandboxes/{id}", func(w http.ResponseWriter, r *http.Request) {
		var got attach.Sandbox
		_ = json.NewDecoder(r.Body).Decode(&got)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refuses != "" {
			http.Error(w, s.refuses, http.StatusServiceUnavailable)
			return
		}
		s.attached = append(s.attached, got)
	})
	mux.HandleFunc("DELETE /sandboxes/{id}", func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.detached = append(s.detached, r.PathValue("id"))
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return path
}

const previous = `, "prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/x"}],
 "ips": [{"interface": 0, "address": "10.201.0.7/24", "gateway": "10.201.0.1"}], "routes": [{"dst": "0.0.0.0/0"}], "dns": {}}`

// plugin runs a command of the protocol.
func plugin(t *testing.T, command, socket, more string) (out string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=box1", "CNI_NETNS=/proc/self/ns/net", "CNI_NETNS_OVERRIDE=1", "CNI_IFNAME=eth0", "CNI_PATH=/none",
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=one;K8S_POD_INFRA_CONTAINER_ID=box1;K8S_POD_UID=uid-1",
	}
	cmd.Stdin = strings.NewReader(`{"cniVersion": "1.0.0", "name": "pods", "type": "hubship-policy", "socket": "` + socket + `"` + more + `}`)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	err = cmd.Run()
	return stdout.String(), err
}

func TestPlugin(t *testing.T) {
	s := &supervisor{}
	socket := s.serve(t)
	out, err := plugin(t, "ADD", socket, previous)
	var result struct {
		IPs []struct{ Address string } `json:"ips"`
	}
	if err != nil || json.Unmarshal([]byte(out), &result) != nil || len(result.IPs) != 1 || result.IPs[0].Address != "10.201.0.7/24" {
		t.Fatalf("ADD: %v\n%s", err, out)
	}
	want := attach.Sandbox{ID: "box1", Namespace: "a", Name: "one", UID: "uid-1", IP: "10.201.0.7"}
	if len(s.attached) != 1 || s.attached[0] != want {
		t.Errorf("attached %+v, want %+v", s.attached, want)
	}
	if out, err := plugin(t, "DEL", socket, previous); err != nil || len(s.detached) != 1 || s.detached[0] != "box1" {
		t.Errorf("DEL: %v, %v\n%s", s.detached, err, out)
	}
	// What cannot be shut in gets no network; what ends can always end.
	s.refuses = "nft fails"
	if out, err := plugin(t, "ADD", socket, previous); err == nil || !strings.Contains(out, "nft fails") {
		t.Errorf("ADD although the rules are not in force: %v\n%s", err, out)
	}
	if out, err := plugin(t, "ADD", socket+".none", previous); err == nil {
		t.Errorf("ADD without a supervisor\n%s", out)
	}
	if out, err := plugin(t, "ADD", socket, ""); err == nil {
		t.Errorf("ADD without an address\n%s", out)
	}
	if out, err := plugin(t, "DEL", socket+".none", ""); err != nil {
		t.Errorf("DEL without a supervisor: %v\n%s", err, out)
	}
}
