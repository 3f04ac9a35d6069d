package model

import (
	"encoding/json"
	"time"
)

// EvidenceRecord is a record about a release, believed or not.
type EvidenceRecord struct {
	Target   Target `json:"target"`
	Name     string `json:"name"` // where it is: "ConfigMap hubship-system/evidence-…"
	Believed bool   `json:"believed"`
	// Refused says why it is not believed, one line; Reason is the same in one
	// word, as internal/attest lists them.
	Refused  string    `json:"refused,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Key      string    `json:"key,omitempty"`      // id of the key that signed it
	Sequence int64     `json:"sequence,omitempty"` // which record of the release it is
	Recorded time.Time `json:"recorded,omitzero"`
	Evidence *Evidence `json:"evidence,omitempty"` // nil when it cannot be read, or is not genuine
	// Error says why the records of the target could not be read; nothing else
	// is known then.
	Error string `json:"error,omitempty"`
	// Envelope is the signed record itself: a DSSE envelope.
	Envelope json.RawMessage `json:"envelope,omitempty"`
}
