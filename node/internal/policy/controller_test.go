package policy

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

// table is nft's part: the rules that are in force.
type table struct {
	forgot []netip.Addr
	mu     sync.Mutex
	rules  string
	fails  bool
	runs   int
}

func (f *table) apply(rules string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs++
	if f.fails {
		return errors.New("nft fails")
	}
	f.rules = rules
	return nil
}

func (f *table) forget(ip netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgot = append(f.forgot, ip)
	return nil
}

func (f *table) has(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Contains(f.rules, text)
}

func (f *table) setBroken(fails bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

func testPod(name, uid string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, UID: types.UID("uid-" + uid), Labels: map[string]string{"app": name}}}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 100 {
		if is() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("not within five seconds: " + what)
}

func TestController(t *testing.T) {
	shut := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "shut"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, testPod("one", "1"))
	rules := &table{}
	c := &Controller{
		net: testNet, client: client, apply: rules.apply, forget: rules.forget, log: slog.New(slog.DiscardHandler),
		synced: make(chan struct{}), changed: make(chan struct{}, 1), attached: map[string]attached{},
	}
	// Before the policies are read no pod gets a network.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	one := Sandbox{ID: "s1", Namespace: "a", Name: "one", UID: "uid-1", IP: "10.1.0.2"}
	if err := c.Attach(ctx, one); err == nil {
		t.Error("a pod is attached before the policies are read")
	}
	life, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(life) }()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := c.Attach(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if !rules.has("10.1.0.2 : return") {
		t.Errorf("the pod is not open:\n%s", rules.rules)
	}
	if _, err := client.NetworkingV1().NetworkPolicies("a").Create(t.Context(), shut, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "the policy is in force", func() bool { return rules.has("10.1.0.2 : goto e-") })

	// Pods that are not what they say they are.
	for what, s := range map[string]Sandbox{
		"no such pod":       {ID: "x", Namespace: "a", Name: "none", UID: "uid-1", IP: "10.1.0.3"},
		"an older pod":      {ID: "x", Namespace: "a", Name: "one", UID: "uid-0", IP: "10.1.0.3"},
		"a build's address": {ID: "x", Namespace: "a", Name: "one", UID: "uid-1", IP: "10.1.0.200"},
		"another range":     {ID: "x", Namespace: "a", Name: "one", UID: "uid-1", IP: "192.0.2.1"},
		"no address":        {ID: "x", Namespace: "a", Name: "one", UID: "uid-1", IP: ""},
	} {
		if err := c.Attach(t.Context(), s); err == nil || rules.has("10.1.0.3") {
			t.Errorf("%s is attached", what)
		}
	}
	// One that nft refuses gets no network, and the others keep their rules.
	if _, err := client.CoreV1().Pods("a").Create(t.Context(), testPod("two", "2"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	two := Sandbox{ID: "s2", Namespace: "a", Name: "two", UID: "uid-2", IP: "10.1.0.3"}
	rules.setBroken(true)
	if err := c.Attach(t.Context(), two); err == nil {
		t.Error("a pod is attached whose rules are not in force")
	}
	rules.setBroken(false)
	if err := c.Attach(t.Context(), two); err != nil || !rules.has("10.1.0.3 : goto e-") {
		t.Errorf("%v", err)
	}
	// A pod that is gone from the API keeps its rules until its network is gone.
	if err := client.CoreV1().Pods("a").Delete(t.Context(), "two", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * gather)
	if !rules.has("10.1.0.3 : goto e-") {
		t.Error("the rules of a pod that ends are gone before its network")
	}
	// The address goes to another pod, although nobody has said that it is free.
	if _, err := client.CoreV1().Pods("a").Create(t.Context(), testPod("three", "3"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	three := Sandbox{ID: "s3", Namespace: "a", Name: "three", UID: "uid-3", IP: "10.1.0.3"}
	if err := c.Attach(t.Context(), three); err != nil || strings.Count(rules.rules, "10.1.0.3 : goto") != 1 {
		t.Errorf("%v\n%s", err, rules.rules)
	}
	if n := len(rules.forgot); n == 0 || rules.forgot[n-1].String() != three.IP {
		t.Errorf("connections of the pod before go on: %v", rules.forgot)
	}
	for _, id := range []string{"s2", "s3", "s3", "unknown"} {
		if err := c.Detach(id); err != nil {
			t.Error(err)
		}
	}
	if rules.has("10.1.0.3") {
		t.Error("an address that nobody has is still let through")
	}
}

// While nft fails the rules of before stay, and what was missed is made up for.
func TestRulesStay(t *testing.T) {
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, testPod("one", "1"))
	rules := &table{}
	c := &Controller{
		net: testNet, client: client, apply: rules.apply, forget: rules.forget, log: slog.New(slog.DiscardHandler),
		synced: make(chan struct{}), changed: make(chan struct{}, 1), attached: map[string]attached{},
	}
	go func() { _ = c.Run(t.Context()) }()
	if err := c.Attach(t.Context(), Sandbox{ID: "s1", Namespace: "a", Name: "one", UID: "uid-1", IP: "10.1.0.2"}); err != nil {
		t.Fatal(err)
	}
	rules.setBroken(true)
	shut := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "shut"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}
	if _, err := client.NetworkingV1().NetworkPolicies("a").Create(t.Context(), shut, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * gather)
	if !rules.has("10.1.0.2 : return") {
		t.Error("the rules of before are gone")
	}
	rules.setBroken(false)
	until(t, "the policy is in force after all", func() bool { return rules.has("10.1.0.2 : goto i-") })
}
