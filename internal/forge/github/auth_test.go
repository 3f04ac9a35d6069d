package github

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

func writeKey(t *testing.T, kind string, der []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "app.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// claims checks a JSON Web Token as GitHub does.
func claims(t *testing.T, key *rsa.PublicKey, header string) map[string]any {
	t.Helper()
	text, ok := strings.CutPrefix(header, "Bearer ")
	parts := strings.Split(text, ".")
	if !ok || len(parts) != 3 {
		t.Fatalf("no token: %q", header)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// appServer is a server with an App installed, whose tokens are numbered.
func appServer(t *testing.T, key *rsa.PublicKey, valid *atomic.Int64) (*server, *atomic.Int64) {
	s := newServer(t)
	issued := &atomic.Int64{}
	s.on("GET /installation", func(w http.ResponseWriter, r *http.Request) {
		claims(t, key, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"id": 99}`)
	})
	s.mux.HandleFunc("POST /api/v3/app/installations/99/access_tokens", func(w http.ResponseWriter, r *http.Request) {
		c := claims(t, key, r.Header.Get("Authorization"))
		now := float64(time.Now().Unix())
		if c["iss"] != "Iv1.abc" || c["iat"].(float64) > now || c["exp"].(float64) > now+600 || c["exp"].(float64) < now+60 {
			t.Errorf("claims %v", c)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"token": "ghs_%d", "expires_at": %q}`, issued.Add(1), time.Now().Add(time.Duration(valid.Load())).UTC().Format(time.RFC3339))
	})
	s.mux.HandleFunc("GET /api/v3/app", func(w http.ResponseWriter, r *http.Request) {
		claims(t, key, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"slug": "hubship-datahub"}`)
	})
	return s, issued
}

func TestAppGetsTokens(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var valid atomic.Int64
	valid.Store(int64(time.Hour))
	s, issued := appServer(t, &key.PublicKey, &valid)
	var mu sync.Mutex
	accepted := "ghs_1"
	s.on("GET /pulls/7", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+accepted {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"message": "Bad credentials"}`)
			return
		}
		_, _ = io.WriteString(w, onePull)
	})
	c, err := New(Options{URL: s.URL + "/api/v3", Repository: hubs, App: &App{ID: "Iv1.abc", KeyFile: writeKey(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))}})
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = time.Millisecond
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := c.PullRequest(t.Context(), 7); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := issued.Load(); n != 1 {
		t.Errorf("%d tokens for eight requests", n)
	}
	for i, body := range s.bodies() {
		if strings.Contains(s.requests()[i].URL.Path, "access_tokens") && strings.TrimSpace(body) != `{"repositories":["hubs"]}` {
			t.Errorf("asked for a token for more than the repository: %s", body)
		}
	}
	mu.Lock()
	accepted = "ghs_2" // as if the first was revoked
	mu.Unlock()
	if _, err := c.PullRequest(t.Context(), 7); err != nil {
		t.Errorf("a token that was revoked was not replaced: %v", err)
	}
	mu.Lock()
	accepted = "none"
	mu.Unlock()
	before := len(s.requests())
	if _, err := c.PullRequest(t.Context(), 7); !errors.Is(err, forge.ErrForbidden) {
		t.Errorf("%v", err)
	}
	if n := len(s.requests()) - before; n > 3 {
		t.Errorf("%d requests with tokens that are not taken", n)
	}
	if login, err := c.Login(t.Context()); login != "hubship-datahub[bot]" || err != nil {
		t.Errorf("%q, %v", login, err)
	}
}

func TestAppRenewsTokensBeforeTheyEnd(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var valid atomic.Int64
	valid.Store(int64(freshness + 2*time.Minute))
	s, issued := appServer(t, &key.PublicKey, &valid)
	s.on("GET /pulls/7", answer(200, onePull))
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{URL: s.URL + "/api/v3", Repository: hubs, App: &App{ID: "Iv1.abc", KeyFile: writeKey(t, "PRIVATE KEY", raw)}})
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = time.Millisecond
	if _, err := c.PullRequest(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	app := c.auth.(*installation)
	app.mu.Lock()
	app.expires = app.expires.Add(-3 * time.Minute) // as if that time had passed
	app.mu.Unlock()
	valid.Store(int64(time.Hour))
	if _, err := c.PullRequest(t.Context(), 7); err != nil || issued.Load() != 2 {
		t.Errorf("%d tokens, %v", issued.Load(), err)
	}
	app.refused("ghs_2")
	valid.Store(int64(time.Minute)) // less than this machine believes to be fresh
	if _, err := c.PullRequest(t.Context(), 7); !errors.Is(err, forge.ErrUnavailable) || !strings.Contains(err.Error(), "clock") {
		t.Errorf("%v", err)
	}
}

func TestAppThatIsNotInstalled(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	s.on("GET /installation", answer(404, `{"message": "Not Found"}`))
	c, err := New(Options{URL: s.URL + "/api/v3", Repository: hubs, App: &App{ID: "1", KeyFile: writeKey(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PullRequest(t.Context(), 7)
	if !errors.Is(err, forge.ErrNotFound) || !strings.Contains(model.HintOf(err), "install the App") {
		t.Errorf("%v (%s)", err, model.HintOf(err))
	}
}

// A proxy for developers may send the request back in its answer.
func TestSecretsStayOutOfErrors(t *testing.T) {
	s := newServer(t)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": "cannot handle " + r.Header.Get("Authorization")})
	})
	c := s.client()
	_, one := c.PullRequest(t.Context(), 7)
	_, two := c.Comment(t.Context(), 7, "x")
	for _, err := range []error{one, two} {
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secretToken) || !strings.Contains(err.Error(), "[redacted]") {
			t.Errorf("%v", err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", forge.NewRemote("https://h/x", "u", secretToken), forge.NewRemote("https://h/x", "u", secretToken), forge.NewRemote("https://h/x", "u", secretToken)); strings.Contains(text, secretToken) || strings.Contains(text, "Basic") {
		t.Error(text)
	}
}

func TestRedirectsDoNotGetTheToken(t *testing.T) {
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, onePull)
	}))
	defer other.Close()
	s := newServer(t)
	s.on("GET /pulls/7", answer(307, "", "Location: "+other.URL+"/elsewhere"))
	if _, err := s.client().PullRequest(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0] != "" {
		t.Errorf("the other host got %q", got)
	}
}

func TestRemoteBelongsToTheForge(t *testing.T) {
	s := newServer(t)
	s.mux.HandleFunc("GET /api/v3/repos/ada/hubs", answer(200, `{"clone_url": "`+s.URL+`/git/ada/hubs.git"}`))
	r, err := s.client().Remote(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := s.URL + "/git/ada/hubs.git"; r.URL != want {
		t.Errorf("%s, expected %s", r.URL, want)
	}
	basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + secretToken))
	if env := strings.Join(r.Env(), "\n"); !strings.Contains(env, "=http."+r.URL+".extraHeader\n") || !strings.HasSuffix(env, "=Authorization: Basic "+basic) {
		t.Error("the environment does not let git in")
	}
	for _, bad := range []string{"https://elsewhere.example/ada/hubs.git", "http://user:password@127.0.0.1/x.git", "ssh://git@forge/x.git", ""} {
		s := newServer(t)
		s.mux.HandleFunc("GET /api/v3/repos/ada/hubs", answer(200, `{"clone_url": "`+bad+`"}`))
		if r, err := s.client().Remote(t.Context()); !errors.Is(err, forge.ErrInvalid) {
			t.Errorf("%s: %v, %v", bad, r, err)
		}
	}
	for api, clone := range map[string]string{"https://api.github.com/": "https://github.com/a/b.git", "https://api.octo.ghe.com/": "https://octo.ghe.com/a/b.git", "https://ghe.example/api/v3/": "https://ghe.example/a/b.git"} {
		c, err := New(Options{URL: api, Repository: hubs, Token: secretToken})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.cloneURL(clone); got != clone || err != nil {
			t.Errorf("%s: %q, %v", api, got, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Repository: hubs, Token: secretToken}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	notAKey := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(notAKey, []byte("-----BEGIN SECRET-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no repository":      func(o *Options) { o.Repository = forge.Repository{} },
		"path as repository": func(o *Options) { o.Repository.Name = ".." },
		"no credentials":     func(o *Options) { o.Token = "" },
		"both":               func(o *Options) { o.App = &App{ID: "1", KeyFile: notAKey} },
		"line's end":         func(o *Options) { o.Token += "\n" },
		"password in URL":    func(o *Options) { o.URL = "https://u:" + secretToken + "@h/" },
		"no URL":             func(o *Options) { o.URL = "github.com" },
		"unencrypted":        func(o *Options) { o.URL = "http://ghe.example/api/v3/" },
		"half an App":        func(o *Options) { o.Token, o.App = "", &App{ID: "1"} },
		"no key":             func(o *Options) { o.Token, o.App = "", &App{ID: "1", KeyFile: notAKey + ".missing"} },
		"not a key":          func(o *Options) { o.Token, o.App = "", &App{ID: "1", KeyFile: notAKey} },
		"patience":           func(o *Options) { o.Patience = -1 },
	} {
		opts := good
		change(&opts)
		if _, err := New(opts); err == nil || strings.Contains(err.Error(), secretToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForgeWithACertificateOfItsOwn(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	c, err := New(Options{URL: srv.URL + "/api/v3/", Repository: hubs, Token: secretToken})
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = time.Millisecond
	_, err = c.PullRequest(t.Context(), 7)
	if !errors.Is(err, forge.ErrUnavailable) || !strings.Contains(model.HintOf(err), "trust") {
		t.Errorf("%v (%s)", err, model.HintOf(err))
	}
}
