package registryauth

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/registry/auth"
	"pgregory.net/rapid"
)

const host = "127.0.0.1:17420"

func files(t *testing.T) Files {
	dir := t.TempDir()
	return Files{Hashes: filepath.Join(dir, "h"), Push: filepath.Join(dir, "push"), Pull: filepath.Join(dir, "pull")}
}

// The table of docs/node.md.
func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		account, kind, name, action string
		want                        bool
	}{
		{Pusher, "repository", "datahub/user", "push", true},
		{Pusher, "repository", "datahub/user", "delete", true},
		{Pusher, "registry", "catalog", "*", true},
		{Puller, "repository", "datahub/user", "pull", true},
		{Puller, "repository", "library/debian", "push", false},
		{Puller, "repository", "datahub/user", "delete", false},
		{Puller, "registry", "catalog", "*", false},
		{Nobody, "repository", "library/debian", "pull", true},
		{Nobody, "repository", "library/debian", "push", false},
		{Nobody, "repository", "library/debian", "delete", false},
		{Nobody, "repository", "library/debian/x", "pull", false},
		{Nobody, "repository", "library/user", "pull", false}, // a hub called library
		{Nobody, "repository", "datahub/user", "pull", false},
		{Nobody, "repository", "hubship/coredns", "pull", false},
		{Nobody, "registry", "catalog", "*", false},
		{Nobody, "registry", "library/debian", "pull", false},
		{"somebody", "repository", "library/debian", "pull", false},
	} {
		if got := Allowed(c.account, c.kind, c.name, c.action); got != c.want {
			t.Errorf("%q %s %s %s: %v, want %v", c.account, c.action, c.kind, c.name, got, c.want)
		}
	}
}

// Whatever is asked: without credentials nothing but the base image is read,
// and nothing is ever written without those of the account that pushes.
func TestAllowedHolds(t *testing.T) {
	word := rapid.SampledFrom([]string{"", "repository", "registry", "catalog", "library", "library/debian", "library/debian2", "datahub/user", "*", "pull", "push", "delete", Puller, "root", "HUBSHIP", "hubship "})
	rapid.Check(t, func(t *rapid.T) {
		account, kind, name, action := word.Draw(t, "account"), word.Draw(t, "kind"), word.Draw(t, "name"), word.Draw(t, "action")
		if !Allowed(account, kind, name, action) {
			return
		}
		if action != "pull" || kind != "repository" || account != Puller && (account != Nobody || name != "library/debian") {
			t.Fatalf("%q may %s %s %s", account, action, kind, name)
		}
	})
}

func TestEnsure(t *testing.T) {
	f := files(t)
	if err := f.Ensure(host); err != nil {
		t.Fatal(err)
	}
	account, first, err := Read(f.Push, host)
	if err != nil || account != Pusher || len(first) < 40 {
		t.Fatalf("%q, %d characters, %v", account, len(first), err)
	}
	for _, file := range []string{f.Hashes, f.Push, f.Pull} {
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
		if data, _ := os.ReadFile(file); strings.Contains(string(data), first) {
			t.Errorf("%s has the password in plain", file)
		}
	}
	if err := f.Ensure(host); err != nil {
		t.Fatal(err)
	}
	if _, again, _ := Read(f.Push, host); again != first {
		t.Error("credentials that fit were replaced")
	}
	// What others could have read is worth nothing any more.
	for what, spoil := range map[string]func() error{
		"readable":   func() error { return os.Chmod(f.Pull, 0o644) },
		"missing":    func() error { return os.Remove(f.Push) },
		"hashes":     func() error { return os.WriteFile(f.Hashes, []byte("hubship:x\n"), 0o600) },
		"other host": func() error { return os.WriteFile(f.Push, []byte(`{"auths": {}}`), 0o600) },
	} {
		_, before, _ := Read(f.Pull, host)
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := f.Ensure(host); err != nil {
			t.Fatal(err)
		}
		if _, after, err := Read(f.Pull, host); err != nil || after == before || !f.fit(host) {
			t.Errorf("%s: not made anew (%v)", what, err)
		}
	}
}

func TestAuthorized(t *testing.T) {
	f := files(t)
	if err := f.Ensure(host); err != nil {
		t.Fatal(err)
	}
	c, err := New(f.Hashes)
	if err != nil {
		t.Fatal(err)
	}
	_, push, _ := Read(f.Push, host)
	_, pull, _ := Read(f.Pull, host)
	access := func(name, action string) auth.Access {
		return auth.Access{Resource: auth.Resource{Type: "repository", Name: name}, Action: action}
	}
	for what, try := range map[string]struct {
		account, password string
		wanted            []auth.Access
		ok                bool
	}{
		"ping":                       {"", "", nil, false},
		"ping with credentials":      {Puller, pull, nil, true},
		"the base image":             {"", "", []auth.Access{access(Public, "pull")}, true},
		"a hub's image":              {"", "", []auth.Access{access("a/b", "pull")}, false},
		"the kubelet":                {Puller, pull, []auth.Access{access("a/b", "pull")}, true},
		"the kubelet pushes":         {Puller, pull, []auth.Access{access("a/b", "pull"), access("a/b", "push")}, false},
		"the other's password":       {Pusher, pull, []auth.Access{access("a/b", "pull")}, false},
		"a wrong password":           {Pusher, push + "x", []auth.Access{access(Public, "pull")}, false},
		"an account that is not one": {"", "x", []auth.Access{access(Public, "pull")}, false},
		"hubship":                    {Pusher, push, []auth.Access{access("a/b", "pull"), access("a/b", "push")}, true},
		"mount from a hub's":         {"", "", []auth.Access{access(Public, "pull"), access("a/b", "pull")}, false},
	} {
		for range 2 { // the second time from memory
			r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
			if try.account != "" || try.password != "" {
				r.SetBasicAuth(try.account, try.password)
			}
			_, err := c.Authorized(r, try.wanted...)
			if (err == nil) != try.ok {
				t.Errorf("%s: %v", what, err)
			}
			if _, asks := err.(auth.Challenge); err != nil && !asks {
				t.Errorf("%s: %v is no challenge", what, err)
			}
			if err != nil && try.password != "" && strings.Contains(err.Error(), try.password) && len(try.password) > 4 {
				t.Errorf("%s: the error has the password", what)
			}
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	r.Header.Set("Authorization", "Bearer x")
	if _, err := c.Authorized(r, access(Public, "pull")); err == nil {
		t.Error("a token is taken")
	}
}
