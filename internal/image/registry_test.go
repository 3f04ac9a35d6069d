package image

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hubship/hubship/internal/model"
)

// served is a real registry in this process, with a count of the requests for
// manifests.
type served struct {
	addr      string
	manifests atomic.Int64
	server    *httptest.Server
}

func serve(t *testing.T, wrap func(http.Handler) http.Handler) *served {
	t.Helper()
	s := &served{}
	var h http.Handler = registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			s.manifests.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.server.Close)
	s.addr = strings.TrimPrefix(s.server.URL, "http://")
	return s
}

func push(t *testing.T, ref, key string) v1.Image {
	t.Helper()
	img, err := random.Image(2000, 2)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		img = mutate.Annotations(img, map[string]string{LabelKey: key}).(v1.Image)
	}
	tag, err := name.NewTag(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatalf("push %s: %v", ref, err)
	}
	return img
}

func digestOf(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func open(t *testing.T, o RegistryOptions) *Registry {
	t.Helper()
	if o.Keychain == nil {
		o.Keychain = authn.NewMultiKeychain()
	}
	r, err := NewRegistry(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestManifest(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	r := open(t, RegistryOptions{Address: s.addr + "/campus", Patience: -1})
	img := push(t, s.addr+"/campus/datahub/user:h-1", "k1")

	m, ok, err := r.Manifest(t.Context(), "datahub/user", "h-1")
	if err != nil || !ok {
		t.Fatalf("Manifest = %v, %v", ok, err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	want := Manifest{Digest: digestOf(t, img), Size: sizeOf(manifest), Key: "k1"}
	if m != want {
		t.Errorf("Manifest = %+v, want %+v", m, want)
	}
	if m.Size < 4000 {
		t.Errorf("size %d is less than what the layers hold", m.Size)
	}
	digest, ok, err := r.Digest(t.Context(), "datahub/user", "h-1")
	if err != nil || !ok || digest != want.Digest {
		t.Errorf("Digest = %s, %v, %v", digest, ok, err)
	}
	for _, absent := range []string{"datahub/user:h-2", "datahub/nobody:h-1"} {
		repository, tag, _ := strings.Cut(absent, ":")
		if _, ok, err := r.Manifest(t.Context(), repository, tag); ok || err != nil {
			t.Errorf("Manifest of %s = %v, %v; want absent", absent, ok, err)
		}
		if _, ok, err := r.Digest(t.Context(), repository, tag); ok || err != nil {
			t.Errorf("Digest of %s = %v, %v; want absent", absent, ok, err)
		}
	}
}

func TestBaseAsksTheMirrorFirst(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	img := push(t, s.addr+"/library/debian:bookworm-slim", "")
	r := open(t, RegistryOptions{Address: s.addr, Patience: -1})
	before := s.manifests.Load()

	want := Base{Ref: "docker.io/library/debian:bookworm-slim", Digest: digestOf(t, img)}
	for _, written := range []string{"debian:bookworm-slim", "docker.io/debian:bookworm-slim", "docker.io/library/debian:bookworm-slim"} {
		got, err := r.Base(t.Context(), written)
		if err != nil || got != want {
			t.Errorf("Base(%s) = %v, %v; want %v", written, got, err, want)
		}
	}
	if n := s.manifests.Load() - before; n != 1 {
		t.Errorf("%d requests for manifests, want one, and its answer remembered", n)
	}
}

func TestBaseExpires(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	ref := s.addr + "/library/debian:bookworm-slim"
	first := push(t, ref, "")
	r := open(t, RegistryOptions{Address: s.addr, Patience: -1, BaseTTL: time.Minute})
	now := time.Now()
	r.now = func() time.Time { return now }

	check := func(when string, img v1.Image) {
		t.Helper()
		got, err := r.Base(t.Context(), "debian:bookworm-slim")
		if err != nil || got.Digest != digestOf(t, img) {
			t.Errorf("%s: Base = %v, %v; want digest %s", when, got, err, digestOf(t, img))
		}
	}
	check("at first", first)
	second := push(t, ref, "")
	now = now.Add(59 * time.Second)
	check("while remembered", first)
	now = now.Add(2 * time.Second)
	check("after its time", second)
	third := push(t, ref, "")
	r.ForgetBases()
	check("after ForgetBases", third)
}

func TestBaseElsewhere(t *testing.T) {
	t.Parallel()
	home, ours := serve(t, nil), serve(t, nil)
	img := push(t, home.addr+"/team/base:1", "")
	r := open(t, RegistryOptions{Address: ours.addr, Patience: -1, Outside: letting(t, home.addr)})

	got, err := r.Base(t.Context(), home.addr+"/team/base:1")
	if want := (Base{Ref: home.addr + "/team/base:1", Digest: digestOf(t, img)}); err != nil || got != want {
		t.Errorf("Base = %v, %v; want %v", got, err, want)
	}
	if n := ours.manifests.Load(); n != 0 {
		t.Errorf("the mirror of docker.io was asked %d times for an image of another registry", n)
	}

	before := home.manifests.Load()
	digest := "sha256:" + strings.Repeat("ab", 32)
	got, err = r.Base(t.Context(), home.addr+"/team/base:1@"+digest)
	if err != nil || got.Digest != digest {
		t.Errorf("Base of a pinned image = %v, %v", got, err)
	}
	if home.manifests.Load() != before {
		t.Error("a pinned base image was looked up")
	}
}

func TestBaseNowhere(t *testing.T) {
	t.Parallel()
	ours, home := serve(t, nil), serve(t, nil)
	r := open(t, RegistryOptions{Address: ours.addr, Patience: -1, Outside: letting(t, home.addr)})
	_, err := r.Base(t.Context(), home.addr+"/team/none:1")
	if err == nil || !strings.Contains(err.Error(), "team/none:1") || !strings.Contains(model.HintOf(err), home.addr) {
		t.Errorf("error %v, hint %q: want the image, and where it was looked for", err, model.HintOf(err))
	}
	if _, err := r.Base(t.Context(), "Not A Ref"); err == nil || model.HintOf(err) == "" {
		t.Errorf("a malformed reference: %v, hint %q", err, model.HintOf(err))
	}
}

// refusing returns the address of a port that nothing listens on.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestRegistryDown(t *testing.T) {
	t.Parallel()
	addr := refusing(t)
	r := open(t, RegistryOptions{Address: addr, Patience: -1})
	_, _, err := r.Manifest(t.Context(), "datahub/user", "h-1")
	if err == nil || !strings.Contains(err.Error(), addr+"/datahub/user:h-1") || !strings.Contains(model.HintOf(err), addr) {
		t.Errorf("error %v, hint %q", err, model.HintOf(err))
	}
}

func TestRegistryRestartIsRiddenOut(t *testing.T) {
	t.Parallel()
	var down atomic.Int64
	down.Store(3)
	s := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead || down.Add(-1) < 0 {
				h.ServeHTTP(w, r)
				return
			}
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = c.Close()
			}
		})
	})
	r := open(t, RegistryOptions{Address: s.addr, Patience: 20 * time.Second})
	if _, ok, err := r.Manifest(t.Context(), "datahub/user", "h-1"); ok || err != nil {
		t.Errorf("Manifest = %v, %v; want absent once it answers", ok, err)
	}
}

func TestPatienceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	r := open(t, RegistryOptions{Address: refusing(t), Patience: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, _, err := r.Manifest(ctx, "a", "b"); err == nil {
		t.Error("no error from a registry that is down")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s after its context had ended", took)
	}
}

// keyring has one password.
type keyring struct{ authn.Authenticator }

func (k keyring) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

func TestCredentialsStayOutOfErrors(t *testing.T) {
	t.Parallel()
	const password = "correct-horse"
	var asked atomic.Bool
	s := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, p, ok := r.BasicAuth(); ok && p == password {
				asked.Store(true)
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="campus"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		})
	})
	r := open(t, RegistryOptions{Address: s.addr, Patience: -1,
		Keychain: keyring{&authn.Basic{Username: "ci", Password: password}}})
	_, _, err := r.Manifest(t.Context(), "datahub/user", "h-1")
	if err == nil || !strings.Contains(model.HintOf(err), "log in to "+s.addr) {
		t.Fatalf("error %v, hint %q: want one that says to log in", err, model.HintOf(err))
	}
	if !asked.Load() {
		t.Error("the password was not used")
	}
	if all := fmt.Sprintf("%v %+v %#v %s", err, err, err, model.HintOf(err)); strings.Contains(all, password) {
		t.Errorf("the error shows the password: %s", all)
	}
}

func TestRegistryOptions(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"127.0.0.1:17420": true, "ghcr.io/campus/hubs": true, "localhost:5000": true,
		"": false, "http://127.0.0.1:5000": false, "ghcr.io/Campus": false, "ghcr.io/a b": false,
	} {
		err := RegistryOptions{Address: address}.Validate()
		if (err == nil) != ok {
			t.Errorf("Validate of %q: %v", address, err)
		}
	}
	for address, insecure := range map[string]bool{
		"127.0.0.1:17420": true, "localhost:5000/x": true, "[::1]:5000": true, "registry.localhost:5000": true,
		"ghcr.io/campus": false, "10.0.0.1:5000": false, "localhost.example.org": false,
	} {
		if got := isLoopback(address); got != insecure {
			t.Errorf("isLoopback(%q) = %v", address, got)
		}
	}
}

func BenchmarkManifest(b *testing.B) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	r, err := NewRegistry(RegistryOptions{Address: strings.TrimPrefix(s.URL, "http://"), Keychain: authn.NewMultiKeychain()})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := r.Manifest(b.Context(), "datahub/user", "h-1"); err != nil {
			b.Fatal(err)
		}
	}
}
