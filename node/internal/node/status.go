package node

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"

	"k8s.io/component-base/version"

	"github.com/hubship/hubship/node/internal/supervise"
)

// Status is what GET /status of the control socket answers.
type Status struct {
	Name string `json:"name"`
	// Ready says that pods, Services, names, volumes and builds work: the start
	// is over and every program runs.
	Ready bool `json:"ready"`
	// Phase is what the node is doing: "starting", "running", "stopping" or
	// "failed".
	Phase string `json:"phase"`
	// Error is why it failed; empty otherwise.
	Error string `json:"error"`
	// PID is the supervisor's process.
	PID int `json:"pid"`
	// Version is that of Kubernetes.
	Version    string             `json:"version"`
	StartedAt  time.Time          `json:"startedAt"`
	Steps      []Step             `json:"steps"`
	Components []supervise.Status `json:"components"`
	// Kubeconfig is the path of the administrator's kubeconfig, and Context the
	// name of its one context.
	Kubeconfig string `json:"kubeconfig"`
	Context    string `json:"context"`
	// Registry is host and port of the registry, plain HTTP, under the same name
	// on the machine, in the node and in builds' FROM lines.
	Registry string `json:"registry"`
	// RegistryCredentials is the path of a docker configuration file, mode 0600,
	// with the account that pushes to the registry. The account itself is shown
	// nowhere.
	RegistryCredentials string `json:"registryCredentials"`
	// BuildKit is the builder's address.
	BuildKit    string `json:"buildkit"`
	NodeIP      string `json:"nodeIP"`
	PodCIDR     string `json:"podCIDR"`
	ServiceCIDR string `json:"serviceCIDR"`
	// DNSIP is the address of the cluster's name server.
	DNSIP string `json:"dnsIP"`
	// StorageClass is the name of the default storage class.
	StorageClass string `json:"storageClass"`
}

func (n *Node) status() Status {
	s := Status{
		Name: n.s.Name, PID: os.Getpid(), Version: version.Get().GitVersion, StartedAt: n.startedAt,
		Kubeconfig: n.s.Kubeconfig(), Context: n.s.Context(), Registry: n.s.Registry(),
		RegistryCredentials: n.s.RegistryCredentials(), BuildKit: n.s.BuildKit(),
		NodeIP: n.s.NodeIP, PodCIDR: n.s.PodCIDR, ServiceCIDR: n.s.ServiceCIDR,
		DNSIP: n.s.DNSIP().String(), StorageClass: storageClass,
	}
	n.board.fill(&s)
	own := supervise.Status{Name: "supervisor", PID: s.PID, State: supervise.Running}
	own.RSSBytes, own.PSSBytes = supervise.Memory(s.PID)
	s.Components = append(s.Components, own)
	for _, p := range n.running() {
		component := p.Status()
		s.Ready = s.Ready && component.State == supervise.Running
		s.Components = append(s.Components, component)
	}
	return s
}

// serveControl answers at the control socket until the returned function is
// called.
func (n *Node) serveControl() (stop func(), err error) {
	listener, err := listenPrivate(n.s.Socket())
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(n.status()) // A client that hung up needs no answer.
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		n.requestStop()
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("the control socket closed", "error", err)
		}
	}()
	return func() {
		_ = server.Close()
		<-done
	}, nil
}
