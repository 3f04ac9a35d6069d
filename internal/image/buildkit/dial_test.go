package buildkit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/hubship/hubship/internal/model"
)

// ca is an authority that signs certificates into files.
type ca struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T) *ca {
	t.Helper()
	c := &ca{t: t, dir: t.TempDir()}
	c.cert, c.key = c.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return c
}

func (c *ca) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	signer, signerKey := c.cert, c.key
	if signer == nil {
		signer, signerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signerKey)
	if err != nil {
		c.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(name+".pem", "CERTIFICATE", der)
	c.write(name+"-key.pem", "PRIVATE KEY", private)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return cert, key
}

func (c *ca) write(name, kind string, der []byte) {
	c.t.Helper()
	if err := os.WriteFile(c.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *ca) file(name string) string { return filepath.Join(c.dir, name) }

func (c *ca) server() {
	c.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (c *ca) client() TLS {
	c.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return TLS{CA: c.file("ca.pem"), Cert: c.file("client.pem"), Key: c.file("client-key.pem")}
}

// control answers the one question of these tests.
type control struct {
	controlapi.UnimplementedControlServer
}

func (control) ListWorkers(context.Context, *controlapi.ListWorkersRequest) (*controlapi.ListWorkersResponse, error) {
	return &controlapi.ListWorkersResponse{}, nil
}

// serve is a BuildKit as far as connections go: it takes mutual TLS, as
// buildkitd does with --tlscacert.
func (c *ca) serve() string {
	c.t.Helper()
	c.server()
	pair, err := tls.LoadX509KeyPair(c.file("server.pem"), c.file("server-key.pem"))
	if err != nil {
		c.t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(c.cert)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})))
	controlapi.RegisterControlServer(s, control{})
	go func() { _ = s.Serve(l) }()
	c.t.Cleanup(s.Stop)
	return "tcp://" + l.Addr().String()
}

// ask connects and asks something.
func ask(t *testing.T, o Options) error {
	t.Helper()
	b, err := New(o)
	if err != nil {
		return err
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = b.client.ListWorkers(ctx)
	return err
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newCA(t), newCA(t)
	address, client, stranger := ours.serve(), ours.client(), theirs.client()
	try := func(tls TLS) error {
		return ask(t, Options{Address: address, TLS: tls, Registry: "127.0.0.1:17420"})
	}
	if err := try(client); err != nil {
		t.Errorf("with the right certificates: %v", err)
	}
	if err := try(TLS{CA: client.CA, Cert: stranger.Cert, Key: stranger.Key}); err == nil {
		t.Error("BuildKit takes a stranger's certificate")
	}
	if err := try(TLS{CA: stranger.CA, Cert: client.Cert, Key: client.Key}); err == nil {
		t.Error("hubship takes a stranger for BuildKit")
	}
	open := filepath.Join(t.TempDir(), "key.pem")
	key, err := os.ReadFile(client.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, key, 0o644); err != nil {
		t.Fatal(err)
	}
	for what, tls := range map[string]TLS{
		"no certificates":       {},
		"no client certificate": {CA: client.CA},
		"no authority":          {Cert: client.Cert, Key: client.Key},
		"a key of another":      {CA: client.CA, Cert: client.Cert, Key: stranger.Key},
		"a key open to all":     {CA: client.CA, Cert: client.Cert, Key: open},
		"no file":               {CA: client.CA, Cert: client.Cert, Key: "/none"},
	} {
		if err := try(tls); err == nil || model.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q)", what, err, model.HintOf(err))
		}
	}
}

func TestSocketOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode        os.FileMode
		owner, self int
		ok          bool
	}{
		{os.ModeSocket | 0o600, 0, 0, true},
		{os.ModeSocket | 0o660, 0, 1000, true},
		{os.ModeSocket | 0o600, 1000, 1000, true},
		{os.ModeSocket | 0o755, 0, 0, true},
		{os.ModeSocket | 0o666, 0, 0, false},
		{os.ModeSocket | 0o602, 0, 0, false},
		{os.ModeSocket | 0o600, 1000, 0, false},
		{os.ModeSocket | 0o600, 1001, 1000, false},
		{0o600, 0, 0, false},
		{os.ModeSymlink | 0o600, 0, 0, false},
	} {
		if err := judgeSocket("/s", c.mode, c.owner, c.self); (err == nil) != c.ok {
			t.Errorf("%v of %d for %d: %v", c.mode, c.owner, c.self, err)
		}
	}
	// A real one, which is looked at with each connection.
	dir, err := os.MkdirTemp("", "hs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	controlapi.RegisterControlServer(s, control{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	for mode, want := range map[os.FileMode]string{0o600: "", 0o666: "everybody on this machine"} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		err := ask(t, Options{Address: "unix://" + path, Registry: "127.0.0.1:17420"})
		if (err == nil) != (want == "") || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}
