package programs

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hubship/hubship/node/internal/settings"
	"github.com/hubship/hubship/node/internal/supervise"
)

func noProxyFor(*http.Request) (*url.URL, error) { return nil, nil }

// Etcd is the cluster's database. It serves the API server alone, over the
// node's loopback.
func (p *Set) Etcd() supervise.Spec {
	client := fmt.Sprintf("https://127.0.0.1:%d", p.s.Port(settings.PortEtcdClient))
	peer := fmt.Sprintf("https://127.0.0.1:%d", p.s.Port(settings.PortEtcdPeer))
	args := []string{
		"--name=node",
		"--data-dir=" + p.s.Data("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=node=" + peer,
		fmt.Sprintf("--listen-metrics-urls=http://127.0.0.1:%d", p.s.Port(settings.PortEtcdMetrics)),
		"--client-cert-auth", "--peer-client-cert-auth",
		"--trusted-ca-file=" + p.pki.Cert(etcdAuthority),
		"--cert-file=" + p.pki.Cert("etcd"), "--key-file=" + p.pki.Key("etcd"),
		"--peer-trusted-ca-file=" + p.pki.Cert(etcdAuthority),
		"--peer-cert-file=" + p.pki.Cert("etcd"), "--peer-key-file=" + p.pki.Key("etcd"),
		// One member elects itself: there is nobody to wait for.
		"--heartbeat-interval=50", "--election-timeout=250",
		// Entries are kept in memory until a snapshot is due.
		"--snapshot-count=2000",
		"--log-level=warn",
	}
	if !p.s.Fsync {
		args = append(args, "--unsafe-no-fsync")
	}
	return supervise.Spec{
		Name: "etcd", Path: p.Helper("etcd"), Args: args,
		Env: p.small(200), Log: p.s.Log("etcd"),
		Ready: p.healthy("http", settings.PortEtcdMetrics, "/health"),
	}
}

// APIServer serves the Kubernetes API at the node's address.
func (p *Set) APIServer() supervise.Spec {
	spec := p.kube("kube-apiserver", p.small(700), p.APIServerReady,
		"--advertise-address="+p.s.NodeIP,
		"--bind-address="+p.s.NodeIP,
		"--secure-port="+strconv.Itoa(p.s.Port(settings.PortAPIServer)),
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", p.s.Port(settings.PortEtcdClient)),
		"--etcd-cafile="+p.pki.Cert(etcdAuthority),
		"--etcd-certfile="+p.pki.Cert("apiserver-etcd-client"),
		"--etcd-keyfile="+p.pki.Key("apiserver-etcd-client"),
		"--client-ca-file="+p.pki.Cert(authority),
		"--tls-cert-file="+p.pki.Cert("kube-apiserver"),
		"--tls-private-key-file="+p.pki.Key("kube-apiserver"),
		"--kubelet-client-certificate="+p.pki.Cert("apiserver-kubelet-client"),
		"--kubelet-client-key="+p.pki.Key("apiserver-kubelet-client"),
		"--kubelet-certificate-authority="+p.pki.Cert(authority),
		// By name, exec and logs would ask the machine's resolver for the node.
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file="+p.pki.Cert(frontAuthority),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+p.pki.Cert("front-proxy-client"),
		"--proxy-client-key-file="+p.pki.Key("front-proxy-client"),
		"--authorization-mode=Node,RBAC",
		// With external addresses a Service could take the place of any other
		// host for every pod.
		"--enable-admission-plugins=NodeRestriction,DenyServiceExternalIPs",
		"--anonymous-auth=false",
		"--service-cluster-ip-range="+p.s.ServiceCIDR,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file="+p.pki.Key(signingKey),
		"--service-account-key-file="+p.pki.Key(signingKey),
		"--allow-privileged=true",
		"--profiling=false",
		"--event-ttl=1h",
	)
	spec.StopTimeout = 10 * time.Second
	return spec
}

// needless lists the controllers that have nothing to do on a node like this:
// certificates come from the node itself, there is one node, nothing measures
// load, and no device is handed out.
var needless = []string{
	"certificatesigningrequest-approving-controller",
	"certificatesigningrequest-cleaner-controller",
	"certificatesigningrequest-signing-controller",
	"podcertificaterequest-cleaner-controller",
	"kube-apiserver-serving-clustertrustbundle-publisher-controller",
	"node-ipam-controller",
	"horizontal-pod-autoscaler-controller",
	"device-taint-eviction-controller",
	"resourceclaim-controller",
	"resourcepoolstatusrequest-controller",
	"podgroup-protection-controller",
	"storage-version-migrator-controller",
	"ttl-controller",
}

// ControllerManager runs the controllers. It must not start before the API
// server is ready: its own roles would be missing, and it would end.
func (p *Set) ControllerManager() supervise.Spec {
	return p.kube("kube-controller-manager", p.small(250), p.healthy("https", settings.PortControllers, "/healthz"),
		"--kubeconfig="+p.kubeconfig("kube-controller-manager"),
		"--bind-address=127.0.0.1",
		"--secure-port="+strconv.Itoa(p.s.Port(settings.PortControllers)),
		"--tls-cert-file="+p.pki.Cert("node-server"),
		"--tls-private-key-file="+p.pki.Key("node-server"),
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+p.pki.Key(signingKey),
		"--root-ca-file="+p.pki.Cert(authority),
		"--allocate-node-cidrs=false",
		"--controllers=*,-"+strings.Join(needless, ",-"),
		"--flex-volume-plugin-dir="+p.s.Data("kubelet", "flexvolume"),
		"--terminated-pod-gc-threshold=100",
		"--kube-api-qps=100", "--kube-api-burst=200",
		"--profiling=false",
	)
}

// Scheduler assigns pods to the node.
func (p *Set) Scheduler() supervise.Spec {
	return p.kube("kube-scheduler", p.small(200), p.healthy("https", settings.PortScheduler, "/healthz"),
		"--kubeconfig="+p.kubeconfig("kube-scheduler"),
		"--bind-address=127.0.0.1",
		"--secure-port="+strconv.Itoa(p.s.Port(settings.PortScheduler)),
		"--tls-cert-file="+p.pki.Cert("node-server"),
		"--tls-private-key-file="+p.pki.Key("node-server"),
		"--leader-elect=false",
		"--kube-api-qps=100", "--kube-api-burst=200",
		"--profiling=false",
	)
}
