// Package pki makes and renews a node's certificates and kubeconfigs. Keys are
// ECDSA P-256 and readable by root alone.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew. It is
	// looked at when a node starts.
	renewBefore = 90 * 24 * time.Hour
	// backdate tolerates a clock that was set back.
	backdate = time.Hour
)

// Leaf describes one certificate.
type Leaf struct {
	// Name is the file name without its ending, and the common name unless
	// CommonName is set.
	Name string
	// Authority is the name of the authority that signs it.
	Authority string
	// CommonName and Organization are what Kubernetes takes for user and group.
	CommonName   string
	Organization string
	// DNS and IPs are the names of a server; both empty for a client.
	DNS []string
	IPs []net.IP
	// Both marks a server that also acts as client.
	Both bool
}

// Dir is a directory of certificates.
type Dir struct {
	path string
	now  func() time.Time
}

// Open returns the directory at path, which Ensure makes.
func Open(path string) *Dir { return &Dir{path: path, now: time.Now} }

// Cert returns the path of a certificate.
func (d *Dir) Cert(name string) string { return filepath.Join(d.path, name+".crt") }

// Key returns the path of a private key.
func (d *Dir) Key(name string) string { return filepath.Join(d.path, name+".key") }

// Ensure makes what is missing, near its end, or does not fit its description
// any more. An authority that was made anew makes everything that it signs
// anew.
func (d *Dir) Ensure(authorities []string, leaves []Leaf) error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return fmt.Errorf("make the directory for certificates: %w", err)
	}
	signers := make(map[string]*pair, len(authorities))
	for _, name := range authorities {
		p, err := d.ensureAuthority(name)
		if err != nil {
			return fmt.Errorf("create authority %s: %w", name, err)
		}
		signers[name] = p
	}
	for _, leaf := range leaves {
		signer, ok := signers[leaf.Authority]
		if !ok {
			return fmt.Errorf("create certificate %s: no authority %q", leaf.Name, leaf.Authority)
		}
		if err := d.ensureLeaf(leaf, signer); err != nil {
			return fmt.Errorf("create certificate %s: %w", leaf.Name, err)
		}
	}
	return nil
}

// EnsureKey makes a lone private key, such as the one that signs service
// account tokens. It is never renewed: tokens would lose their worth.
func (d *Dir) EnsureKey(name string) error {
	if _, err := readKey(d.Key(name)); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read key %s: %w", name, err)
	}
	key, err := newKey()
	if err != nil {
		return fmt.Errorf("create key %s: %w", name, err)
	}
	if err := writeKey(d.Key(name), key); err != nil {
		return fmt.Errorf("create key %s: %w", name, err)
	}
	return nil
}

type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (d *Dir) load(name string) (*pair, error) {
	data, err := os.ReadFile(d.Cert(name))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block in the certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := readKey(d.Key(name))
	if err != nil {
		return nil, err
	}
	public, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("certificate and key do not match")
	}
	return &pair{cert: cert, key: key}, nil
}

func (d *Dir) ensureAuthority(name string) (*pair, error) {
	if p, err := d.load(name); err == nil && d.now().Before(p.cert.NotAfter.Add(-certificateLife-renewBefore)) {
		return p, nil
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := d.template(pkix.Name{CommonName: name}, authorityLife)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	return d.sign(name, template, &pair{cert: template, key: key}, key)
}

func (d *Dir) ensureLeaf(leaf Leaf, signer *pair) error {
	template, err := d.template(leaf.subject(), certificateLife)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.DNSNames, template.IPAddresses = leaf.DNS, leaf.IPs
	server := len(leaf.DNS)+len(leaf.IPs) > 0
	if server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if !server || leaf.Both {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if p, err := d.load(leaf.Name); err == nil && d.fits(p.cert, template, signer.cert) {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	_, err = d.sign(leaf.Name, template, signer, key)
	return err
}

func (l Leaf) subject() pkix.Name {
	subject := pkix.Name{CommonName: l.CommonName}
	if subject.CommonName == "" {
		subject.CommonName = l.Name
	}
	if l.Organization != "" {
		subject.Organization = []string{l.Organization}
	}
	return subject
}

func (d *Dir) fits(have, want, signer *x509.Certificate) bool {
	if have.CheckSignatureFrom(signer) != nil || d.now().After(have.NotAfter.Add(-renewBefore)) {
		return false
	}
	if have.Subject.String() != want.Subject.String() || len(have.DNSNames) != len(want.DNSNames) ||
		len(have.IPAddresses) != len(want.IPAddresses) || len(have.ExtKeyUsage) != len(want.ExtKeyUsage) {
		return false
	}
	for i := range want.DNSNames {
		if have.DNSNames[i] != want.DNSNames[i] {
			return false
		}
	}
	for i := range want.IPAddresses {
		if !have.IPAddresses[i].Equal(want.IPAddresses[i]) {
			return false
		}
	}
	return true
}

func (d *Dir) template(subject pkix.Name, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    d.now().Add(-backdate),
		NotAfter:     d.now().Add(life),
	}, nil
}

func (d *Dir) sign(name string, template *x509.Certificate, signer *pair, key *ecdsa.PrivateKey) (*pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := writeKey(d.Key(name), key); err != nil {
		return nil, err
	}
	if err := writePEM(d.Cert(name), "CERTIFICATE", der, 0o644); err != nil {
		return nil, err
	}
	return &pair{cert: cert, key: key}, nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func readKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block in the key")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der, 0o600)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return replaceFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// replaceFile leaves either the old file or the whole new one, also when the
// process is killed on the way.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, data, mode); err != nil {
		return err
	}
	if err := os.Chmod(temp, mode); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
