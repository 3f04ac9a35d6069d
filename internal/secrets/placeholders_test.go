package secrets

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlaceholders(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	recipient, err := NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encrypt := func(plain string) []byte {
		t.Helper()
		out, err := Encrypt([]byte(plain), []string{recipient})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const plain = "a:\n  token: my-very-secret\n  n: 5\n  on: true\n  f: 1.5\nl:\n  # about the first\n  - first-secret\n  # about the second\n  - second-secret\n# about it\n"
	data := encrypt(plain)
	got, err := Placeholders("x.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	a := got["a"].(map[string]any)
	if _, ok := a["n"].(int64); !ok {
		t.Errorf("n is %T", a["n"])
	}
	if _, ok := a["on"].(bool); !ok {
		t.Errorf("on is %T", a["on"])
	}
	if _, ok := a["f"].(float64); !ok {
		t.Errorf("f is %T", a["f"])
	}
	token, _ := a["token"].(string)
	list, _ := got["l"].([]any)
	if !strings.HasPrefix(token, "stand-in-") || len(list) != 2 || list[0] == list[1] || got["sops"] != nil {
		t.Errorf("stand-ins %+v", got)
	}
	// The same text is the same; a value that was encrypted anew is another.
	again, err := Placeholders("x.yaml", data)
	if err != nil || again["a"].(map[string]any)["token"] != token {
		t.Errorf("again %+v, %v", again, err)
	}
	other, err := Placeholders("x.yaml", encrypt(plain))
	if err != nil || other["a"].(map[string]any)["token"] == token {
		t.Errorf("another %+v, %v", other, err)
	}
	open, err := Placeholders("x.yaml", []byte("a: 471147\nb: in the clear\nc: true\n"))
	if err != nil || open["a"] == nil || strings.Contains(fmt.Sprint(open), "471147") || strings.Contains(fmt.Sprint(open), "clear") || open["c"] != true {
		t.Errorf("not encrypted: %+v, %v", open, err)
	}
	if _, err := Placeholders("x.yaml", []byte("a: [s3cret\n")); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("broken: %v", err)
	}
}
