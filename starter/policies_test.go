package starter_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
)

type networkPolicy struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		PodSelector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"podSelector"`
		PolicyTypes []string `yaml:"policyTypes"`
		Ingress     []struct {
			From  []peer `yaml:"from"`
			Ports []port `yaml:"ports"`
		} `yaml:"ingress"`
		Egress []struct {
			To    []peer `yaml:"to"`
			Ports []port `yaml:"ports"`
		} `yaml:"egress"`
	} `yaml:"spec"`
}

type port struct {
	Port any `yaml:"port"`
}

type peer struct {
	PodSelector *struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	} `yaml:"podSelector"`
	IPBlock *struct {
		CIDR   string   `yaml:"cidr"`
		Except []string `yaml:"except"`
	} `yaml:"ipBlock"`
}

// policies are those of a release, by name.
func policies(t *testing.T, v map[string]any) map[string]networkPolicy {
	t.Helper()
	c := loadChart(t, readConfig(t).Hubs.Chart)
	if err := chartutil.ProcessDependencies(c, v); err != nil {
		t.Fatal(err)
	}
	full, err := commonutil.ToRenderValues(c, v, common.ReleaseOptions{Name: "datahub-staging", Namespace: "datahub-staging", IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := engine.Render(c, full)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]networkPolicy{}
	for name, manifest := range manifests {
		if !strings.HasSuffix(name, "network-policies.yaml") {
			continue
		}
		for doc := range strings.SplitSeq(manifest, "\n---\n") {
			var p networkPolicy
			if err := yaml.Unmarshal([]byte(doc), &p); err != nil {
				t.Fatalf("%v\n%s", err, doc)
			}
			if p.Kind != "" {
				out[p.Metadata.Name] = p
			}
		}
	}
	return out
}

// reaches says whether egress rules let a packet to an address outside of the
// chart's pods through, at a port that no rule names.
func (p networkPolicy) reaches(ip string) bool {
	for _, rule := range p.Spec.Egress {
		if len(rule.Ports) > 0 {
			continue
		}
		for _, to := range rule.To {
			if to.IPBlock == nil || !netip.MustParsePrefix(to.IPBlock.CIDR).Contains(netip.MustParseAddr(ip)) {
				continue
			}
			if !slices.ContainsFunc(to.IPBlock.Except, func(e string) bool { return netip.MustParsePrefix(e).Contains(netip.MustParseAddr(ip)) }) {
				return true
			}
		}
	}
	return false
}

// Users' servers reach the Internet and nothing private, the proxy nothing
// outside, the hub what is private as well: the Kubernetes API is.
func TestWhatPoliciesReach(t *testing.T) {
	all := policies(t, withPassword(t, "staging"))
	addresses := map[string][3]bool{ // hub, proxy, singleuser
		"93.184.215.14":   {true, false, true},
		"10.201.0.1":      {true, false, false},
		"10.202.0.1":      {true, false, false},
		"172.31.77.2":     {true, false, false},
		"192.168.1.1":     {true, false, false},
		"127.0.0.1":       {false, false, false},
		"169.254.169.254": {false, false, false},
		"100.100.100.200": {false, false, false},
		"198.18.0.1":      {false, false, false},
		"224.0.0.251":     {false, false, false},
		"255.255.255.255": {false, false, false},
	}
	for i, name := range []string{"hub", "proxy", "singleuser"} {
		p, ok := all[name]
		if !ok {
			t.Fatalf("there is no policy %s", name)
		}
		if !slices.Equal(p.Spec.PolicyTypes, []string{"Ingress", "Egress"}) {
			t.Errorf("%s is about %v", name, p.Spec.PolicyTypes)
		}
		for ip, want := range addresses {
			if got := p.reaches(ip); got != want[i] {
				t.Errorf("%s reaches %s: %v, want %v", name, ip, got, want[i])
			}
		}
		// Who comes in has to have a label, but at the proxy's door.
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) == 0 && (name != "proxy" || len(rule.Ports) != 1 || rule.Ports[0].Port != "http") {
				t.Errorf("%s lets anybody in at %v", name, rule.Ports)
			}
		}
	}
	// The selectors are those of the pods: KubeSpawner labels users' servers
	// with this component, and with app and release of the chart.
	want := map[string]string{"app": "jupyterhub", "release": "datahub-staging", "component": "singleuser-server"}
	for key, value := range want {
		if got := all["singleuser"].Spec.PodSelector.MatchLabels[key]; got != value {
			t.Errorf("users' servers are selected by %s=%s, want %s", key, got, value)
		}
	}
	// A user's server has the label for the hub alone.
	extra := valuesOf(t, "charts/jupyterhub/values.yaml", "singleuser", "extraLabels")
	if len(extra) != 1 || extra["hub.jupyter.org/network-access-hub"] != "true" {
		t.Errorf("users' servers have the labels %v", extra)
	}
}

// Each policy can be switched off, and each rule of its own set.
func TestPoliciesFollowValues(t *testing.T) {
	v := withPassword(t, "staging")
	set(v, "jupyterhub.proxy.chp.networkPolicy.enabled", false)
	set(v, "jupyterhub.singleuser.networkPolicy.egressAllowRules.nonPrivateIPs", false)
	set(v, "jupyterhub.singleuser.networkPolicy.egress", []any{map[string]any{"to": []any{map[string]any{"ipBlock": map[string]any{"cidr": "10.9.0.0/16"}}}}})
	all := policies(t, v)
	if _, ok := all["proxy"]; ok || len(all) != 2 {
		t.Errorf("got %d policies", len(all))
	}
	if p := all["singleuser"]; p.reaches("93.184.215.14") || !p.reaches("10.9.1.1") {
		t.Errorf("%+v", p.Spec.Egress)
	}
}

func valuesOf(t *testing.T, file string, keys ...string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal(read(t, file), &v); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		v, _ = v[key].(map[string]any)
	}
	return v
}

// Pods of the chart keep to what namespaces enforce: Kubernetes' restricted
// profile.
func TestPodsAreRestricted(t *testing.T) {
	v := withPassword(t, "staging")
	set(v, "jupyterhub.prePuller.continuous.enabled", true)
	for name, o := range mustRender(t, "staging", v) {
		containers, _ := o.Spec.Template.Spec["containers"].([]any)
		pod, _ := o.Spec.Template.Spec["securityContext"].(map[string]any)
		for _, key := range []string{"hostNetwork", "hostPID", "hostIPC"} {
			if o.Spec.Template.Spec[key] != nil {
				t.Errorf("%s sets %s", name, key)
			}
		}
		for _, c := range containers {
			own, _ := c.(map[string]any)["securityContext"].(map[string]any)
			either := func(key string) any {
				if own[key] != nil {
					return own[key]
				}
				return pod[key]
			}
			profile, _ := either("seccompProfile").(map[string]any)
			drop, _ := own["capabilities"].(map[string]any)
			if own["allowPrivilegeEscalation"] != false || either("runAsNonRoot") != true || profile["type"] != "RuntimeDefault" || len(drop) != 1 {
				t.Errorf("%s: %v in %v", name, own, pod)
			}
		}
	}
}
