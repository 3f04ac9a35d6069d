package release

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Masked stands in for what is secret.
const Masked = "••••••"

// minSecret is the shortest value that is masked wherever it appears. Shorter
// ones ("true", "8080") would blot out text that has nothing to do with them.
const minSecret = 6

// Redactor takes known secret values out of text. The zero value redacts
// nothing. It is safe for concurrent use once made.
type Redactor struct {
	replacer *strings.Replacer
}

// NewRedactor returns a redactor of every text in the given values, as it is
// and in the forms in which it reaches messages and manifests: base64, JSON
// and Go string escapes, and line by line.
func NewRedactor(values ...map[string]any) *Redactor {
	found := map[string]bool{}
	for _, v := range values {
		collect(v, found)
	}
	if len(found) == 0 {
		return &Redactor{}
	}
	forms := make([]string, 0, len(found))
	for s := range found {
		forms = append(forms, s)
	}
	// The longest first: a secret may contain another.
	slices.SortFunc(forms, func(a, b string) int {
		if n := len(b) - len(a); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range forms {
		pairs = append(pairs, f, Masked)
	}
	return &Redactor{replacer: strings.NewReplacer(pairs...)}
}

func collect(v any, into map[string]bool) {
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
		addForms(v, into)
	case json.Number:
		addForms(v.String(), into)
	case float64:
		addForms(strconv.FormatFloat(v, 'f', -1, 64), into)
	case int64:
		addForms(strconv.FormatInt(v, 10), into)
	case int:
		addForms(strconv.Itoa(v), into)
	}
}

func addForms(s string, into map[string]bool) {
	add := func(s string) {
		if len(s) >= minSecret {
			into[s] = true
		}
	}
	if len(strings.TrimSpace(s)) < minSecret {
		return
	}
	add(s)
	add(strings.TrimSpace(s))
	add(base64.StdEncoding.EncodeToString([]byte(s)))
	add(base64.RawURLEncoding.EncodeToString([]byte(s)))
	if quoted, err := json.Marshal(s); err == nil {
		add(string(quoted[1 : len(quoted)-1]))
	}
	quoted := strconv.Quote(s)
	add(quoted[1 : len(quoted)-1])
	if strings.Contains(s, "\n") {
		for line := range strings.Lines(s) {
			add(strings.TrimSpace(line))
		}
	}
}

// Text returns the text without the secrets.
func (r *Redactor) Text(s string) string {
	if r == nil || r.replacer == nil {
		return s
	}
	return r.replacer.Replace(s)
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

// MaskObject returns an object of a manifest with the data of a Secret masked,
// so that it can be shown. Other objects are returned as they are.
func MaskObject(o Object) Object {
	if o.Kind != "Secret" || (o.APIVersion != "v1" && o.APIVersion != "") {
		return o
	}
	out := Copy(o.Content).(map[string]any)
	for _, field := range []string{"data", "stringData"} {
		if m, ok := out[field].(map[string]any); ok {
			for k := range m {
				m[k] = Masked
			}
		} else if out[field] != nil {
			out[field] = Masked
		}
	}
	// kubectl keeps a copy of the whole object here.
	if meta, ok := out["metadata"].(map[string]any); ok {
		if notes, ok := meta["annotations"].(map[string]any); ok {
			if _, ok := notes["kubectl.kubernetes.io/last-applied-configuration"]; ok {
				notes["kubectl.kubernetes.io/last-applied-configuration"] = Masked
			}
		}
	}
	o.Content = out
	return o
}
