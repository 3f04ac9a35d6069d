package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

const plain = `# the try-out's login
jupyterhub:
  hub:
    config:
      DummyAuthenticator:
        password: correct horse
    extraEnv:
      - name: TOKEN
        value: battery staple
  count: 3
  ratio: 0.5
  enabled: true
  empty: ""
  nothing: null
  list: [1, two, {three: 3}]
  text: |
    two
    lines
  public_unencrypted: anybody may read this
`

// newKey makes an identity and returns its file and its recipient.
func newKey(t *testing.T) (file, recipient string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "age.txt")
	recipient, err := NewKey(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, recipient
}

func encrypt(t *testing.T, text string, recipients ...string) []byte {
	t.Helper()
	data, err := Encrypt([]byte(text), recipients)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	file, recipient := newKey(t)
	other, otherRecipient := newKey(t)
	data := encrypt(t, plain, recipient, otherRecipient)

	for _, secret := range []string{"correct horse", "battery staple", "try-out", "two"} {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("the encrypted file shows %q:\n%s", secret, data)
		}
	}
	if !bytes.Contains(data, []byte("DummyAuthenticator:")) || !bytes.Contains(data, []byte("anybody may read this")) {
		t.Errorf("keys and values that are not to be encrypted are:\n%s", data)
	}
	want := map[string]any{"jupyterhub": map[string]any{
		"hub": map[string]any{
			"config":   map[string]any{"DummyAuthenticator": map[string]any{"password": "correct horse"}},
			"extraEnv": []any{map[string]any{"name": "TOKEN", "value": "battery staple"}},
		},
		"count": 3, "ratio": 0.5, "enabled": true, "empty": "", "nothing": nil,
		"list": []any{1, "two", map[string]any{"three": 3}}, "text": "two\nlines\n",
		"public_unencrypted": "anybody may read this",
	}}
	for _, key := range []string{file, other} {
		got, err := Decrypt("secrets/prod.yaml", data, Keys{AgeFiles: []string{key}})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Decrypt = %#v\nwant %#v", got, want)
		}
	}
}

func TestSameTextTwiceDiffers(t *testing.T) {
	t.Parallel()
	_, recipient := newKey(t)
	if bytes.Equal(encrypt(t, plain, recipient), encrypt(t, plain, recipient)) {
		t.Error("two encryptions of one text are equal: the data key or the nonces repeat")
	}
}

func TestDecryptRefuses(t *testing.T) {
	t.Parallel()
	file, recipient := newKey(t)
	stranger, _ := newKey(t)
	data := string(encrypt(t, plain, recipient))
	password := regexp.MustCompile(`password: ENC\[[^\n]*`)
	count := regexp.MustCompile(`count: (ENC\[[^\n]*)`)
	ratio := regexp.MustCompile(`ratio: (ENC\[[^\n]*)`)
	broken := filepath.Join(t.TempDir(), "broken.txt")
	if err := os.WriteFile(broken, []byte("# a comment\nAGE-SECRET-KEY-1HUSHHUSH\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.txt")
	if err := os.WriteFile(empty, []byte("# a comment\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct {
		data, key string
		want      string // in the error
	}{
		"not encrypted":       {plain, file, "is not encrypted"},
		"empty":               {"", file, "is not encrypted"},
		"not YAML":            {"a: [correct horse", file, "not a valid SOPS file"},
		"list":                {"- correct horse\n", file, ""},
		"metadata of nothing": {"password: correct horse\nsops: {}\n", file, ""},
		"plain value added":   {strings.Replace(data, "jupyterhub:", "added: correct horse\njupyterhub:", 1), file, "not encrypted: added"},
		"plain number added":  {strings.Replace(data, "jupyterhub:", "pin: 4711\njupyterhub:", 1), file, "not encrypted: pin"},
		"value in clear":      {password.ReplaceAllString(data, "password: correct horse"), file, "not encrypted: jupyterhub.hub.config.DummyAuthenticator.password"},
		"value garbled":       {password.ReplaceAllString(data, "password: ENC[correct horse]"), file, "was changed after"},
		"value moved":         {ratio.ReplaceAllString(data, "ratio: "+count.FindStringSubmatch(data)[1]), file, "was changed after"},
		"value removed":       {count.ReplaceAllString(data, "# gone"), file, "checksum"},
		"clear value changed": {strings.Replace(data, "anybody may", "nobody may", 1), file, "checksum"},
		"stranger's key":      {data, stranger, recipient},
		"no such key file":    {data, file + ".none", "no such file"},
		"garbled key file":    {data, broken, "broken.txt:2 is not an age identity"},
		"empty key file":      {data, empty, "there are none"},
	}
	secrets := []string{"correct horse", "battery staple", "4711", "HUSHHUSH"}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Decrypt("deployments/datahub/secrets/prod.yaml", []byte(tt.data), Keys{AgeFiles: []string{tt.key}})
			if err == nil {
				t.Fatalf("no error, but %v", got)
			}
			if !strings.Contains(err.Error(), "deployments/datahub/secrets/prod.yaml") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want the file and %q", err, tt.want)
			}
			for _, s := range secrets {
				if all := fmt.Sprintf("%v %+v %#v %s", err, err, err, model.HintOf(err)); strings.Contains(all, s) {
					t.Errorf("the error shows %q: %s", s, all)
				}
			}
		})
	}
}

func TestEncryptRefuses(t *testing.T) {
	t.Parallel()
	file, recipient := newKey(t)
	identity, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimSpace(string(identity[bytes.Index(identity, []byte("AGE-SECRET")):]))
	for name, tt := range map[string]struct {
		text       string
		recipients []string
	}{
		"no recipient":      {plain, nil},
		"bad recipient":     {plain, []string{"age1nonsense"}},
		"secret as public":  {plain, []string{secret}},
		"nothing":           {"", []string{recipient}},
		"comment only":      {"# correct horse\n", []string{recipient}},
		"not YAML":          {"a: [correct horse", []string{recipient}},
		"already encrypted": {string(encrypt(t, plain, recipient)), []string{recipient}},
	} {
		out, err := Encrypt([]byte(tt.text), tt.recipients)
		if err == nil {
			t.Errorf("%s: no error, but %s", name, out)
			continue
		}
		if text := err.Error(); strings.Contains(text, "correct horse") || strings.Contains(text, secret) {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
}

func TestNewKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "deep", "er", "age.txt")
	recipient, err := NewKey(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewKey(file)
	after, readErr := os.ReadFile(file)
	if err != nil || readErr != nil || again != recipient || !bytes.Equal(before, after) {
		t.Errorf("a second NewKey = %s, %v; want the same key kept", again, errors.Join(err, readErr))
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("files left in the folder: %v, %v", left, err)
	}

	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewKey(file); err == nil || !strings.Contains(model.HintOf(err), "chmod 600") {
		t.Errorf("a key that others may read: %v, hint %q", err, model.HintOf(err))
	}
}

func TestNewKeyAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "age.txt")
	recipients := make([]string, 16)
	var wg sync.WaitGroup
	for i := range recipients {
		wg.Go(func() {
			var err error
			if recipients[i], err = NewKey(file); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range recipients {
		if r != recipients[0] {
			t.Fatalf("callers got different keys: %v", recipients)
		}
	}
	data := encrypt(t, plain, recipients[0])
	if _, err := Decrypt("x.yaml", data, Keys{AgeFiles: []string{file}}); err != nil {
		t.Errorf("the key that stayed does not open what was encrypted for it: %v", err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	if _, err := Decrypt("secrets/prod.json", []byte(`{"password": "correct horse"}`), Keys{}); err == nil || !strings.Contains(err.Error(), "is not encrypted") {
		t.Errorf("a plain JSON file: %v", err)
	}
}

// The files were encrypted by the sops command line, version 3.13.3.
func TestFilesOfTheCommandLine(t *testing.T) {
	t.Parallel()
	keys := Keys{AgeFiles: []string{filepath.Join("testdata", "identity.txt")}}
	for name, want := range map[string]map[string]any{
		"by-sops.yaml": nil, // the same as after a round trip of our own
		"by-sops.json": {"a": map[string]any{"password": "correct", "n": 3}},
	} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decrypt(name, data, keys)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want == nil {
			file, recipient := newKey(t)
			if want, err = Decrypt(name, encrypt(t, plain, recipient), Keys{AgeFiles: []string{file}}); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v\nwant %#v", name, got, want)
		}
	}
}

func TestTheCommandLineOpensOurs(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("sops")
	if err != nil {
		t.Skip("needs the sops program on PATH")
	}
	file, recipient := newKey(t)
	encrypted := filepath.Join(t.TempDir(), "secrets.yaml")
	if err := os.WriteFile(encrypted, encrypt(t, plain, recipient), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "decrypt", encrypted)
	cmd.Env = append(os.Environ(), "SOPS_AGE_KEY_FILE="+file)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("password: correct horse\n")) {
		t.Errorf("sops decrypt: %v\n%s", err, out)
	}
}
