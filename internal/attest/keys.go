package attest

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// Keys are the signing keys of an installation. What keeps them is the
// implementation's matter: a folder (Folder), or a Secret of hubship's own.
type Keys interface {
	// Newest returns the key that signs.
	Newest() (Private, error)
	// Public returns every key that is believed, newest first.
	Public() ([]Public, error)
}

// Public is a key that verifies.
type Public struct {
	ID      string    // of the key, in hexadecimal: see KeyID
	Created time.Time // zero when it is not known
	key     ed25519.PublicKey
}

// Private is a key that signs.
type Private struct {
	Public
	private ed25519.PrivateKey
}

// KeyID identifies a public key: the SHA-256 over its SubjectPublicKeyInfo in
// DER, in hexadecimal.
func KeyID(key ed25519.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

func newPublic(key ed25519.PublicKey, created time.Time) (Public, error) {
	id, err := KeyID(key)
	return Public{ID: id, Created: created, key: key}, err
}

// PEM is the public key as OpenSSL and cosign read it.
func (p Public) PEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(p.key)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ParsePublic reads a public key as PEM writes it.
func ParsePublic(raw []byte) (Public, error) {
	const hint = "`hubship key export` writes one"
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "PUBLIC KEY" {
		return Public{}, model.Usage(errors.New("there is no PEM block PUBLIC KEY in it"), hint)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Public{}, model.Usage(fmt.Errorf("read the public key: %w", err), hint)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return Public{}, model.Usage(fmt.Errorf("the public key is %T, and hubship signs with ed25519", parsed), hint)
	}
	return newPublic(key, time.Time{})
}

// Verify implements dsse.Verifier.
func (p Public) Verify(_ context.Context, data, sig []byte) error {
	if len(p.key) != ed25519.PublicKeySize || !ed25519.Verify(p.key, data, sig) {
		return errors.New("the signature does not fit")
	}
	return nil
}

// KeyID implements dsse.Verifier.
func (p Public) KeyID() (string, error) { return p.ID, nil }

// Public implements dsse.Verifier.
func (p Public) Public() crypto.PublicKey { return p.key }

// Sign implements dsse.Signer.
func (p Private) Sign(_ context.Context, data []byte) ([]byte, error) {
	if len(p.private) != ed25519.PrivateKeySize {
		return nil, errors.New("there is no private key")
	}
	return ed25519.Sign(p.private, data), nil
}
