package settings

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

func valid() Settings {
	return Settings{
		Repositories: "/data/git", Database: "/data/forge.db", Socket: "/data/run/forge.sock", AdminSocket: "/data/run/admin.sock",
		URL: "http://localhost:8080", PublicURL: "https://hubship.example.edu", Runs: "https://hubship.example.edu/runs/",
		Repository: Repository{Owner: "hubs", Name: "deployment"}, Own: Own{Login: "hubship", Token: "/data/token"},
		Admin:    &Admin{Login: "admin", Password: "/data/password", NotPassword: "/data/shared"},
		GitToken: "/data/git-token",
		Webhook:  &Webhook{URL: "http://127.0.0.1:8080/hooks/github", Secret: "/data/hook", Events: []string{"push"}},
		OAuth:    &OAuth{ClientID: "hubship", Secret: "/data/oauth", Redirect: "https://hubship.example.edu/signin/callback", Days: 7},
		Outbound: Outbound{Allow: []string{"10.1.0.0/16"}, Refuse: []Range{{netip.MustParsePrefix("10.201.0.0/24"), "pods"}}},
	}
}

func TestWriteAndRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "forge.json")
	if err := valid().Write(file); err != nil {
		t.Fatal(err)
	}
	got, digest, err := Read(file)
	if err != nil || !reflect.DeepEqual(got, valid()) || len(digest) != 64 {
		t.Fatalf("read %+v, %q, %v", got, digest, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	changed := valid()
	changed.URL = "http://localhost:9090"
	if err := changed.Write(file); err != nil {
		t.Fatal(err)
	}
	if _, again, err := Read(file); err != nil || again == digest {
		t.Errorf("other settings have the same digest, %v", err)
	}
	p, err := got.Outbound.Policy()
	if err != nil || len(p.Allow) != 1 || len(p.Own) != 1 || p.Own[0].What != "pods" {
		t.Errorf("policy %+v, %v", p, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{"other fields": `{"colour":"red"}`, "no JSON": `{`, "nothing": `{}`} {
		file := filepath.Join(t.TempDir(), "forge.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(file); err == nil || !strings.Contains(err.Error(), file) || model.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Settings){
		"repositories \"git\": expected an absolute path": func(s *Settings) { s.Repositories = "git" },
		"database": func(s *Settings) { s.Database = "" },
		"socket /data/" + strings.Repeat("x", 90): func(s *Settings) { s.Socket = "/data/" + strings.Repeat("x", 90) },
		"socket and adminSocket are the same":     func(s *Settings) { s.AdminSocket = s.Socket },
		"url \"http://localhost:8080/\"":          func(s *Settings) { s.URL += "/" },
		"publicURL \"hubship.example.edu\"":       func(s *Settings) { s.PublicURL = "hubship.example.edu" },
		"repository.name \"../x\"":                func(s *Settings) { s.Repository.Name = "../x" },
		"own.login":                               func(s *Settings) { s.Own.Login = "hubs" },
		"admin.login":                             func(s *Settings) { s.Admin.Login = "hubship" },
		"admin.notPassword":                       func(s *Settings) { s.Admin.NotPassword = "shared" },
		"webhook.url":                             func(s *Settings) { s.Webhook.URL = "/hooks" },
		"webhook.events":                          func(s *Settings) { s.Webhook.Events = nil },
		"oauth.redirect":                          func(s *Settings) { s.OAuth.Redirect = "/callback" },
		"oauth: expected":                         func(s *Settings) { s.OAuth.Days = 0 },
		"outbound.allow":                          func(s *Settings) { s.Outbound.Allow = []string{"0.0.0.0/0"} },
		"outbound.refuse":                         func(s *Settings) { s.Outbound.Refuse = []Range{{}} },
	} {
		s := valid()
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
