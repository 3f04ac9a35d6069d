package attest_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/model"
)

var update = flag.Bool("update", false, "write the record in testdata anew")

const (
	shared = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"
	digest = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
)

var want = attest.Want{
	Hub: "datahub", Environment: "staging", Cluster: "3b8f5a0e-uid", Namespace: "datahub-staging", Release: "datahub-staging", Shared: shared,
}

func evidenceOf(w attest.Want, sequence int64) attest.Evidence {
	at := time.Date(2026, 11, 29, 12, 0, 0, 123456789, time.FixedZone("CET", 3600))
	return attest.Evidence{
		Evidence: model.Evidence{
			Hub: w.Hub, Environment: w.Environment, Cluster: w.Cluster, Commit: strings.Repeat("c", 40), Process: strings.Repeat("d", 40),
			Shared: w.Shared, Inputs: "1234", Run: "20261129-120000-000abcd",
			Images: []model.Built{{ID: "user", Source: "s", Key: "k", Name: "127.0.0.1:17420/user", Tag: "h-k", Digest: digest, Size: 12}},
			Verified: model.Verification{Passed: true, Started: at, Finished: at.Add(time.Minute), Checks: []model.Check{
				{Name: "hub answers", Passed: true, Detail: "JupyterHub 5.4 <&> \"é\"", Duration: time.Second},
				{Name: "user removed", Detail: "bad text \xff", Duration: time.Second, Log: strings.Repeat("x", 5000)},
			}},
		},
		Namespace: w.Namespace, Release: w.Release, Sequence: sequence, Recorded: at,
	}
}

func folder(t testing.TB) *attest.Folder {
	t.Helper()
	f, err := attest.OpenFolder(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func public(t testing.TB, f attest.Keys) []attest.Public {
	t.Helper()
	keys, err := f.Public()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func seal(t testing.TB, f attest.Keys, e attest.Evidence) []byte {
	t.Helper()
	envelope, err := e.Seal(f)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// accepted is what the store asks: is the envelope genuine, and does it prove
// what is wanted.
func accepted(envelope []byte, keys []attest.Public, w attest.Want, s attest.Standing) (attest.Evidence, error) {
	e, _, err := attest.OpenEvidence(envelope, keys)
	if err != nil {
		return e, err
	}
	return e, attest.Judge(e, w, s)
}

func reasonOf(err error) attest.Reason {
	var r *attest.Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func TestEvidenceIsBelieved(t *testing.T) {
	keys := folder(t)
	envelope := seal(t, keys, evidenceOf(want, 1))
	standing := attest.NewStanding(want).Record(shared)
	e, err := accepted(envelope, public(t, keys), want, standing)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Verified.Checks) != 2 || e.Verified.Checks[0].Detail != "JupyterHub 5.4 <&> \"é\"" || len(e.Verified.Checks[1].Log) != 2048 || e.Images[0].Digest != digest {
		t.Errorf("it came back as %+v", e)
	}
}

// The statement is read by in-toto's own types, and says what it should.
func TestEvidenceIsInToto(t *testing.T) {
	keys := folder(t)
	var envelope struct{ PayloadType, Payload string }
	if err := json.Unmarshal(seal(t, keys, evidenceOf(want, 1)), &envelope); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil || envelope.PayloadType != "application/vnd.in-toto+json" {
		t.Fatal(err, envelope.PayloadType)
	}
	var s intoto.Statement
	if err := protojson.Unmarshal(payload, &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(s.Subject) != 2 || s.Subject[0].Name != "release:datahub" || "sha256:"+s.Subject[1].Digest["sha256"] != digest {
		t.Errorf("subjects: %v", s.Subject)
	}
	raw, err := protojson.Marshal(s.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var r testresult.TestResult
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	if r.Result != "PASSED" || len(r.PassedTests) != 1 || len(r.WarnedTests) != 1 || len(r.FailedTests) != 0 || len(r.Configuration) != 2 {
		t.Errorf("test result: %v", &r)
	}
}

// Records of an earlier hubship go on being read: what is signed has a form
// that later versions write too.
func TestEvidenceOfEarlierVersions(t *testing.T) {
	record, key := filepath.Join("testdata", "evidence.json"), filepath.Join("testdata", "key.pub")
	if *update {
		keys := folder(t)
		pem, err := public(t, keys)[0].PEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(record, seal(t, keys, evidenceOf(want, 1)), 0o644), os.WriteFile(key, pem, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	envelope, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := attest.ParsePublic(pem)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := accepted(envelope, []attest.Public{pub}, want, attest.NewStanding(want).Record(shared)); err != nil {
		t.Errorf("a record that an earlier version signed is refused: %v", err)
	}
}

func TestJudge(t *testing.T) {
	keys := folder(t)
	standing := attest.NewStanding(want).Record(shared)
	for _, c := range []struct {
		name   string
		change func(*attest.Evidence, *attest.Want, *attest.Standing)
		reason attest.Reason
	}{
		{"as it is", func(*attest.Evidence, *attest.Want, *attest.Standing) {}, ""},
		{"any inputs", func(_ *attest.Evidence, w *attest.Want, _ *attest.Standing) { w.Shared = "" }, ""},
		{"other hub", func(e *attest.Evidence, _ *attest.Want, _ *attest.Standing) { e.Hub = "other" }, attest.WrongHub},
		{"other environment", func(e *attest.Evidence, _ *attest.Want, _ *attest.Standing) { e.Environment = "prod" }, attest.WrongEnv},
		{"other cluster", func(e *attest.Evidence, _ *attest.Want, _ *attest.Standing) { e.Evidence.Cluster = "other" }, attest.WrongCluster},
		{"other namespace", func(e *attest.Evidence, _ *attest.Want, _ *attest.Standing) { e.Namespace = "other" }, attest.WrongRelease},
		{"other release", func(e *attest.Evidence, _ *attest.Want, _ *attest.Standing) { e.Release = "other" }, attest.WrongRelease},
		{"other inputs", func(e *attest.Evidence, _ *attest.Want, _ *attest.Standing) { e.Shared = "other" }, attest.WrongInputs},
		{"not passed", func(e *attest.Evidence, _ *attest.Want, _ *attest.Standing) { e.Verified.Passed = false }, attest.NotPassed},
		{"never written", func(e *attest.Evidence, _ *attest.Want, _ *attest.Standing) { e.Sequence = 2 }, attest.OutOfOrder},
		{"a newer one", func(_ *attest.Evidence, _ *attest.Want, s *attest.Standing) { *s = s.Record(shared) }, attest.Superseded},
		{"long ago", func(_ *attest.Evidence, _ *attest.Want, s *attest.Standing) {
			for range attest.KeepEvidence {
				*s = s.Record("x")
			}
		}, attest.OutOfOrder},
		{"halted since", func(_ *attest.Evidence, _ *attest.Want, s *attest.Standing) {
			*s = s.Halted(model.Halt{Shared: shared})
		}, attest.Voided},
		{"halted and cleared since", func(_ *attest.Evidence, _ *attest.Want, s *attest.Standing) {
			*s = s.Halted(model.Halt{Shared: shared}).Cleared()
		}, attest.Voided},
		{"halted for other inputs", func(_ *attest.Evidence, _ *attest.Want, s *attest.Standing) {
			*s = s.Halted(model.Halt{Shared: "x"}).Cleared()
		}, ""},
		{"nothing remembered", func(_ *attest.Evidence, w *attest.Want, s *attest.Standing) { *s = attest.NewStanding(*w) }, attest.OutOfOrder},
		{"another release's standing", func(_ *attest.Evidence, _ *attest.Want, s *attest.Standing) { s.Release = "other" }, attest.WrongRelease},
	} {
		e, w, s := evidenceOf(want, 1), want, standing
		c.change(&e, &w, &s)
		_, err := accepted(seal(t, keys, e), public(t, keys), w, s)
		if reasonOf(err) != c.reason || (err == nil) != (c.reason == "") {
			t.Errorf("%s: %v, want %q", c.name, err, c.reason)
		}
	}
}
