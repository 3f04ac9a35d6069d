package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

// proved is a server with one record that is believed and one that is not, and
// the keys that signed the first.
func proved(t *testing.T) (data string, keys *attest.Folder) {
	t.Helper()
	w := &world{status: twoStages()}
	data = w.serve(t)
	keys, err := attest.OpenFolder(install.At(data).SigningKeys)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	ev := model.Evidence{Hub: "datahub", Environment: "staging", Cluster: "uid", Commit: "abcdef0123456789", Shared: "5feceb66", Run: "run-1",
		Images:   []model.Built{{ID: "user", Name: "127.0.0.1:1/user", Tag: "h-1", Digest: "sha256:" + strings.Repeat("ab", 32)}},
		Verified: model.Verification{Passed: true, Started: at, Finished: at, Checks: []model.Check{{Name: "kernel starts", Passed: true, Duration: time.Second, Detail: "Python 3.13"}}}}
	envelope, err := attest.Evidence{Evidence: ev, Namespace: "datahub-staging", Release: "datahub", Sequence: 4, Recorded: at}.Seal(keys)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Newest()
	if err != nil {
		t.Fatal(err)
	}
	target := model.Target{Hub: "datahub", Environment: "staging"}
	w.evidence = []model.EvidenceRecord{
		{Target: target, Name: "ConfigMap x/1", Believed: true, Key: key.ID, Sequence: 4, Recorded: at, Evidence: &ev, Envelope: envelope},
		{Target: target, Name: "ConfigMap x/2", Refused: "it is signed with a key that is not trusted here", Reason: "signature"},
	}
	return data, keys
}

func TestEvidence(t *testing.T) {
	data, _ := proved(t)
	code, out, errs := hubship(t, data, "evidence", "--env", "staging")
	if code != 0 || !strings.Contains(out, "run-1") || !strings.Contains(out, "no: it is signed with a key that is not trusted here (ConfigMap x/2)") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	var records []model.EvidenceRecord
	code, out, _ = hubship(t, data, "evidence", "-o", "json")
	if err := json.Unmarshal([]byte(out), &records); err != nil || code != 0 || len(records) != 2 || records[1].Reason != "signature" {
		t.Errorf("%d: %v\n%s", code, err, out)
	}
	if code, out, _ = hubship(t, data, "evidence", "--env", "prod"); code != 0 || !strings.Contains(out, "nothing has been verified yet") {
		t.Errorf("%d: %s", code, out)
	}
}

// What is exported is checked offline: without a server, and to the last byte.
func TestExportedEvidenceIsVerified(t *testing.T) {
	data, keys := proved(t)
	dir := t.TempDir()
	file, pub := filepath.Join(dir, "datahub.json"), filepath.Join(dir, "hubship.pub")
	if code, _, errs := hubship(t, data, "evidence", "export", "--env", "staging", "--hub", "datahub", file); code != 0 {
		t.Fatalf("%d: %s", code, errs)
	}
	code, pem, errs := hubship(t, data, "key", "export")
	if code != 0 || strings.Contains(pem, "PRIVATE") {
		t.Fatalf("%d: %s%s", code, pem, errs)
	}
	if err := os.WriteFile(pub, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := t.TempDir() // no server, no keys
	code, out, errs := hubship(t, nowhere, "evidence", "verify", file, "--key", pub)
	for _, want := range []string{"genuine", "datahub@staging", "namespace datahub-staging", "cluster uid", "record 4", "5feceb66", "sha256:abab", "run-1", "kernel starts", "Python 3.13"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q (exit code %d):\n%s%s", want, code, out, errs)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, content []byte, key string, want int) {
		t.Helper()
		changed := filepath.Join(dir, "changed.json")
		if err := os.WriteFile(changed, content, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := hubship(t, nowhere, "evidence", "verify", changed, "--key", key, "-o", "json")
		var said checkedEvidence
		if err := json.Unmarshal([]byte(out), &said); code != want || err != nil || said.Genuine != (want == 0) || (want != 0 && said.Evidence != nil) {
			t.Errorf("%s: exit code %d, want %d: %v\n%s%s", name, code, want, err, out, errs)
		}
	}
	check("as an editor saves it", append(bytes.Clone(raw), '\n'), pub, 0)
	for i := 0; i < len(raw); i += 37 {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		check("a bit", bad, pub, model.ExitRefused)
	}
	check("cut", raw[:len(raw)/2], pub, model.ExitRefused)
	made, err := keys.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	code, pem, _ = hubship(t, data, "key", "export", made.ID)
	if code != 0 {
		t.Fatal(code)
	}
	other := filepath.Join(dir, "other.pub")
	if err := os.WriteFile(other, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	check("another key", raw, other, model.ExitRefused)
	if code, _, errs := hubship(t, nowhere, "evidence", "verify", file, "--key", file); code != model.ExitUsage {
		t.Errorf("a key that is none: exit code %d: %s", code, errs)
	}
	if code, _, errs := hubship(t, data, "evidence", "export", "--env", "prod", "--hub", "datahub", file); code != model.ExitRefused {
		t.Errorf("nothing to export: exit code %d: %s", code, errs)
	}
}

func TestKeys(t *testing.T) {
	if code, _, errs := hubship(t, t.TempDir(), "key", "list"); code == 0 || !strings.Contains(errs, "hubship up") {
		t.Errorf("without an installation: %d: %s", code, errs)
	}
	data, _ := proved(t)
	list := func() []signingKey {
		t.Helper()
		code, out, errs := hubship(t, data, "key", "list", "-o", "json")
		var keys []signingKey
		if err := json.Unmarshal([]byte(out), &keys); err != nil || code != 0 {
			t.Fatalf("%d: %v\n%s%s", code, err, out, errs)
		}
		return keys
	}
	first := list()
	if len(first) != 1 || !first[0].Signs || strings.Contains(first[0].PEM, "PRIVATE") {
		t.Fatalf("%+v", first)
	}
	if code, _, errs := hubship(t, data, "key", "remove", first[0].ID); code != model.ExitUsage || !strings.Contains(errs, "rotate") {
		t.Errorf("the only key: %d: %s", code, errs)
	}
	if code, out, errs := hubship(t, data, "key", "rotate"); code != 0 || !strings.Contains(out, "signs from now on") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	both := list()
	if len(both) != 2 || both[1].ID != first[0].ID || both[1].Signs {
		t.Errorf("%+v", both)
	}
	if code, out, errs := hubship(t, data, "key", "remove", first[0].ID[:12]); code != 0 || !strings.Contains(out, "no longer trusted") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	if left := list(); len(left) != 1 || left[0].ID != both[0].ID {
		t.Errorf("%+v", left)
	}
}
