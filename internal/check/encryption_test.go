package check

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"
)

// seal encrypts a file with SOPS' own code, in the format of its name.
func seal(t *testing.T, name, plain string, settings sops.Metadata) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	c := config.NewStoresConfig()
	var store interface {
		sops.PlainFileLoader
		sops.EncryptedFileEmitter
	}
	switch name[strings.LastIndexByte(name, '.'):] {
	case ".json":
		store = json.NewStore(&c.JSON)
	case ".env":
		store = dotenv.NewStore(&c.Dotenv)
	case ".ini":
		store = ini.NewStore(&c.INI)
	case ".yaml":
		store = sopsyaml.NewStore(&c.YAML)
	default:
		store = json.NewBinaryStore(&c.JSONBinary)
	}
	branches, err := store.LoadPlainFile([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	key, err := sopsage.MasterKeyFromRecipient(id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	settings.KeyGroups = []sops.KeyGroup{{key}}
	settings.Version = "3.13.3"
	tree := sops.Tree{Branches: branches, Metadata: settings}
	dataKey, errs := tree.GenerateDataKey()
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	mac, err := tree.Encrypt(dataKey, aes.NewCipher())
	if err != nil {
		t.Fatal(err)
	}
	tree.Metadata.LastModified = time.Now().UTC()
	tree.Metadata.MessageAuthenticationCode, err = aes.NewCipher().Encrypt(mac, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		t.Fatal(err)
	}
	out, err := store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

const (
	plainYAML = "# who\njupyterhub:\n    hub:\n        config:\n            id: some-id\n            empty: \"\"\n            none: null\n            on: true\n            many: [a, 2, 1.5]\n    show_unencrypted: in the clear\n"
	plainJSON = "{\n \"type\": \"service_account\",\n \"n\": 1, \"list\": [{\"a\": \"x\"}], \"ok\": false, \"gone\": null\n}\n"
)

func TestEncryptedFilesAreFine(t *testing.T) {
	for name, test := range map[string]struct {
		file, plain string
		settings    sops.Metadata
	}{
		"yaml":              {"s.yaml", plainYAML, sops.Metadata{UnencryptedSuffix: "_unencrypted"}},
		"yaml, two":         {"s.yaml", plainYAML + "---\nb: 2\n", sops.Metadata{UnencryptedSuffix: "_unencrypted"}},
		"encrypted suffix":  {"s.yaml", plainYAML, sops.Metadata{EncryptedSuffix: "config"}},
		"encrypted regex":   {"s.yaml", plainYAML, sops.Metadata{EncryptedRegex: "^(id|many)$"}},
		"unencrypted regex": {"s.yaml", plainYAML, sops.Metadata{UnencryptedRegex: "^(id|many)$"}},
		"mac of encrypted":  {"s.yaml", plainYAML, sops.Metadata{EncryptedRegex: "^id$", MACOnlyEncrypted: true}},
		"by comments":       {"s.yaml", plainYAML, sops.Metadata{EncryptedCommentRegex: "who"}},
		"json":              {"s.json", plainJSON, sops.Metadata{UnencryptedSuffix: "_unencrypted"}},
		"binary":            {"key.pem", "anything\nat all\n", sops.Metadata{}},
		"dotenv":            {"s.env", "# c\nA=1\nB_unencrypted=x y\nC=\n", sops.Metadata{UnencryptedSuffix: "_unencrypted"}},
		"ini":               {"s.ini", "[db]\npassword = x\nempty =\n", sops.Metadata{UnencryptedSuffix: "_unencrypted"}},
	} {
		t.Run(name, func(t *testing.T) {
			sealed := seal(t, test.file, test.plain, test.settings)
			if got := lines(Encryption(test.file, []byte(sealed))); got != "" {
				t.Errorf("problems in\n%s\n%s", sealed, got)
			}
		})
	}
}

func TestEncryptionFinds(t *testing.T) {
	suffix := sops.Metadata{UnencryptedSuffix: "_unencrypted"}
	drop := func(s, pattern string) string { return regexp.MustCompile(pattern).ReplaceAllString(s, "") }
	for name, test := range map[string]struct{ file, in, want string }{
		"plain yaml":   {"s.yaml", "a: hunter2\n", "error s.yaml:0 the file is not encrypted with SOPS\n"},
		"plain json":   {"s.json", plainJSON, "error s.json:0 the file is not encrypted with SOPS\n"},
		"plain dotenv": {"s.env", "A=1\n", "error s.env:0 the file is not encrypted with SOPS\n"},
		"plain ini":    {"s.ini", "[a]\nb=1\n", "error s.ini:0 the file is not encrypted with SOPS\n"},
		"plain pem":    {"key.pem", "hunter2\n", "error key.pem:0 the file is not encrypted with SOPS\n"},
		"a list":       {"s.yaml", "- a\n", "error s.yaml:0 the file is not encrypted with SOPS\n"},
		"empty":        {"s.yaml", "\n \n", "error s.yaml:0 the file is empty: SOPS cannot decrypt it\n"},
		"git-crypt":    {"s.yaml", "\x00GITCRYPT\x00abc", "warning s.yaml:0 the file is encrypted with git-crypt, which hubship does not read\n"},
		"a word sops":  {"s.yaml", "sops: no\na: 1\n", "error s.yaml:0 the file is not encrypted with SOPS\n"},
		"bad yaml":     {"s.yaml", "a: hunter2\nb: [\n", "error s.yaml:2 SOPS cannot read the file: not valid YAML: did not find expected node content\n"},
		"bad json":     {"s.json", "{\"a\": \"x\",\n hunter2\n}", "error s.json:2 SOPS cannot read the file: it is not valid JSON\n"},
		"json, more":   {"s.json", "{\"a\": \"x\"}\n{}", "error s.json:2 SOPS cannot read the file: it is not valid JSON\n"},

		"value added": {"s.yaml", "new:\n  key: hunter2\n" + seal(t, "s.yaml", plainYAML, suffix),
			"error s.yaml:2 new.key is not encrypted\n"},
		"number added": {"s.yaml", "new: [1, hunter2]\n" + seal(t, "s.yaml", plainYAML, suffix),
			"error s.yaml:1 new.0 is not encrypted\nerror s.yaml:1 new.1 is not encrypted\n"},
		"value damaged": {"s.yaml", strings.Replace(seal(t, "s.yaml", "a: x\n", suffix), ",iv:", ",ix:", 1),
			"error s.yaml:1 a is damaged: it begins like an encrypted value but is not one\n"},
		"no checksum": {"s.yaml", drop(seal(t, "s.yaml", "a: x\n", suffix), ` *mac: .*\n`),
			"error s.yaml:2 the file has no checksum (mac), so nobody can tell whether it was changed\n"},
		"json added": {"s.json", strings.Replace(seal(t, "s.json", plainJSON, suffix), "{", "{\n\"k\":\n\"hunter2\",", 1),
			"error s.json:3 k is not encrypted\n"},
		"dotenv added": {"s.env", seal(t, "s.env", "A=1\n", suffix) + "B=hunter2\n", "B is not encrypted\n"},
		"ini added": {"s.ini", "[x]\ny = hunter2\n" + seal(t, "s.ini", "[db]\na=1\n", suffix),
			"error s.ini:2 x.y is not encrypted\n"},
		"outside of the regex": {"s.yaml", "id: hunter2\nother: fine\n" + seal(t, "s.yaml", plainYAML, sops.Metadata{EncryptedRegex: "^id$"}),
			"error s.yaml:1 id is not encrypted\n"},
		"many": {"s.yaml", strings.Repeat("- hunter2\n", 30) + "---\n" + seal(t, "s.yaml", "a: x\n", suffix), "10 more values are not encrypted\n"},
	} {
		t.Run(name, func(t *testing.T) {
			problems := Encryption(test.file, []byte(test.in))
			got := lines(problems)
			if strings.HasPrefix(test.want, "error") || strings.HasPrefix(test.want, "warning") {
				if got != test.want {
					t.Errorf("got:\n%swant:\n%sof:\n%s", got, test.want, test.in)
				}
			} else if !strings.HasSuffix(got, test.want) {
				t.Errorf("got:\n%swant at the end:\n%sof:\n%s", got, test.want, test.in)
			}
			for _, p := range problems {
				if strings.Contains(p.Message+p.Hint, "hunter2") {
					t.Errorf("the value is told: %+v", p)
				}
			}
		})
	}
}

func FuzzEncryption(f *testing.F) {
	for _, seed := range []string{"a: 1\nsops: {mac: x}\n", `{"a": [1, {"b": null}], "sops": {"mac": "ENC["}}`, "A=1\nsops_mac=x\n", "[sops]\nmac=x\n", "\x00GITCRYPT\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, name := range []string{"s.yaml", "s.json", "s.env", "s.ini", "s.bin"} {
			problems := Encryption(name, []byte(data))
			if len(problems) == 0 && !strings.Contains(data, "ENC[") {
				t.Errorf("%s: nothing encrypted, and no problem: %q", name, data)
			}
			for _, p := range problems {
				if p.Line < 0 || p.Message == "" || p.File != name {
					t.Errorf("incomplete: %+v", p)
				}
			}
		}
	})
}
