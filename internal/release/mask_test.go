package release

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

func TestRedactor(t *testing.T) {
	const secret = "s3cret \"quoted\"\nsecond-line-of-it"
	r := NewRedactor(map[string]any{
		"hub": map[string]any{"token": secret, "list": []any{"in-a-list-123"}, "short": "abc", "flag": true, "number": int64(1234567890)},
	})
	for _, form := range []string{
		secret, "in-a-list-123", "second-line-of-it", "1234567890",
		base64.StdEncoding.EncodeToString([]byte(secret)),
		fmt.Sprintf("%q", secret),
	} {
		got := r.Text("before " + form + " after")
		if !strings.Contains(got, Masked) || strings.Contains(got, "second-line") || strings.Contains(got, "123456") || strings.Contains(got, "in-a-list") {
			t.Errorf("%q became %q", form, got)
		}
		if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%q lost what was around the secret: %q", form, got)
		}
	}
	if got := r.Text("abc is too short to hide, true"); got != "abc is too short to hide, true" {
		t.Errorf("got %q", got)
	}
}

func TestRedactorError(t *testing.T) {
	r := NewRedactor(map[string]any{"password": "correct-horse"})
	err := r.Error(fmt.Errorf("parse correct-horse: %w", fs.ErrNotExist))
	if strings.Contains(fmt.Sprintf("%v %+v %s", err, err, err), "correct-horse") {
		t.Errorf("the secret is still there: %v", err)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("errors.Is does not see the cause any more")
	}
	if errors.Unwrap(err) != nil {
		t.Error("the cause, with the secret, can be unwrapped")
	}
	plain := errors.New("nothing secret")
	if r.Error(plain) != plain {
		t.Error("an error without secrets was changed")
	}
	if r.Error(nil) != nil {
		t.Error("nil became an error")
	}
	var none *Redactor
	if none.Text("x") != "x" {
		t.Error("a nil redactor changed text")
	}
}
