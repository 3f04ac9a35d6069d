package policy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"pgregory.net/rapid"
)

// These tests have real packets go through the rules, in network namespaces
// that are joined as a node's are: each pod by a link of its own to the node,
// and the node by one to the machine.

const helperEnv = "HUBSHIP_POLICY_HELPER"

// TestMain is the helper, too: it serves or dials in a namespace.
func TestMain(m *testing.M) {
	switch what, rest, _ := strings.Cut(os.Getenv(helperEnv), " "); what {
	case "serve":
		helperServe(strings.Fields(rest))
	case "dial":
		helperDial(strings.Fields(rest))
	default:
		os.Exit(m.Run())
	}
}

func helperServe(addrs []string) {
	for _, addr := range addrs {
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte("hello"))
				_ = conn.Close()
			}
		}()
	}
	fmt.Println("ready")
	select {}
}

// helperDial prints which addresses have answered.
func helperDial(addrs []string) {
	var mu sync.Mutex
	var group sync.WaitGroup
	open := map[string]bool{}
	for _, addr := range addrs {
		group.Go(func() {
			ok := false
			if conn, err := net.DialTimeout("tcp4", addr, 1500*time.Millisecond); err == nil {
				_ = conn.SetReadDeadline(time.Now().Add(1500 * time.Millisecond))
				b := make([]byte, 5)
				n, _ := conn.Read(b)
				ok = string(b[:n]) == "hello"
				_ = conn.Close()
			}
			mu.Lock()
			open[addr] = ok
			mu.Unlock()
		})
	}
	group.Wait()
	_ = json.NewEncoder(os.Stdout).Encode(open)
}

// lab is a node without Kubernetes.
type lab struct {
	t    *testing.T
	name string
}

const labPods = 5

func (l lab) ns(name string) string { return l.name + name }

func (l lab) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (l lab) in(name string, args ...string) {
	l.t.Helper()
	l.ip(append([]string{"netns", "exec", l.ns(name), "ip"}, args...)...)
}

func podIP(i int) string { return fmt.Sprintf("10.1.0.%d", i+2) }

func newLab(t *testing.T) lab {
	t.Helper()
	for program, pkg := range map[string]string{"ip": "iproute2", "nft": "nftables"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not there: apt-get install %s", program, pkg)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces are root's alone")
	}
	l := lab{t: t, name: fmt.Sprintf("hsp%d", os.Getpid())}
	if out, err := exec.Command("ip", "netns", "add", l.ns("n")).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", l.ns("n")).Run() })
	add := func(name string) {
		l.ip("netns", "add", l.ns(name))
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", l.ns(name)).Run() })
		l.in(name, "link", "set", "lo", "up")
	}
	l.in("n", "link", "set", "lo", "up")
	l.in("n", "link", "add", "node0", "type", "bridge")
	l.in("n", "address", "add", "10.1.0.1/32", "dev", "node0")
	l.in("n", "link", "set", "node0", "up")
	if out, err := exec.Command("ip", "netns", "exec", l.ns("n"), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	join := func(name, link, ip string) {
		l.in("n", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", l.ns(name))
		l.in("n", "link", "set", link, "up")
		l.in("n", "route", "add", ip+"/32", "dev", link, "src", "10.1.0.1")
		l.in(name, "address", "add", ip+"/32", "dev", "eth0")
		l.in(name, "link", "set", "eth0", "up")
		l.in(name, "route", "add", "10.1.0.1/32", "dev", "eth0", "scope", "link")
		l.in(name, "route", "add", "default", "via", "10.1.0.1", "src", ip)
	}
	add("h")
	join("h", "uplink0", "10.1.0.254")
	l.in("h", "address", "add", outside.String()+"/32", "dev", "lo")
	l.in("n", "route", "add", "default", "via", "10.1.0.254", "dev", "uplink0", "onlink")
	l.serve("h", "10.1.0.254:53", outside.String()+":80", outside.String()+":443")
	l.serve("n", "10.1.0.1:17400", "10.1.0.1:17403")
	for i := range labPods {
		name := fmt.Sprint("p", i)
		add(name)
		join(name, fmt.Sprint("v", i), podIP(i))
		l.serve(name, podIP(i)+":53", podIP(i)+":80", podIP(i)+":81", podIP(i)+":8000")
	}
	return l
}

func (l lab) helper(name, task string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", l.ns(name), self)
	cmd.Env = append(os.Environ(), helperEnv+"="+task)
	return cmd
}

func (l lab) serve(name string, addrs ...string) {
	l.t.Helper()
	cmd := l.helper(name, "serve "+strings.Join(addrs, " "))
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		l.t.Fatalf("serve %v: %s", addrs, line)
	}
}

// dial returns which of the addresses answer somebody in a namespace.
func (l lab) dial(name string, addrs ...string) map[string]bool {
	l.t.Helper()
	out, err := l.helper(name, "dial "+strings.Join(addrs, " ")).Output()
	if err != nil {
		l.t.Fatalf("dial from %s: %v", name, err)
	}
	open := map[string]bool{}
	if err := json.Unmarshal(out, &open); err != nil {
		l.t.Fatal(err)
	}
	return open
}

func (l lab) apply(rules string) {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", l.ns("n"), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s\n%s", err, out, rules)
	}
}

// everything that answers somebody in the lab.
func (l lab) addresses() []string {
	out := []string{"10.1.0.254:53", outside.String() + ":80", outside.String() + ":443", "10.1.0.1:17400", "10.1.0.1:17403"}
	for i := range labPods {
		for _, port := range []int{53, 80, 81, 8000} {
			out = append(out, fmt.Sprintf("%s:%d", podIP(i), port))
		}
	}
	return out
}

// check dials everything from everywhere and compares with the decision.
func (l lab) check(w World) {
	l.t.Helper()
	l.apply(Rules(testNet, Decide(w)))
	verdicts := map[string]Verdict{}
	for _, v := range Decide(w) {
		verdicts[v.Pod.IP.String()] = v
	}
	var group sync.WaitGroup
	results := make([]map[string]bool, labPods)
	for i := range labPods {
		group.Go(func() { results[i] = l.dial(fmt.Sprint("p", i), l.addresses()...) })
	}
	group.Wait()
	for i, open := range results {
		from, known := verdicts[podIP(i)]
		for addr, got := range open {
			at := netip.MustParseAddrPort(addr)
			to, isPod := verdicts[at.Addr().String()]
			want := false
			switch {
			case at.Addr().String() == podIP(i):
				want = true // it does not even leave the pod
			case !known:
			case at.Addr() == testNet.Node:
				want = at.Port() == 17400 && from.Pod.Token && from.Egress.Permits(at.Addr(), "tcp", at.Port())
			case !isPod && testNet.Pods.Contains(at.Addr()) && at.Addr() != testNet.Host:
				// a pod of which nothing is known
			default:
				want = from.Egress.Permits(at.Addr(), "tcp", at.Port()) && (!isPod || to.Ingress.Permits(from.Pod.IP, "tcp", at.Port()))
			}
			if got != want {
				l.t.Errorf("pod %s -> %s: open %v, want %v", podIP(i), addr, got, want)
			}
		}
	}
	// The machine reaches every pod that is known, and of the node the API.
	for addr, got := range l.dial("h", l.addresses()...) {
		at := netip.MustParseAddrPort(addr)
		_, isPod := verdicts[at.Addr().String()]
		want := isPod || at.Port() == 17400 || at.Addr() == outside || at.Addr() == testNet.Host
		if at.Addr() != testNet.Node && testNet.Pods.Contains(at.Addr()) && at.Addr() != testNet.Host && !isPod {
			continue // nothing runs there in a real node
		}
		if got != want {
			l.t.Errorf("machine -> %s: open %v, want %v", addr, got, want)
		}
	}
	if l.t.Failed() {
		text, _ := json.MarshalIndent(w, "", " ")
		l.t.Fatalf("in the world %s\n%s", text, Rules(testNet, Decide(w)))
	}
}

func TestRulesHoldRealPackets(t *testing.T) {
	l := newLab(t)
	l.check(World{}) // nothing is known yet: everything is shut
	open := World{Namespaces: map[string]map[string]string{"a": {}}}
	for i := range labPods {
		open.Pods = append(open.Pods, Pod{Namespace: "a", Name: fmt.Sprint(i), IP: netip.MustParseAddr(podIP(i)), Token: i%2 == 0, Labels: map[string]string{"app": "x"}})
	}
	l.check(open)
	shut := open
	shut.Policies = []*networkingv1.NetworkPolicy{{Spec: networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
	}}}
	shut.Policies[0].Namespace = "a"
	l.check(shut)
	worlds := rapid.Custom(drawWorld)
	for seed := range 8 {
		l.check(worlds.Example(seed))
	}
}
