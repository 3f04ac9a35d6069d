package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/verify/jupyter"
)

// tries is what a student runs: it dials every address at once and prints which
// of them took the connection, and what its own process may do.
const tries = `
import concurrent.futures, json, os, socket
def dial(at):
    host, _, port = at.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=4).close()
        return at
    except OSError:
        return None
with concurrent.futures.ThreadPoolExecutor(100) as pool:
    opened = [at for at in pool.map(dial, ADDRESSES) if at]
status = dict(line.split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
print("RESULT " + json.dumps({
    "open": opened,
    "own": socket.gethostbyname(socket.gethostname()),
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "uid": os.getuid(), "capabilities": int(status["CapEff"], 16),
    "seccomp": status["Seccomp"].strip(), "noNewPrivileges": status["NoNewPrivs"].strip(),
}))
`

// studentsReach has a student's server try every address that it must not
// reach, each of which somebody serves, and what it needs.
func (i *installation) studentsReach(t *testing.T) {
	if i.settings.Node == nil {
		t.Skip("a cluster of one's own has addresses of its own")
	}
	ada, bob := i.login(t, "staging", "ada"), i.login(t, "staging", "bob")
	ada.start(t)
	bob.start(t)
	defer ada.stop(t)
	defer bob.stop(t)

	pods := netip.MustParsePrefix(i.settings.Node.PodCIDR)
	node, base := i.settings.Node.NodeIP(), i.settings.Node.PortBase
	api := netip.MustParsePrefix(i.settings.Node.ServiceCIDR).Addr().Next().String() + ":443"
	forbidden := []string{api, "proxy-api:8001", "169.254.169.254:80", "hub.datahub-prod.svc.cluster.local:8081", "proxy-api.datahub-prod.svc.cluster.local:8001"}
	for offset := range 21 {
		forbidden = append(forbidden, fmt.Sprintf("%s:%d", node, base+offset))
	}
	// Another student's server is at one of these, whichever it is.
	var neighbours []string
	for ip := pods.Addr().Next().Next(); pods.Contains(ip); ip = ip.Next() {
		neighbours = append(neighbours, ip.String()+":8888")
	}
	// hubship and the registry, at every address that the machine has.
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		ip := addr.(*net.IPNet).IP.To4()
		if ip == nil || ip.IsLoopback() {
			continue
		}
		forbidden = append(forbidden, fmt.Sprintf("%s:%d", ip, i.settings.Port), fmt.Sprintf("%s:%d", ip, base+20), fmt.Sprintf("%s:22", ip))
	}
	needed := []string{"hub:8081", "proxy-public:80"}

	got := ada.tries(t, slices.Concat(forbidden, neighbours, needed))
	for _, at := range got.Open {
		if !slices.Contains(needed, at) && at != got.Own+":8888" {
			t.Errorf("a student's server reaches %s", at)
		}
	}
	for _, at := range needed {
		if !slices.Contains(got.Open, at) {
			t.Errorf("a student's server does not reach %s", at)
		}
	}
	if got.Token {
		t.Error("a student's server has a token of the Kubernetes API")
	}
	if got.UID == 0 || got.Capabilities != 0 || got.Seccomp != "2" || got.NoNewPrivileges != "1" {
		t.Errorf("a student's process has more rights than it needs: %+v", got)
	}
}

// reached is what tries prints.
type reached struct {
	Open            []string `json:"open"`
	Own             string   `json:"own"`
	Token           bool     `json:"token"`
	UID             int      `json:"uid"`
	Capabilities    uint64   `json:"capabilities"`
	Seccomp         string   `json:"seccomp"`
	NoNewPrivileges string   `json:"noNewPrivileges"`
}

// tries runs the code of that name in a kernel of the student's server.
func (s *student) tries(t *testing.T, addresses []string) reached {
	t.Helper()
	list, err := json.Marshal(addresses)
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	notebook := jupyter.New(base, s.web.Transport, s.token(t)).Notebook(s.name)
	specs, err := notebook.KernelSpecs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	name, ok := specs.Python()
	if !ok {
		t.Fatalf("the server has no Python among %v", specs.Names())
	}
	id, err := notebook.StartKernel(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := notebook.Connect(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	if _, err := kernel.Info(ctx); err != nil {
		t.Fatal(err)
	}
	res, err := kernel.Run(ctx, jupyter.Cell{Code: "ADDRESSES = " + string(list) + "\n" + tries, Timeout: time.Minute, Grace: 10 * time.Second})
	if err != nil || res.Raised != nil || res.TimedOut {
		t.Fatalf("the student's code: %v, %+v", err, res)
	}
	_, text, ok := strings.Cut(res.Output, "RESULT ")
	var out reached
	if !ok || json.Unmarshal([]byte(text), &out) != nil {
		t.Fatalf("the student's code printed %q", res.Output)
	}
	return out
}

// token makes a token of the student's own.
func (s *student) token(t *testing.T) string {
	t.Helper()
	s.do(t, http.MethodGet, "/hub/home", nil, "")
	path := "/hub/api/users/" + s.name + "/tokens?_xsrf=" + url.QueryEscape(s.xsrf("/hub/"))
	code, body := s.do(t, http.MethodPost, path, strings.NewReader(`{"note": "test", "expires_in": 600}`), "application/json")
	var made struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(body), &made); code/100 != 2 || err != nil || made.Token == "" {
		t.Fatalf("a token for %s: %d %.300s", s.name, code, body)
	}
	return made.Token
}
