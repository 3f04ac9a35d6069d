package secrets

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// withMetadata puts other keys into an encrypted file, as its author can.
func withMetadata(t *testing.T, data []byte, keys string) []byte {
	t.Helper()
	text := string(data)
	at := strings.Index(text, "\n    age:\n")
	end := strings.Index(text, "\n    lastmodified:")
	if at < 0 || end < at {
		t.Fatalf("no age keys in:\n%s", text)
	}
	return []byte(text[:at] + "\n" + keys + text[end:])
}

// Keys lie in every place that SOPS looks into by itself, and the file names
// services that answer. None of them is used.
func TestNothingAmbientIsUsed(t *testing.T) {
	var asked atomic.Int32
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer service.Close()
	file, recipient := newKey(t)
	stranger, _ := newKey(t)
	data := encrypt(t, plain, recipient)
	identity, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	for _, name := range []string{".config/sops/age/keys.txt", ".vault-token"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), identity, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{
		"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config"), "SOPS_AGE_KEY_FILE": file, "SOPS_AGE_KEY": string(identity),
		"SOPS_AGE_KEY_CMD": "cat " + file, "VAULT_TOKEN": "t", "VAULT_ADDR": service.URL,
		"GOOGLE_OAUTH_ACCESS_TOKEN": "t", "GOOGLE_CREDENTIALS": "{}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"AWS_ENDPOINT_URL": service.URL, "SOPS_GCP_KMS_ENDPOINT": service.URL, "SOPS_GCP_KMS_CLIENT_TYPE": "rest",
	} {
		t.Setenv(name, value)
	}
	const enc = "        enc: QUJD\n        created_at: \"2026-01-01T00:00:00Z\"\n"
	files := map[string][]byte{
		"age":   data,
		"vault": withMetadata(t, data, "    hc_vault:\n      - vault_address: "+service.URL+"\n        engine_path: transit\n        key_name: k\n"+enc),
		"gcp":   withMetadata(t, data, "    gcp_kms:\n      - resource_id: projects/p/locations/global/keyRings/r/cryptoKeys/k\n"+enc),
		"aws":   withMetadata(t, data, "    kms:\n      - arn: arn:aws:kms:us-east-1:111122223333:key/k\n        role: arn:aws:iam::111122223333:role/r\n"+enc),
		"azure": withMetadata(t, data, "    azure_kv:\n      - vault_url: "+service.URL+"\n        name: k\n        version: v\n"+enc),
		"pgp":   withMetadata(t, data, "    pgp:\n      - fp: 85D77543B3D624B63CEA9E6DBC17301B491B3F21\n"+enc),
	}
	for name, data := range files {
		for _, keys := range []Keys{{}, {AgeFiles: []string{stranger}}, {Services: []Service{
			{Kind: Vault, Allow: []string{"https://vault.example.edu/v1/transit/keys/*"}, Credentials: file},
			{Kind: GoogleKMS, Allow: []string{"projects/other/locations/*/keyRings/*/cryptoKeys/*"}, Credentials: file},
		}}} {
			began := time.Now()
			_, err := Decrypt("secrets/prod.yaml", data, keys)
			if err == nil || !strings.Contains(err.Error(), "secrets/prod.yaml: none of its keys can open it here") || model.HintOf(err) == "" {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: it took %s", name, took)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("a service that the file names was asked %d times", n)
	}
}

// A service that the installation names is asked, with its credentials.
func TestVault(t *testing.T) {
	t.Parallel()
	file, recipient := newKey(t)
	data := encrypt(t, plain, recipient)
	tree, err := load("x.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	dataKey, err := dataKeyOf("x.yaml", &tree, Keys{AgeFiles: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/transit/decrypt/hubs" || r.Header.Get("X-Vault-Token") != "our-token" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"plaintext": base64.StdEncoding.EncodeToString(dataKey)}})
	}))
	defer service.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("our-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	vaulted := func(key string) []byte {
		return withMetadata(t, data, fmt.Sprintf("    hc_vault:\n      - vault_address: %s\n        engine_path: transit\n        key_name: %s\n        enc: vault:v1:abc\n        created_at: \"2026-01-01T00:00:00Z\"\n", service.URL, key))
	}
	keys := Keys{Services: []Service{{Kind: Vault, Allow: []string{service.URL + "/v1/transit/keys/hubs"}, Credentials: token}}}
	if _, err := Decrypt("x.yaml", vaulted("hubs"), keys); err != nil {
		t.Errorf("the installation's key service: %v", err)
	}
	for _, key := range []string{"others", "../../keys/hubs", "hubs?x", "hubs%2f.."} {
		if _, err := Decrypt("x.yaml", vaulted(key), keys); err == nil || !strings.Contains(err.Error(), "was not asked") {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	file, recipient := newKey(t)
	data := string(encrypt(t, plain, recipient))
	at := strings.Index(data, "\n    age:\n")
	key := data[at+len("\n    age:\n") : strings.Index(data, "\n    lastmodified:")]
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 8), i-1)
	}
	for name, tt := range map[string]struct{ data, want string }{
		"large":         {data + "\n# " + strings.Repeat("x", maxSize), "the limit is"},
		"many keys":     {strings.Replace(data, key, strings.Repeat(key+"\n", maxKeys+1), 1), "keys: the limit is"},
		"aliases":       {bomb + data, "anchor or an alias"},
		"aliases later": {data + "---\n" + bomb, "anchor or an alias"},
		"deep":          {"deep: " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "\n" + data, "deep"},
		"split key":     {string(withMetadata(t, []byte(data), "    key_groups:\n      - age:\n"+indented(key)+"\n      - age:\n"+indented(key)+"\n    shamir_threshold: 1")), "split among 2 groups"},
	} {
		began := time.Now()
		_, err := Decrypt("x.yaml", []byte(tt.data), Keys{AgeFiles: []string{file}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Placeholders("x.yaml", []byte(tt.data)); err == nil && name != "split key" {
			t.Errorf("%s: stand-ins are made", name)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
	}
}

func indented(text string) string { return "      " + strings.ReplaceAll(text, "\n", "\n      ") }
