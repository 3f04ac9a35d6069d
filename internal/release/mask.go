package release

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Masked stands in for what is secret.
const Masked = "••••••"

// minSecret is the shortest part of a secret that is masked wherever it
// appears, in bytes. Shorter ones ("true", "8080") would blot out text that has
// nothing to do with them.
const minSecret = 6

// maxSecrets bounds the secrets of one redactor, in bytes: what it keeps is
// some fifty times as much. With more, texts are withheld altogether.
const maxSecrets = 128 << 10

// Redactor takes known secrets out of text, as a defence in depth: whoever
// writes a chart can spell a secret in a way that nobody foresees. It finds
// every part of at least six characters, whatever the case, of each secret as
// it is, backwards, in base64 and base32 wherever it begins in the encoded
// text, in hexadecimal and decimal bytes, and escaped as in a URL, in JSON and
// in Go; with or without separators in between. The zero value redacts
// nothing. It is safe for concurrent use once made.
type Redactor struct {
	plain    []uint64 // windows of six bytes, sorted: of the text as it is
	letters  []uint64 // of its letters and digits alone
	digits   []uint64 // windows of twelve hexadecimal digits, which are six bytes too; shorter ones would be found in every other digest
	withheld bool
}

// NewRedactor returns a redactor of every text and number in the given values.
func NewRedactor(values ...map[string]any) *Redactor {
	found := map[string]bool{}
	for _, v := range values {
		collect(v, found)
	}
	total := 0
	for s := range found {
		total += len(s)
	}
	if total > maxSecrets {
		return &Redactor{withheld: true}
	}
	r := &Redactor{}
	for s := range found {
		for _, form := range plainForms(s) {
			r.plain = windows(r.plain, []byte(strings.ToLower(form)))
		}
		for _, form := range letterForms(s) {
			letters, _ := onlyLetters(form)
			r.letters = windows(r.letters, letters)
		}
		for _, form := range digitForms(s) {
			digits, _ := onlyLetters(form)
			eachDigits(digits, func(_ int, w uint64) { r.digits = append(r.digits, w) })
		}
	}
	for _, list := range []*[]uint64{&r.plain, &r.letters, &r.digits} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	for _, list := range []*[]uint64{&r.plain, &r.letters} {
		*list = slices.DeleteFunc(*list, func(w uint64) bool { return common[w] })
	}
	return r
}

// commonWords are what secrets files and every message have in common. What is
// only part of one of them gives nothing away.
var commonWords = []string{
	"https://", "http://", "jupyterhub", "jupyter", "kubernetes", "-----begin certificate-----", "-----end certificate-----",
	"-----begin private key-----", "-----end private key-----", "password", "username", "localhost", "postgresql", "deployment",
	"container", "namespace", "secret", "example", "production", "staging", "default", "authenticator", "google", "github", "callback", "oauth_callback",
}

var common = func() map[uint64]bool {
	var list []uint64
	for _, w := range commonWords {
		letters, _ := onlyLetters(w)
		list = windows(windows(list, []byte(w)), letters)
	}
	out := make(map[uint64]bool, len(list))
	for _, w := range list {
		out[w] = true
	}
	return out
}()

func collect(v any, into map[string]bool) {
	add := func(s string) {
		if len(strings.TrimSpace(s)) >= minSecret {
			into[s] = true
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			collect(e, into)
		}
	case []any:
		for _, e := range v {
			collect(e, into)
		}
	case string:
		add(v)
	case json.Number:
		add(v.String())
	case float64:
		add(strconv.FormatFloat(v, 'f', -1, 64))
	case int64:
		add(strconv.FormatInt(v, 10))
	case int:
		add(strconv.Itoa(v))
	}
}

// plainForms are those in which separators count.
func plainForms(s string) []string {
	quoted, _ := json.Marshal(s) // of a text it never fails
	forms := []string{s, string(quoted[1 : len(quoted)-1]), url.QueryEscape(s), url.PathEscape(s)}
	goQuoted := strconv.Quote(s)
	forms = append(forms, goQuoted[1:len(goQuoted)-1])
	return append(forms, backwards(forms)...)
}

// letterForms are those of which letters and digits are enough.
func letterForms(s string) []string {
	forms := []string{s, url.QueryEscape(s)}
	encoded := shifted(s, base64.StdEncoding.EncodeToString, 3, 6)
	forms = append(forms, encoded...)
	for _, e := range encoded[:1] {
		forms = append(forms, shifted(e, base64.StdEncoding.EncodeToString, 3, 6)...)
	}
	forms = append(forms, base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(s)))))
	forms = append(forms, shifted(s, base32.StdEncoding.EncodeToString, 5, 5)...)
	return append(forms, backwards(forms)...)
}

// digitForms are those in which each byte is two digits or more.
func digitForms(s string) []string {
	forms := []string{hex.EncodeToString([]byte(s)), strings.Trim(fmt.Sprint([]byte(s)), "[]")}
	return append(forms, backwards(forms)...)
}

// shifted encodes a text as it looks within a longer one, at each place where
// it can begin: in groups of so many bytes, and characters of so many bits. What depends on the neighbours is cut off.
func shifted(s string, encode func([]byte) string, bytes, bits int) []string {
	var out []string
	for before := range bytes {
		text := encode([]byte(strings.Repeat("\x00", before) + s))
		first := (before*8 + bits - 1) / bits
		last := (before + len(s)) * 8 / bits
		if last = min(last, len(text)); first < last {
			out = append(out, text[first:last])
		}
	}
	return out
}

func backwards(forms []string) []string {
	out := make([]string, len(forms))
	for i, f := range forms {
		runes := []rune(f)
		slices.Reverse(runes)
		out[i] = string(runes)
	}
	return out
}

// onlyLetters returns the letters and digits of a text in lower case, and where
// each stands.
func onlyLetters(s string) (letters []byte, at []int) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c >= 0x80:
		default:
			continue
		}
		letters, at = append(letters, c), append(at, i)
	}
	return letters, at
}

// windows adds every window of the text to a list.
func windows(list []uint64, text []byte) []uint64 {
	for i := 0; i+minSecret <= len(text); i++ {
		list = append(list, window(text[i:]))
	}
	return list
}

// window packs the first six bytes.
func window(b []byte) uint64 {
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40
}

// minDigits is what minSecret is in hexadecimal.
const minDigits = 2 * minSecret

// eachDigits calls f with every window of twelve hexadecimal digits, and with
// where it begins.
func eachDigits(letters []byte, f func(at int, window uint64)) {
	var w uint64
	run := 0
	for i, c := range letters {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			run = 0
			continue
		}
		w = (w<<4 | uint64(c)) & (1<<(4*minDigits) - 1)
		if run++; run >= minDigits {
			f(i+1-minDigits, w)
		}
	}
}

// Text returns the text without the secrets.
func (r *Redactor) Text(s string) string {
	switch {
	case r == nil || len(s) == 0:
		return s
	case r.withheld:
		return Masked
	case len(r.plain) == 0 && len(r.letters) == 0 && len(r.digits) == 0:
		return s
	}
	hidden := make([]bool, len(s))
	any := false
	lower := []byte(s)
	for i, c := range lower {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	for i := 0; i+minSecret <= len(lower); i++ {
		if _, ok := slices.BinarySearch(r.plain, window(lower[i:])); ok {
			any = true
			fill(hidden, i, i+minSecret)
		}
	}
	letters, at := onlyLetters(s)
	for i := 0; i+minSecret <= len(letters); i++ {
		if _, ok := slices.BinarySearch(r.letters, window(letters[i:])); ok {
			any = true
			fill(hidden, at[i], at[i+minSecret-1]+1)
		}
	}
	eachDigits(letters, func(i int, w uint64) {
		if _, ok := slices.BinarySearch(r.digits, w); ok {
			any = true
			fill(hidden, at[i], at[i+minDigits-1]+1)
		}
	})
	if !any {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		end := i + 1
		for end < len(s) && hidden[end] == hidden[i] {
			end++
		}
		if hidden[i] {
			out.WriteString(Masked)
		} else {
			out.WriteString(s[i:end])
		}
		i = end
	}
	return strings.ToValidUTF8(out.String(), "")
}

func fill(hidden []bool, from, to int) {
	for i := from; i < to; i++ {
		hidden[i] = true
	}
}

// Error returns an error whose text is redacted, or err itself if nothing in
// it is secret. The redacted error still matches what err matches for
// errors.Is and errors.As; whoever digs the cause out of it must not print it.
func (r *Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := r.Text(text)
	if clean == text {
		return err
	}
	return &redacted{text: clean, err: err}
}

type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }

// Is lets errors.Is see through the redaction without handing out the cause.
func (e *redacted) Is(target error) bool { return errors.Is(e.err, target) }
