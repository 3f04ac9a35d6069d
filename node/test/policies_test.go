package test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/hubship/hubship/node/internal/policy"
)

// twoPorts is a web server at 8080, called http, and at 8081.
var twoPorts = `if (fork) { ` + server + ` } else { ` + strings.Replace(server, "8080", "8081", 1) + ` }`

// citizen is a pod of the world that policies are tried in.
type citizen struct {
	namespace, app string
	token          bool
	ip             netip.Addr // set once it runs
	service        string     // address of its Service, port 80 to http
}

// checkPolicies has pods of two namespaces dial each other, the API server, the
// name server and the outside, under one set of policies after another, by
// address and by Service. What is to be let through is what policy.Decide says;
// its own tests hold that against the text of the API.
func checkPolicies(t *testing.T, i *instance) {
	defer i.as(t)()
	began := time.Now()
	core, networking := i.client().CoreV1(), i.client().NetworkingV1()
	spaces := map[string]map[string]string{"red": {"team": "red"}, "blue": {"team": "blue"}}
	for name, labels := range spaces {
		if _, err := core.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	all := []*citizen{{namespace: "red", app: "a"}, {namespace: "red", app: "b"}, {namespace: "red", app: "c", token: true}, {namespace: "blue", app: "a"}}
	for _, c := range all {
		i.settle(c)
	}
	for _, c := range all {
		i.waitCitizen(c)
	}
	tcp, udp := corev1.ProtocolTCP, corev1.ProtocolUDP
	dns, http, second := intstr.FromInt32(53), intstr.FromString("http"), intstr.FromInt32(8081)
	app := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	}
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	names := networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "kube-system"}}}},
		Ports: []networkingv1.NetworkPolicyPort{
			{Protocol: &udp, Port: &dns}, {Protocol: &tcp, Port: &dns},
		},
	}
	for _, step := range []struct {
		what  string
		specs []networkingv1.NetworkPolicySpec // of namespace red
	}{
		{what: "no policy"},
		{what: "all shut", specs: []networkingv1.NetworkPolicySpec{{PolicyTypes: both}}},
		{what: "b reaches a by the name of its port", specs: []networkingv1.NetworkPolicySpec{{
			PodSelector: *app("a"), Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{{PodSelector: app("b")}}, Ports: []networkingv1.NetworkPolicyPort{{Port: &http}},
			}},
		}}},
		{what: "the other namespace reaches the second port", specs: []networkingv1.NetworkPolicySpec{{
			PodSelector: *app("a"), Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: spaces["blue"]}}}, Ports: []networkingv1.NetworkPolicyPort{{Port: &second}},
			}},
		}}},
		{what: "out to names and b alone", specs: []networkingv1.NetworkPolicySpec{{
			PolicyTypes: both[1:], Egress: []networkingv1.NetworkPolicyEgressRule{names, {To: []networkingv1.NetworkPolicyPeer{{PodSelector: app("b")}}, Ports: []networkingv1.NetworkPolicyPort{{Port: &http}}}},
		}}},
		{what: "out to what is not private", specs: []networkingv1.NetworkPolicySpec{{
			PodSelector: *app("c"), PolicyTypes: both[1:], Egress: []networkingv1.NetworkPolicyEgressRule{names, {To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}}}}}},
		}}},
	} {
		var policies []*networkingv1.NetworkPolicy
		for n, spec := range step.specs {
			p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", n), Namespace: "red"}, Spec: spec}
			made, err := networking.NetworkPolicies("red").Create(t.Context(), p, metav1.CreateOptions{})
			if err != nil {
				t.Fatalf("%s: %v", step.what, err)
			}
			policies = append(policies, made)
		}
		time.Sleep(time.Second) // they have to arrive
		i.dialAll(step.what, all, policies)
		if step.what == "all shut" {
			i.firstPackets()
		}
		for _, p := range policies {
			if err := networking.NetworkPolicies("red").Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name := range spaces {
		if err := core.Namespaces().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	t.Logf("policies were tried for %v", time.Since(began).Round(100*time.Millisecond))
}

// settle makes a pod with its Service.
func (i *instance) settle(c *citizen) {
	i.t.Helper()
	p := pod(c.app, "perl", "-e", twoPorts)
	p.Spec.AutomountServiceAccountToken = &c.token
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	core := i.client().CoreV1()
	// A namespace gets its account a moment after it was made.
	eventually(i.t, 20*time.Second, "pod "+c.app+" is taken", func() error {
		_, err := core.Pods(c.namespace).Create(i.t.Context(), p, metav1.CreateOptions{})
		return err
	})
	service, err := core.Services(c.namespace).Create(i.t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: c.app},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": c.app}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}}},
	}, metav1.CreateOptions{})
	if err != nil {
		i.t.Fatal(err)
	}
	c.service = service.Spec.ClusterIP
}

func (i *instance) waitCitizen(c *citizen) {
	i.t.Helper()
	eventually(i.t, time.Minute, "pod "+c.namespace+"/"+c.app+" serves", func() error {
		p, err := i.client().CoreV1().Pods(c.namespace).Get(i.t.Context(), c.app, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if p.Status.PodIP == "" {
			return fmt.Errorf("it is %s: %+v", p.Status.Phase, p.Status.ContainerStatuses)
		}
		c.ip = netip.MustParseAddr(p.Status.PodIP)
		for _, addr := range []string{c.ip.String() + ":8080", c.ip.String() + ":8081", c.service + ":80"} {
			if err := getHello("http://" + addr); err != nil {
				return err
			}
		}
		return nil
	})
}

// target is something to dial, and where the packets end up.
type target struct {
	addr, at string // as dialled, and behind a Service; host/port
}

// dialAll has every pod dial everything and compares with the decision.
func (i *instance) dialAll(what string, all []*citizen, policies []*networkingv1.NetworkPolicy) {
	i.t.Helper()
	w := policy.World{Namespaces: map[string]map[string]string{}, Policies: policies}
	namespaces, err := i.client().CoreV1().Namespaces().List(i.t.Context(), metav1.ListOptions{})
	if err != nil {
		i.t.Fatal(err)
	}
	for _, n := range namespaces.Items {
		w.Namespaces[n.Name] = n.Labels
	}
	dns, err := i.client().CoreV1().Pods("kube-system").List(i.t.Context(), metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil || len(dns.Items) != 1 {
		i.t.Fatalf("name server: %d pods, %v", len(dns.Items), err)
	}
	names := netip.MustParseAddr(dns.Items[0].Status.PodIP)
	w.Pods = append(w.Pods, policy.Pod{Namespace: "kube-system", Name: "dns", IP: names, Labels: dns.Items[0].Labels})
	node := netip.MustParseAddr(i.settings.NodeIP)
	api := fmt.Sprintf("%s/%d", node, i.settings.Port(0))
	targets := []target{
		{i.settings.KubernetesIP().String() + "/443", api},
		{api, api},
		{fmt.Sprintf("%s/%d", node, i.settings.Port(3)), ""}, // the kubelet: never
		{i.settings.DNSIP().String() + "/53", names.String() + "/53"},
		{names.String() + "/53", names.String() + "/53"},
	}
	for _, c := range all {
		w.Pods = append(w.Pods, policy.Pod{
			Namespace: c.namespace, Name: c.app, IP: c.ip, Labels: map[string]string{"app": c.app}, Token: c.token,
			Ports: []policy.Port{{Name: "http", Protocol: "tcp", Number: 8080}},
		})
		at := c.ip.String()
		targets = append(targets, target{at + "/8080", at + "/8080"}, target{at + "/8081", at + "/8081"}, target{c.service + "/80", at + "/8080"})
	}
	verdicts := map[netip.Addr]policy.Verdict{}
	for _, v := range policy.Decide(w) {
		verdicts[v.Pod.IP] = v
	}
	var script strings.Builder
	for _, to := range targets {
		fmt.Fprintf(&script, "(timeout 2 bash -c '</dev/tcp/%s' 2>/dev/null && echo %s) & ", to.addr, to.addr)
	}
	script.WriteString("wait; true")
	var group sync.WaitGroup
	results := make([][]string, len(all))
	for n, c := range all {
		group.Go(func() { results[n] = strings.Fields(i.execIn(c.namespace, c.app, script.String())) })
	}
	group.Wait()
	for n, c := range all {
		for _, to := range targets {
			want := false
			if to.at != "" {
				at := netip.MustParseAddrPort(strings.Replace(to.at, "/", ":", 1))
				peer, isPod := verdicts[at.Addr()]
				want = verdicts[c.ip].Egress.Permits(at.Addr(), "tcp", at.Port()) && (!isPod || peer.Ingress.Permits(c.ip, "tcp", at.Port())) || at.Addr() == c.ip
				if at.Addr() == node {
					want = want && c.token
				}
			}
			if got := slices.Contains(results[n], to.addr); got != want {
				i.t.Errorf("%s: %s/%s -> %s (%s): open %v, want %v", what, c.namespace, c.app, to.addr, to.at, got, want)
			}
		}
	}
}

// firstPackets starts pods under a policy that shuts all: not even the first
// packet of their first process gets out.
func (i *instance) firstPackets() {
	i.t.Helper()
	core := i.client().CoreV1()
	no := false
	var started []string
	for n := range 4 {
		p := pod(fmt.Sprintf("first%d", n), "bash", "-c", fmt.Sprintf("timeout 2 bash -c '</dev/tcp/%s/53' && echo open || echo closed; sleep 1000", i.settings.DNSIP()))
		p.Spec.AutomountServiceAccountToken = &no
		if _, err := core.Pods("red").Create(i.t.Context(), p, metav1.CreateOptions{}); err != nil {
			i.t.Fatal(err)
		}
		started = append(started, p.Name)
	}
	for _, name := range started {
		eventually(i.t, time.Minute, name+" has tried", func() error {
			logs, err := core.Pods("red").GetLogs(name, &corev1.PodLogOptions{}).DoRaw(i.t.Context())
			if err != nil || len(logs) == 0 {
				return fmt.Errorf("no word yet: %v", err)
			}
			if !strings.Contains(string(logs), "closed") {
				i.t.Errorf("%s, which its policies shut off, got out: %s", name, logs)
			}
			return nil
		})
	}
}
