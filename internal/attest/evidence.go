package attest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// TypeEvidence is the predicate type of evidence: in-toto's test result. What
// it has no field for stands under one more, hubship_evidence, which others
// skip (https://github.com/in-toto/attestation/blob/main/spec/v1/README.md,
// "monotonic principle"). So every reader of test results reads it.
const TypeEvidence = "https://in-toto.io/attestation/test-result/v0.1"

// digestShared names the digest of a release's shared inputs in a subject.
// in-toto lets a producer name digests of its own.
const digestShared = "hubship-shared"

// Evidence is what is signed: that a release passed, where, and the how-manieth
// record of the release it is.
type Evidence struct {
	model.Evidence
	Namespace string
	Release   string
	Sequence  int64     // grows by each record of the release
	Recorded  time.Time // UTC
}

// testResult is in-toto's test-result predicate v0.1.
type testResult struct {
	Result        string         `json:"result"`        // PASSED or FAILED
	Configuration []Subject      `json:"configuration"` // what was tested with
	PassedTests   []string       `json:"passedTests,omitempty"`
	WarnedTests   []string       `json:"warnedTests,omitempty"` // did not pass, and do not decide
	FailedTests   []string       `json:"failedTests,omitempty"`
	Hubship       hubshipDetails `json:"hubship_evidence"`
}

type hubshipDetails struct {
	Namespace string         `json:"namespace"`
	Release   string         `json:"release"`
	Sequence  int64          `json:"sequence"`
	Recorded  time.Time      `json:"recorded"`
	Evidence  model.Evidence `json:"evidence"`
}

const (
	passed = "PASSED"
	failed = "FAILED"
)

// maxCheckLog bounds what is kept of the log of a check that did not pass, in
// bytes.
const maxCheckLog = 2 << 10

// payload is the one statement that this evidence makes.
func (e Evidence) payload() ([]byte, error) {
	r := testResult{Result: passed, Hubship: hubshipDetails{e.Namespace, e.Release, e.Sequence, e.Recorded, e.Evidence}}
	if !e.Verified.Passed {
		r.Result = failed
	}
	for _, c := range e.Verified.Checks {
		switch {
		case c.Passed:
			r.PassedTests = append(r.PassedTests, c.Name)
		case e.Verified.Passed:
			r.WarnedTests = append(r.WarnedTests, c.Name)
		default:
			r.FailedTests = append(r.FailedTests, c.Name)
		}
	}
	r.Configuration = []Subject{{Name: "content", Digest: map[string]string{"gitCommit": e.Commit}}}
	if e.Process != "" {
		r.Configuration = append(r.Configuration, Subject{Name: "process", Digest: map[string]string{"gitCommit": e.Process}})
	}
	return encode(TypeEvidence, e.subjects(), r)
}

// subjects are the release by its shared inputs, and its images by digest.
func (e Evidence) subjects() []Subject {
	all := []Subject{{Name: "release:" + e.Hub, Digest: map[string]string{digestShared: e.Shared}}}
	for _, b := range e.Images {
		all = append(all, imageSubject(b))
	}
	return all
}

// imageSubject names an image by its digest.
func imageSubject(b model.Built) Subject {
	algorithm, hex, ok := strings.Cut(b.Digest, ":")
	if !ok {
		algorithm, hex = "sha256", b.Digest
	}
	return Subject{Name: b.Name, Digest: map[string]string{algorithm: hex}}
}

// Seal signs the evidence with the newest key.
func (e Evidence) Seal(keys Keys) ([]byte, error) {
	e.Recorded = e.Recorded.UTC()
	e.Verified.Started, e.Verified.Finished = e.Verified.Started.UTC(), e.Verified.Finished.UTC()
	checks := append([]model.Check(nil), e.Verified.Checks...)
	for i := range checks {
		c := &checks[i]
		if c.Passed {
			c.Log = ""
		}
		c.Log = c.Log[max(0, len(c.Log)-maxCheckLog):]
	}
	e.Verified.Checks = checks
	payload, err := e.payload()
	if err != nil {
		return nil, fmt.Errorf("evidence of %s@%s: %w", e.Hub, e.Environment, err)
	}
	return seal(keys, payload)
}

// OpenEvidence checks that an envelope is evidence that one of the keys signed,
// whole and unchanged. It says nothing yet about what it is evidence of: that
// is Judge's matter. keyID is the key's, and as it stands in the envelope if
// that is refused.
func OpenEvidence(envelope []byte, keys []Public) (e Evidence, keyID string, err error) {
	payload, keyID, err := open(envelope, keys)
	if err != nil {
		return Evidence{}, keyID, err
	}
	s, err := decode[testResult](payload, TypeEvidence)
	if err != nil {
		return Evidence{}, keyID, err
	}
	d := s.Predicate.Hubship
	e = Evidence{Evidence: d.Evidence, Namespace: d.Namespace, Release: d.Release, Sequence: d.Sequence, Recorded: d.Recorded}
	if e.Hub == "" || e.Environment == "" || e.Cluster == "" || e.Shared == "" || e.Namespace == "" || e.Release == "" || e.Sequence < 1 {
		return Evidence{}, keyID, refuse(Malformed, "it does not say which release it is about")
	}
	// Subjects, result and lists of tests all follow from the record: where
	// they say anything else, neither is believed.
	again, err := e.payload()
	if err != nil || !bytes.Equal(again, payload) {
		return Evidence{}, keyID, refuse(WrongSubject, "its subjects or its result are not those of its record")
	}
	return e, keyID, nil
}

// Want is what evidence is asked for.
type Want struct {
	Hub         string
	Environment string
	Cluster     string // identity, as the live cluster says it
	Namespace   string
	Release     string
	Shared      string // shared inputs; empty means any
}

// Judge says whether evidence of which OpenEvidence has seen that it is genuine
// proves what is wanted, as the standing of the release has it. The error is a
// *Refusal.
func Judge(e Evidence, w Want, s Standing) error {
	if err := s.about(w); err != nil {
		return err
	}
	switch {
	case e.Hub != w.Hub:
		return refuse(WrongHub, "it is about hub %.80q", e.Hub)
	case e.Environment != w.Environment:
		return refuse(WrongEnv, "it is about environment %.80q", e.Environment)
	case e.Cluster != w.Cluster:
		return refuse(WrongCluster, "it was made on another cluster (%.80s)", e.Cluster)
	case e.Namespace != w.Namespace || e.Release != w.Release:
		return refuse(WrongRelease, "it is about release %.80s in namespace %.80s", e.Release, e.Namespace)
	case w.Shared != "" && e.Shared != w.Shared:
		return refuse(WrongInputs, "it is about other inputs")
	case !e.Verified.Passed:
		return refuse(NotPassed, "that verification did not pass")
	}
	return s.counts(e)
}
