package release

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// encoders are what a template can do to a secret. Each returns the text, and
// the part of it that is the secret's alone.
var encoders = map[string]func(t *rapid.T, s string) (text, secret string){
	"as it is":  func(_ *rapid.T, s string) (string, string) { return s, s },
	"upper":     func(_ *rapid.T, s string) (string, string) { return strings.ToUpper(s), strings.ToUpper(s) },
	"backwards": func(_ *rapid.T, s string) (string, string) { b := backwards([]string{s})[0]; return b, b },
	"hex":       func(_ *rapid.T, s string) (string, string) { h := hex.EncodeToString([]byte(s)); return h, h },
	"hex apart": func(_ *rapid.T, s string) (string, string) { h := fmt.Sprintf("% X", s); return h, h },
	"bytes": func(_ *rapid.T, s string) (string, string) {
		b := fmt.Sprint([]byte(s))
		return b, strings.Trim(b, "[]")
	},
	"apart": func(_ *rapid.T, s string) (string, string) { b := strings.Join(strings.Split(s, ""), "-"); return b, b },
	"URL":   func(_ *rapid.T, s string) (string, string) { u := url.QueryEscape(s); return u, u },
	"JSON": func(_ *rapid.T, s string) (string, string) {
		j, _ := json.Marshal(s)
		return string(j), string(j[1 : len(j)-1])
	},
	"Go":     func(_ *rapid.T, s string) (string, string) { q := strconv.Quote(s); return q, q[1 : len(q)-1] },
	"base64": func(t *rapid.T, s string) (string, string) { return within(t, s, base64.StdEncoding.EncodeToString, 6) },
	"URL base64": func(t *rapid.T, s string) (string, string) {
		return within(t, s, base64.RawURLEncoding.EncodeToString, 6)
	},
	"base32": func(t *rapid.T, s string) (string, string) { return within(t, s, base32.StdEncoding.EncodeToString, 5) },
	"base64 twice": func(_ *rapid.T, s string) (string, string) {
		b := base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(s))))
		return b, b
	},
	"cut": func(t *rapid.T, s string) (string, string) {
		from := rapid.IntRange(0, len(s)-minSecret).Draw(t, "from")
		return s[from:], s[from:]
	},
}

// within encodes a secret within a longer text, as a manifest in a Secret is.
func within(t *rapid.T, s string, encode func([]byte) string, bits int) (string, string) {
	before := rapid.StringN(0, 9, 9).Draw(t, "before")
	after := rapid.StringN(0, 9, 9).Draw(t, "after")
	text := encode([]byte(before + s + after))
	first, last := (len(before)*8+bits-1)/bits, (len(before)+len(s))*8/bits
	return text, text[first:last]
}

// TestNothingOfASecretSurvives encodes random secrets at random, with other text
// around: no six characters of what is the secret's are left.
func TestNothingOfASecretSurvives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.OneOf(
			rapid.StringMatching(`[A-Za-z0-9+/=_!"$% -]{8,40}`), rapid.StringMatching(`[0-9a-f]{12,64}`), rapid.StringMatching(`[a-z]{8,12}`),
		).Draw(t, "secret")
		if len(strings.TrimSpace(secret)) < minSecret {
			return
		}
		how := rapid.SampledFrom([]string{
			"as it is", "upper", "backwards", "hex", "hex apart", "bytes", "apart", "URL", "JSON", "Go", "base64", "URL base64", "base32", "base64 twice", "cut",
		}).Draw(t, "how")
		text, alone := encoders[how](t, secret)
		line := rapid.SampledFrom([]string{"", "Deployment hub: ", "x", "\n"}).Draw(t, "around") + text + rapid.SampledFrom([]string{"", ": not ready", "y", "\n"}).Draw(t, "around")
		separated := map[string]bool{"apart": true, "hex apart": true, "bytes": true}[how]
		got := NewRedactor(map[string]any{"hub": map[string]any{"token": secret}}).Text(line)
		if separated { // what stands between its characters is not the secret's
			letters := func(s string) string { l, _ := onlyLetters(s); return string(l) }
			line, alone, got = letters(line), letters(alone), letters(got)
		}
		for i := 0; i+minSecret <= len(alone); i++ {
			part := alone[i : i+minSecret]
			if letters, _ := onlyLetters(part); strings.TrimSpace(part) != part || common[window([]byte(strings.ToLower(part)))] || len(letters) == 0 {
				continue
			}
			if strings.Contains(got, part) && !strings.Contains(strings.Replace(line, alone, "", 1), part) {
				t.Fatalf("%s: %q became %q, which has %q", how, line, got, part)
			}
		}
	})
}

// TestRedactorIsBounded has more secrets than are worth looking for, and as many
// as are.
func TestRedactorIsBounded(t *testing.T) {
	t.Parallel()
	if got := NewRedactor(map[string]any{"a": strings.Repeat("x", maxSecrets+1)}).Text("anything"); got != Masked {
		t.Errorf("got %q: with too many secrets a text is withheld", got)
	}
	most := make([]string, 0, maxSecrets/64)
	values := map[string]any{}
	for i := range maxSecrets / 64 {
		most = append(most, fmt.Sprintf("%064x", i*7919))
		values[fmt.Sprint(i)] = most[i]
	}
	began := time.Now()
	r := NewRedactor(values)
	text := strings.Repeat("nothing of it is here\n", 800)
	if r.Text(text) != text || strings.Contains(r.Text("see "+most[17]), most[17][:6]) {
		t.Error("it hides the wrong things")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestDigestsStayReadable has as many secrets as a large hub, and prints what a
// deploy prints most: digests, which have nothing to do with them.
func TestDigestsStayReadable(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	values := map[string]any{}
	for i := range 200 {
		secret := make([]byte, 32)
		for j := range secret {
			secret[j] = byte('!' + random.IntN(94))
		}
		values[fmt.Sprint(i)] = string(secret)
	}
	r := NewRedactor(values)
	cut := 0
	for i := range 1000 {
		digest := fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(i))))
		if r.Text("deploys sha256:"+digest) != "deploys sha256:"+digest {
			cut++
		}
	}
	if cut > 10 {
		t.Errorf("%d of 1000 digests are not shown", cut)
	}
}
