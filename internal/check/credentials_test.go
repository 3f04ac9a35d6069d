package check

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/plan"
)

// letters returns characters of the alphabet, the same in each run, so that
// nothing that looks like a credential stands in this file.
func letters(n int, alphabet string) string {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

const (
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	hexes = "0123456789abcdef"
	mixed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// added makes a file of which every line is new.
func added(name string, text ...string) File {
	f := File{Name: name}
	for i, l := range text {
		f.Added = append(f.Added, Line{Number: i + 1, Text: l})
	}
	return f
}

func pem() []string {
	out := []string{"-----BEGIN RSA PRIVATE" + " KEY-----"}
	for i := range 20 {
		out = append(out, letters(64, mixed+strings.Repeat("+/", i%2)))
	}
	return append(out, "-----END RSA PRIVATE"+" KEY-----")
}

func TestCredentials(t *testing.T) {
	token := letters(36, mixed)
	for name, test := range map[string]struct {
		secret string
		file   File
		want   string
	}{
		"aws":           {"AK" + "IA" + letters(16, upper), added("c.yaml", "a: 1", "id: AK"+"IA"+letters(16, upper)), "error c.yaml:2 a plaintext credential (aws-access-token)"},
		"github":        {"gh" + "p_" + token, added("c.yaml", "x: 1", "", "token: gh"+"p_"+token), "error c.yaml:3 a plaintext credential (github-pat)"},
		"slack":         {"xox" + "b-", added("c.py", "t = \"xox"+"b-"+letters(12, "0123456789")+"-"+letters(12, "0123456789")+"-"+letters(24, mixed)+"\""), "error c.py:1 a plaintext credential (slack-bot-token)"},
		"private key":   {letters(64, mixed), added("id_rsa", pem()...), "error id_rsa:1 a plaintext credential (private-key)"},
		"google key":    {letters(64, mixed), added("gke-key.json", "{", `"type": "service_account",`, `"private_key": "`+strings.Join(pem(), `\n`)+`"`, "}"), "error gke-key.json:3 a plaintext credential (private-key)"},
		"generic":       {letters(40, hexes), added("c.yaml", "hub:", "  cookieSecret: x", "  apiToken: "+letters(40, hexes)), "warning c.yaml:3 this may be a plaintext credential (generic-api-key)"},
		"added further": {"gh" + "p_" + token, File{Name: "c.yaml", Added: []Line{{3, "a: 1"}, {40, "b: 1"}, {41, "t: gh" + "p_" + token}, {90, "c: 1"}}}, "error c.yaml:41 a plaintext credential (github-pat)"},
		"by its name":   {"-", File{Name: "keys/prod.p12"}, "error keys/prod.p12:0 a plaintext credential (pkcs12-file)"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Credentials(context.Background(), []File{test.file}, Gitleaks{})
			if len(got) != 1 || !strings.HasPrefix(lines(got), test.want) {
				t.Fatalf("got %s, want %s", lines(got), test.want)
			}
			if test.secret != "-" && strings.Contains(got[0].Message+got[0].Hint, test.secret) {
				t.Errorf("the value is told: %+v", got[0])
			}
		})
	}
}

// Large changes are searched in pieces, which must not come between a key's
// beginning and its end, nor between a name and its value.
func TestCredentialsAcrossPieces(t *testing.T) {
	for before := range 120 {
		text := slices.Repeat([]string{strings.Repeat("data ", 8)}, before)
		text = append(text, pem()...)
		text = append(text, slices.Repeat([]string{"more"}, 2000)...)
		got := Credentials(context.Background(), []File{added("x.txt", text...)}, Gitleaks{})
		if len(got) != 1 || got[0].Line != before+1 {
			t.Fatalf("after %d lines: %s", before, lines(got))
		}
	}
	var text []string
	for range 1000 {
		text = append(text, "some line", "t: gh"+"p_"+letters(36, mixed))
	}
	got := Credentials(context.Background(), []File{added("x.txt", text...)}, Gitleaks{})
	if len(got) != maxFindings {
		t.Fatalf("%d findings", len(got))
	}
	for i, p := range got {
		if p.Line != 2*i+2 {
			t.Fatalf("finding %d is on line %d", i, p.Line)
		}
	}
}

func TestNoCredentials(t *testing.T) {
	sealed := "ENC[AES256_GCM,data:" + letters(40, mixed) + ",iv:" + letters(40, mixed) + "=,tag:" + letters(22, mixed) + "==,type:str]"
	got := Credentials(context.Background(), []File{
		added("secrets/prod.yaml", "hub:", "  apiToken: "+sealed, "sops:", "  gcp_kms:", "  - resource_id: projects/x/cryptoKeys/sops", "    enc: "+letters(120, mixed), "  mac: "+sealed),
		added("secrets/key.json", `{"private_key": "`+sealed+`", "sops": {`, `"enc": "`+letters(120, mixed)+`",`),
		added("a.yaml", "GH_CLIENT_ID: "+letters(20, mixed), "secretName: "+letters(20, mixed), "token: {{ .Values.hub.token.of.something }}", "password: ${HUB_DATABASE_PASSWORD_9}", "password: <"+letters(20, mixed)+">"),
		added("b.yaml", "token: gh"+"p_"+letters(36, mixed)+" # gitleaks:allow"),
		added("image.png", "gh"+"p_"+letters(36, mixed)),
		{Name: "README.md"},
	}, Gitleaks{})
	if len(got) > 0 {
		t.Error(lines(got))
	}
	if got := Credentials(context.Background(), nil, Gitleaks{}); len(got) > 0 {
		t.Error(lines(got))
	}
}

func TestRepositorysOwnRules(t *testing.T) {
	own := []byte(`title = "own"
[extend]
useDefault = true
disabledRules = ["slack-bot-token"]
[[rules]]
id = "campus-key"
description = "Campus key, of the identity service"
regex = '''campus-[0-9a-f]{16}'''
keywords = ["Campus-"]
[[rules]]
id = "github-pat"
[[rules.allowlists]]
paths = ['''^docs/''']
[[allowlists]]
targetRules = ["campus-key"]
regexes = ['''campus-0{16}''']
[[allowlists]]
paths = ['''^fixtures/''']
`)
	pat := "- gh" + "p_" + letters(36, mixed)
	changed := []File{
		added("a.yaml", "x: campus-"+letters(16, hexes), "y: campus-"+strings.Repeat("0", 16), pat),
		added("docs/a.md", pat),
		added("fixtures/a.yaml", pat),
		added("old.yaml", pat),
		added("slack.py", "t = \"xox"+"b-"+letters(12, "0123456789")+"-"+letters(12, "0123456789")+"-"+letters(24, mixed)+"\""),
	}
	want := "error a.yaml:1 a plaintext credential (campus-key): campus key\nerror a.yaml:3 a plaintext credential (github-pat): uncovered a GitHub Personal Access Token\n"
	got := lines(Credentials(context.Background(), changed, Gitleaks{Config: own, Ignore: []byte("# known\n0123abc:old.yaml:github-pat:1\n")}))
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	for name, config := range map[string]string{
		"no toml":     "[[",
		"no regex":    "[[rules]]\nid = \"x\"\nregex = '''('''\n",
		"no rule":     "[[rules]]\nid = \"\"\n",
		"no required": "[[rules]]\nid = \"x\"\nregex = '''x'''\n[[rules.required]]\nid = \"y\"\n",
		"bad global":  "[[allowlists]]\nregexes = ['''(''']\n",
	} {
		got := Credentials(context.Background(), changed[:1], Gitleaks{Config: []byte(config)})
		if len(got) != 2 || got[0].Severity != plan.Warning || got[0].File != ".gitleaks.toml" || got[1].Line != 3 {
			t.Errorf("%s: %s", name, lines(got))
		}
	}
}

func TestCredentialsAreBounded(t *testing.T) {
	long := added("a.txt", strings.Repeat("x", maxLine)+" gh"+"p_"+letters(36, mixed), "password: gh"+"p_"+letters(36, mixed))
	got := Credentials(context.Background(), []File{long}, Gitleaks{})
	if len(got) != 2 || got[0].Severity != plan.Warning || got[0].File != "" || got[1].Line != 2 {
		t.Errorf("long line: %s", lines(got))
	}
	big := File{Name: "a.yaml"}
	for i := range 400_000 {
		big.Added = append(big.Added, Line{Number: i + 1, Text: "api_key: a value that is no secret, and long enough to count"})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	start := time.Now()
	got = Credentials(ctx, []File{big}, Gitleaks{})
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("took %s", took)
	}
	if len(got) == 0 || !strings.Contains(got[0].Message, "too large to search all of it") {
		t.Errorf("large: %s", lines(got))
	}
}

func TestCredentialsAtOnce(t *testing.T) {
	file := added("c.yaml", "token: gh"+"p_"+letters(36, mixed), "id: AK"+"IA"+letters(16, upper))
	done := make(chan string)
	for range 4 {
		go func() { done <- lines(Credentials(context.Background(), []File{file}, Gitleaks{})) }()
	}
	first := <-done
	for range 3 {
		if got := <-done; got != first || !strings.Contains(got, "github-pat") {
			t.Errorf("got %s and %s", got, first)
		}
	}
}

func BenchmarkCredentials(b *testing.B) {
	file := added("c.yaml", strings.Split(strings.Repeat("hub:\n  config:\n    api_url: https://example.org\n  memory: 1G\n", 25), "\n")...)
	for b.Loop() {
		if got := Credentials(context.Background(), []File{file}, Gitleaks{}); len(got) > 0 {
			b.Fatal(lines(got))
		}
	}
}
