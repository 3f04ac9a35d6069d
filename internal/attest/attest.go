// Package attest signs what hubship proves and decides what is believed. A
// proof is an in-toto Statement v1 (https://github.com/in-toto/attestation) in
// a DSSE envelope (https://github.com/secure-systems-lab/dsse), signed with
// ed25519 by a key of the installation.
//
// An envelope is believed in its one canonical form only: what is decoded from
// it, encoded again, must be the very same bytes. So nothing that a reader
// might skip (another field, a second signature, another spelling) is ever
// part of a proof.
package attest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

// PayloadType is the DSSE payload type of in-toto statements.
const PayloadType = "application/vnd.in-toto+json"

// maxEnvelope bounds what is read as an envelope, in bytes. A ConfigMap holds
// no more.
const maxEnvelope = 1 << 20

// Reason says why an envelope is not believed.
type Reason string

// The reasons. Each is what was looked at and found wrong.
const (
	Malformed    Reason = "malformed"    // not an envelope in its canonical form
	BadSignature Reason = "signature"    // not signed by a key of this installation
	WrongType    Reason = "type"         // a proof of something else
	WrongSubject Reason = "subject"      // what it names is not what it was asked about
	WrongHub     Reason = "hub"          // of another hub
	WrongEnv     Reason = "environment"  // of another environment
	WrongCluster Reason = "cluster"      // of another cluster
	WrongRelease Reason = "release"      // of another namespace or release
	WrongInputs  Reason = "inputs"       // of other shared inputs
	NotPassed    Reason = "result"       // that verification did not pass
	Voided       Reason = "voided"       // a halt of the same inputs came after it
	Superseded   Reason = "superseded"   // a newer record of the same inputs was written
	OutOfOrder   Reason = "sequence"     // not among the records that this installation wrote last
	Unapproved   Reason = "not approved" // of an image that was built for an unmerged change
)

// Refusal is the error of an envelope that is not believed. It is a verdict:
// that a key or a record could not be read is another error.
type Refusal struct {
	Reason Reason
	Text   string // one line
}

func (r *Refusal) Error() string { return r.Text }

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// Subject is what a statement is about: in-toto's ResourceDescriptor.
type Subject struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// statement is an in-toto Statement v1.
type statement[P any] struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     P         `json:"predicate"`
}

// encode makes the payload of a statement and holds it against in-toto's own
// types.
func encode[P any](predicateType string, subject []Subject, predicate P) ([]byte, error) {
	payload, err := json.Marshal(statement[P]{intoto.StatementTypeUri, subject, predicateType, predicate})
	if err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	// Decoded and encoded once: text that is no UTF-8, and times with a zone,
	// are then as a reader finds them.
	var again statement[P]
	if err := json.Unmarshal(payload, &again); err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	if payload, err = json.Marshal(again); err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	var standard intoto.Statement
	if err := protojson.Unmarshal(payload, &standard); err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	if err := standard.Validate(); err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	return payload, nil
}

// decode reads the payload of a statement of one predicate type.
func decode[P any](payload []byte, predicateType string) (statement[P], error) {
	var head statement[json.RawMessage]
	var s statement[P]
	if err := json.Unmarshal(payload, &head); err != nil {
		return s, refuse(Malformed, "its statement is not JSON: %v", err)
	}
	switch {
	case head.Type != intoto.StatementTypeUri:
		return s, refuse(WrongType, "it is a statement of type %.80q, not %q", head.Type, intoto.StatementTypeUri)
	case head.PredicateType != predicateType:
		return s, refuse(WrongType, "it is about %.120q, not %q", head.PredicateType, predicateType)
	}
	if err := json.Unmarshal(payload, &s); err != nil {
		return s, refuse(Malformed, "its statement cannot be read: %v", err)
	}
	again, err := json.Marshal(s)
	if err != nil || !bytes.Equal(again, payload) {
		return s, refuse(Malformed, "its statement has fields that hubship does not write")
	}
	return s, nil
}

// seal signs a payload with the newest key and returns the envelope.
func seal(keys Keys, payload []byte) ([]byte, error) {
	key, err := keys.Newest()
	if err != nil {
		return nil, err
	}
	signer, err := dsse.NewEnvelopeSigner(key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	envelope, err := signer.SignPayload(context.Background(), PayloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return json.Marshal(envelope)
}

// open checks an envelope's form and signature and returns the payload and the
// id of the key that signed it. keys are those that are believed.
func open(envelope []byte, keys []Public) (payload []byte, keyID string, err error) {
	if len(envelope) > maxEnvelope {
		return nil, "", refuse(Malformed, "it has more than %d bytes", maxEnvelope)
	}
	var e dsse.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		return nil, "", refuse(Malformed, "it is not a DSSE envelope: %v", err)
	}
	if again, err := json.Marshal(e); err != nil || !bytes.Equal(again, envelope) {
		return nil, "", refuse(Malformed, "it is a DSSE envelope with fields that hubship does not write")
	}
	if e.PayloadType != PayloadType {
		return nil, "", refuse(WrongType, "its payload is %.80q, not %q", e.PayloadType, PayloadType)
	}
	if n := len(e.Signatures); n != 1 {
		return nil, "", refuse(BadSignature, "it has %d signatures, not one", n)
	}
	if payload, err = strictBase64(e.Payload); err != nil {
		return nil, "", refuse(Malformed, "its payload is not canonical base64")
	}
	if _, err := strictBase64(e.Signatures[0].Sig); err != nil {
		return nil, "", refuse(BadSignature, "its signature is not canonical base64")
	}
	keyID = e.Signatures[0].KeyID
	for _, key := range keys {
		if key.ID != keyID {
			continue
		}
		verifier, err := dsse.NewEnvelopeVerifier(key)
		if err != nil {
			return nil, "", fmt.Errorf("verify: %w", err)
		}
		if _, err := verifier.Verify(context.Background(), &e); err != nil {
			return nil, "", refuse(BadSignature, "its signature does not match its content")
		}
		return payload, keyID, nil
	}
	return nil, "", refuse(BadSignature, "it is signed with a key that is not trusted here (%.16q)", keyID)
}

// strictBase64 decodes the one spelling of standard base64 that encoding makes.
func strictBase64(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(raw) != text {
		err = base64.CorruptInputError(0) // line breaks are skipped in decoding
	}
	return raw, err
}

// unsigned reads what an envelope that is not believed says of a release's
// standing, as far as it can be read.
func unsigned(envelope []byte, w Want) Standing {
	var e dsse.Envelope
	var s statement[Standing]
	if json.Unmarshal(envelope, &e) != nil {
		return NewStanding(w)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil || json.Unmarshal(payload, &s) != nil || s.PredicateType != TypeStanding || s.Predicate.about(w) != nil {
		return NewStanding(w)
	}
	return s.Predicate
}
