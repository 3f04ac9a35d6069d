package programs

import (
	"context"
	"fmt"
	"net"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/hubship/hubship/node/internal/pki"
)

const (
	authority      = "ca"
	etcdAuthority  = "etcd-ca"
	frontAuthority = "front-proxy-ca"
	adminGroup     = "system:masters"
	signingKey     = "service-account"
)

// users are the clients of the API server that get a kubeconfig of their own.
var users = []string{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}

func (p *Set) ensureCertificates() error {
	loopback := net.IPv4(127, 0, 0, 1)
	node := net.ParseIP(p.s.NodeIP)
	err := p.pki.Ensure([]string{authority, etcdAuthority, frontAuthority}, []pki.Leaf{
		{
			Name: "kube-apiserver", Authority: authority,
			DNS: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"},
			IPs: []net.IP{loopback, node, p.s.KubernetesIP().AsSlice()},
		},
		{Name: "node-server", Authority: authority, DNS: []string{"localhost", p.s.NodeName()}, IPs: []net.IP{loopback, node}},
		{Name: "apiserver-kubelet-client", Authority: authority, Organization: adminGroup},
		{Name: "admin", Authority: authority, CommonName: "hubship-admin", Organization: adminGroup},
		{Name: "kube-controller-manager", Authority: authority, CommonName: "system:kube-controller-manager"},
		{Name: "kube-scheduler", Authority: authority, CommonName: "system:kube-scheduler"},
		{Name: "kube-proxy", Authority: authority, CommonName: "system:kube-proxy"},
		{Name: "kubelet", Authority: authority, CommonName: "system:node:" + p.s.NodeName(), Organization: "system:nodes"},
		{Name: "etcd", Authority: etcdAuthority, DNS: []string{"localhost"}, IPs: []net.IP{loopback}, Both: true},
		{Name: "apiserver-etcd-client", Authority: etcdAuthority},
		{Name: "front-proxy-client", Authority: frontAuthority},
	})
	if err != nil {
		return fmt.Errorf("create the node's certificates: %w", err)
	}
	if err := p.pki.EnsureKey(signingKey); err != nil {
		return fmt.Errorf("create the node's certificates: %w", err)
	}
	for _, user := range users {
		if err := p.pki.WriteKubeconfig(p.kubeconfig(user), p.s.Context(), p.s.APIServer(), authority, user); err != nil {
			return err
		}
	}
	return p.pki.WriteKubeconfig(p.s.Kubeconfig(), p.s.Context(), p.s.APIServer(), authority, "admin")
}

func (p *Set) kubeconfig(user string) string { return p.s.Data("pki", user+".kubeconfig") }

// RestConfig returns a client configuration for the administrator.
func (p *Set) RestConfig() (*rest.Config, error) {
	loader := &clientcmd.ClientConfigLoadingRules{ExplicitPath: p.s.Kubeconfig()}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: p.s.Context()}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(loader, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the node's kubeconfig: %w", err)
	}
	// A proxy of the machine has no part in talking to the machine's own node.
	config.Proxy = noProxyFor
	config.QPS, config.Burst = 50, 100
	return config, nil
}

func restReady(ctx context.Context, config *rest.Config) error {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return get(ctx, client, config.Host+"/readyz")
}
