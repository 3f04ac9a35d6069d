package helm

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/template"
	"time"
)

// steadyTime is what templates take for now in a steady render.
var steadyTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// steadyKey keys what a steady render makes of passwords, so that nothing can
// be learned from it about them. It lives as long as the process.
var steadyKey = sync.OnceValue(func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
})

// steadyHash stands in for a salted hash or an encryption: the same for equal
// inputs, another for others.
func steadyHash(inputs ...string) string {
	mac := hmac.New(sha256.New, steadyKey())
	mac.Write([]byte(strings.Join(inputs, "\x00")))
	return hex.EncodeToString(mac.Sum(nil))
}

// steadyCert is what a steady render gives for a certificate.
type steadyCert struct{ Cert, Key string }

func steadyPEM(kind string) string {
	body := base64.StdEncoding.EncodeToString([]byte("stands in for one that is made at random"))
	return "-----BEGIN " + kind + "-----\n" + body + "\n-----END " + kind + "-----\n"
}

// steadyFuncs replace the functions that draw at random, read the clock, or
// give things in no order.
func steadyFuncs(r *run) template.FuncMap {
	text := func(alphabet string) func(int) (string, error) {
		return func(n int) (string, error) {
			if err := r.grown(max(n, 0)); err != nil || n <= 0 {
				return "", err
			}
			return strings.Repeat(alphabet, n/len(alphabet)+1)[:n], nil
		}
	}
	cert := func(...any) steadyCert { return steadyCert{steadyPEM("CERTIFICATE"), steadyPEM("RSA PRIVATE KEY")} }
	now := func() time.Time { return steadyTime }
	return template.FuncMap{
		"randAlphaNum": text("steady0"), "randAlpha": text("steady"), "randAscii": text("steady!"), "randNumeric": text("1234567890"),
		"randBytes": func(n int) (string, error) {
			if err := r.grown(2 * max(n, 0)); err != nil {
				return "", err
			}
			return base64.StdEncoding.EncodeToString(make([]byte, max(n, 0))), nil
		},
		"randInt": func(low, _ int) int { return low },
		"shuffle": func(s string) string { return s },
		"uuidv4":  func() string { return "00000000-0000-4000-8000-000000000000" },
		"now":     now,
		"ago":     func(any) string { return "0s" },
		"bcrypt":  func(s string) string { return "$2a$10$" + steadyHash(s)[:53] },
		"htpasswd": func(user, password string) string {
			return user + ":$2a$10$" + steadyHash(user, password)[:53]
		},
		"encryptAES": func(password, s string) string {
			return base64.StdEncoding.EncodeToString([]byte(steadyHash(password, s)))
		},
		"genPrivateKey": func(string) string { return steadyPEM("RSA PRIVATE KEY") },
		"genCA":         cert, "genCAWithKey": cert, "genSelfSignedCert": cert, "genSelfSignedCertWithKey": cert,
		"genSignedCert": cert, "genSignedCertWithKey": cert,
		"keys": func(dicts ...map[string]any) []string {
			var out []string
			for _, d := range dicts {
				out = append(out, slices.Sorted(maps.Keys(d))...)
			}
			return out
		},
		"values": func(dict map[string]any) []any {
			out := []any{}
			for _, k := range slices.Sorted(maps.Keys(dict)) {
				out = append(out, dict[k])
			}
			return out
		},
	}
}
