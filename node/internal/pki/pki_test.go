package pki

import (
	"bytes"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func leaves() []Leaf {
	return []Leaf{
		{Name: "server", Authority: "ca", DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}},
		{Name: "admin", Authority: "ca", CommonName: "root", Organization: "system:masters"},
	}
}

func ensure(t *testing.T, d *Dir, leaves []Leaf) {
	t.Helper()
	if err := d.Ensure([]string{"ca"}, leaves); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCertificatesVerify(t *testing.T) {
	d := Open(filepath.Join(t.TempDir(), "pki"))
	ensure(t, d, leaves())
	ca, err := d.load("ca")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for name, usage := range map[string]x509.ExtKeyUsage{"server": x509.ExtKeyUsageServerAuth, "admin": x509.ExtKeyUsageClientAuth} {
		p, err := d.load(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		info, err := os.Stat(d.Key(name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("key of %s has mode %v, want 0600 (%v)", name, info.Mode().Perm(), err)
		}
	}
}

func TestEnsureKeepsRenewsAndReplaces(t *testing.T) {
	d := Open(filepath.Join(t.TempDir(), "pki"))
	ensure(t, d, leaves())
	first := read(t, d.Cert("server"))

	ensure(t, d, leaves())
	if !bytes.Equal(first, read(t, d.Cert("server"))) {
		t.Error("a good certificate was replaced")
	}

	ca := read(t, d.Cert("ca"))
	d.now = func() time.Time { return time.Now().Add(certificateLife - renewBefore + time.Hour) }
	ensure(t, d, leaves())
	renewed := read(t, d.Cert("server"))
	if bytes.Equal(first, renewed) {
		t.Error("a certificate near its end was kept")
	}
	if !bytes.Equal(ca, read(t, d.Cert("ca"))) {
		t.Error("a good authority was replaced")
	}

	moved := leaves()
	moved[0].IPs = []net.IP{net.IPv4(10, 0, 0, 1)}
	ensure(t, d, moved)
	if bytes.Equal(renewed, read(t, d.Cert("server"))) {
		t.Error("a certificate for another address was kept")
	}

	if err := os.Remove(d.Key("ca")); err != nil {
		t.Fatal(err)
	}
	admin := read(t, d.Cert("admin"))
	ensure(t, d, moved)
	if bytes.Equal(admin, read(t, d.Cert("admin"))) {
		t.Error("a certificate of a lost authority was kept")
	}
}

func TestEnsureKeyIsKept(t *testing.T) {
	d := Open(filepath.Join(t.TempDir(), "pki"))
	ensure(t, d, nil)
	for range 2 {
		if err := d.EnsureKey("tokens"); err != nil {
			t.Fatal(err)
		}
	}
	first := read(t, d.Key("tokens"))
	if err := d.EnsureKey("tokens"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, read(t, d.Key("tokens"))) {
		t.Error("the key was replaced: all tokens would be void")
	}
}

func TestKubeconfigStandsAlone(t *testing.T) {
	d := Open(filepath.Join(t.TempDir(), "pki"))
	ensure(t, d, leaves())
	path := filepath.Join(t.TempDir(), "config")
	if err := d.WriteKubeconfig(path, "hubship-x", "https://10.0.0.1:6443", "ca", "admin"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cluster, user := config.Clusters["hubship-x"], config.AuthInfos["hubship-x"]
	if cluster == nil || user == nil || config.Contexts["hubship-x"] == nil {
		t.Fatalf("cluster, user or context is missing: %+v", config)
	}
	if len(cluster.CertificateAuthorityData) == 0 || len(user.ClientKeyData) == 0 || cluster.CertificateAuthority != "" {
		t.Error("the kubeconfig points to other files")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600 (%v)", info.Mode().Perm(), err)
	}
}
