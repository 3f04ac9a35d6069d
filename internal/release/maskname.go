package release

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// secretWords are what names of secrets contain, in lower case and without
// separators.
var secretWords = []string{"password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "accesskey", "credential", "cookie", "cryptkeeper", "cryptkey", "authkey"}

// harmless are the ends of names that only speak about a secret: where it is,
// how long it lives.
var harmless = []string{"name", "names", "ref", "file", "path", "dir", "url", "seconds", "days", "age", "hours", "expiration", "ttl", "enabled", "type", "class", "length", "size", "imagepullsecret", "imagepullsecrets"}

var separators = strings.NewReplacer("_", "", "-", "", ".", "", "/", "")

// secretName says that what has this name is likely secret.
func secretName(key string) bool {
	if len(key) > 4*maxKey {
		key = key[:4*maxKey]
	}
	flat := separators.Replace(strings.ToLower(key))
	if strings.HasSuffix(flat, "pwd") {
		return true
	}
	if strings.HasPrefix(flat, "existingsecret") || !slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(flat, w) }) {
		return false
	}
	return !slices.ContainsFunc(harmless, func(w string) bool { return strings.HasSuffix(flat, w) })
}

// holdsSecret says that a document has a key with a secret's name.
func holdsSecret(v any, depth int) bool {
	if depth > maxDepth {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if secretName(k) || holdsSecret(e, depth+1) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if holdsSecret(e, depth+1) {
				return true
			}
		}
	}
	return false
}

// Bounds of a value that is told as a whole.
const (
	maxText  = 2000  // bytes of a text
	maxValue = 20000 // bytes of a map or list, as JSON
)

// tell returns a value as it may be told at a place: secrets masked, bounded.
func (c *comparison) tell(p place, v any) any {
	switch t := v.(type) {
	case nil, bool:
		return v
	case string:
		if p.texts {
			if doc, ok := asDocument(t); ok && holdsSecret(doc, 0) {
				p.names, p.texts = true, false
				return c.tell(p, doc)
			}
		}
		clean, _ := scrub(t)
		return cut(clean, maxText)
	case map[string]any, []any:
		out := c.masked(p, v)
		if raw, err := json.Marshal(out); err != nil || len(raw) > maxValue {
			return "… too large to show"
		}
		return out
	}
	return v
}

// masked copies a map or list without its secrets.
func (c *comparison) masked(p place, v any) any {
	if p.depth > maxDepth {
		return "… nested too deeply to show"
	}
	if p.secret && !switches(v, nil) {
		return Masked
	}
	switch t := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(t))
		if id, ok := t["name"].(string); ok && secretName(id) {
			p.env = true
		}
		for k, e := range t {
			in := p.below(k)
			if digests(in, e, nil) {
				e = "a digest"
			}
			out[k] = c.masked(in, e)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			in := p
			in.depth++
			out[i] = c.masked(in, e)
		}
		return out
	case string:
		return c.tell(p, t)
	}
	return v
}

var hexDigest = regexp.MustCompile(`^(sha(256|512):)?[0-9a-fA-F]{32,128}$`)

// digests says that a field only repeats that something else differs.
func digests(p place, a, b any) bool {
	if p.above != "annotations" && p.above != "labels" && !strings.HasPrefix(p.key, "checksum") {
		return false
	}
	if p.above == "annotations" && (strings.HasPrefix(p.key, "checksum/") || strings.HasPrefix(p.key, "checksum-")) {
		return true
	}
	as, aok := a.(string)
	bs, bok := b.(string)
	return (a == nil || aok && hexDigest.MatchString(as)) && (b == nil || bok && hexDigest.MatchString(bs))
}

// Texts that are secret wherever they stand.
var (
	privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)
	wellKnown  = regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|A(KIA|SIA)[A-Z0-9]{16}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|sk-[A-Za-z0-9_-]{20,})`)
	userInfo   = regexp.MustCompile(`(://[^/\s:@"']*:)([^@/\s"']+)@`)
	bearer     = regexp.MustCompile(`(?i)\b((?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{8,})`)
	assignment = regexp.MustCompile(`([A-Za-z0-9_.\-]+)(["']?\]?\s*(?:=>|:=|=|:)\s*)("[^"\n]*"|'[^'\n]*'|[^\s,;}"']+)`)
)

// imageReference is an image in a registry with a host name, and a tag.
var imageReference = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?(/[a-z0-9._-]+)+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(@sha256:[0-9a-f]{64})?$`)

// scrub takes out of a text what looks like a secret, and returns it beside.
func scrub(text string) (string, []string) {
	if imageReference.MatchString(text) {
		return text, nil // the name of an image may well speak of secrets
	}
	var hidden []string
	hide := func(s string) string {
		hidden = append(hidden, s)
		return Masked
	}
	text = privateKey.ReplaceAllStringFunc(text, hide)
	text = wellKnown.ReplaceAllStringFunc(text, hide)
	text = groups(userInfo, text, func(m []string) string { return m[1] + hide(m[2]) + "@" })
	text = groups(bearer, text, func(m []string) string { return m[1] + hide(m[2]) })
	text = groups(assignment, text, func(m []string) string {
		// What is computed or looked up is no secret itself.
		if !secretName(m[1]) || m[3] == "true" || m[3] == "false" || m[3][0] != '"' && m[3][0] != '\'' && strings.ContainsAny(m[3], "([${|>") {
			return m[0]
		}
		return m[1] + m[2] + hide(m[3])
	})
	return text, hidden
}

func groups(re *regexp.Regexp, text string, f func([]string) string) string {
	at := 0
	var b strings.Builder
	for _, m := range re.FindAllStringSubmatchIndex(text, -1) {
		parts := make([]string, len(m)/2)
		for i := range parts {
			if m[2*i] >= 0 {
				parts[i] = text[m[2*i]:m[2*i+1]]
			}
		}
		b.WriteString(text[at:m[0]])
		b.WriteString(f(parts))
		at = m[1]
	}
	if at == 0 {
		return text
	}
	b.WriteString(text[at:])
	return b.String()
}
