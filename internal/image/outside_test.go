package image

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/outbound"
)

// letting is a guard that lets these addresses of this machine be reached.
func letting(t *testing.T, allowed ...string) *outbound.Guard {
	t.Helper()
	policy, err := outbound.ParsePolicy(allowed)
	if err != nil {
		t.Fatal(err)
	}
	return outbound.New(outbound.Options{Policy: policy, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
}

// A registry that a change names is not asked when it is on this machine, be it
// by its address, by a name, by a redirect or by the realm of its tokens.
func TestAChangeReachesNothingInside(t *testing.T) {
	t.Parallel()
	inside, ours := serve(t, nil), serve(t, nil)
	push(t, inside.addr+"/team/secret:1", "")
	port := inside.addr[strings.LastIndexByte(inside.addr, ':'):]
	var reached atomic.Int32
	inside.server.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) })

	// A registry that may be reached, and leads inside.
	leads := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/moved/") {
				http.Redirect(w, r, "http://localhost"+port+r.URL.Path, http.StatusTemporaryRedirect)
			}
		})
	})
	asks := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://localhost%s/token",service="x",scope="repository:guarded/x:pull"`, port))
			w.WriteHeader(http.StatusUnauthorized)
		})
	})
	r := open(t, RegistryOptions{Address: ours.addr, Patience: -1, Outside: letting(t, leads.addr, asks.addr)})
	for _, ref := range []string{
		inside.addr + "/team/secret:1", "localhost" + port + "/team/secret:1", inside.addr + "/team/secret@sha256:" + strings.Repeat("a", 64),
		leads.addr + "/moved/x:1", asks.addr + "/guarded/x:1",
	} {
		_, err := r.Base(t.Context(), ref)
		if err == nil || !strings.Contains(err.Error(), "hubship fetches what a change names only from the Internet") || !strings.Contains(model.HintOf(err), "--allow-outbound") {
			t.Errorf("%s: %v, hint %q", ref, err, model.HintOf(err))
		}
	}
	if reached.Load() != 0 {
		t.Errorf("what is inside was asked %d times", reached.Load())
	}
}

// The installation's registry may have a part of a host: what else is there is
// a change's to name, and asked like any other.
func TestOnlyTheInstallationsOwnRepositoriesAreReachedUnguarded(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	push(t, s.addr+"/campus/hubs/base:1", "")
	push(t, s.addr+"/campus/hubs-secret/base:1", "")
	r := open(t, RegistryOptions{Address: s.addr + "/campus/hubs", Mirrors: []string{}, Patience: -1})
	if _, err := r.Base(t.Context(), s.addr+"/campus/hubs/base:1"); err != nil {
		t.Errorf("the installation's own: %v", err)
	}
	if _, err := r.Base(t.Context(), s.addr+"/campus/hubs-secret/base:1"); err == nil {
		t.Error("what is beside the installation's own was reached")
	}
}

// Credentials of the installation's registry go there and nowhere else.
func TestCredentialsGoToTheirRegistryAlone(t *testing.T) {
	t.Parallel()
	var leaked atomic.Value
	leaked.Store("")
	other := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a := r.Header.Get("Authorization"); a != "" {
				leaked.Store(a)
			}
			h.ServeHTTP(w, r)
		})
	})
	var got atomic.Value
	got.Store("")
	ours := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			got.Store(r.Header.Get("Authorization"))
			if strings.Contains(r.URL.Path, "/moved/") {
				http.Redirect(w, r, "http://"+other.addr+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	r := open(t, RegistryOptions{Address: ours.addr, Mirrors: []string{}, Patience: -1, Keychain: only{ours.addr}, Outside: letting(t, other.addr)})
	for _, ref := range []string{ours.addr + "/moved/x:1", other.addr + "/x:1"} {
		_, _ = r.Base(t.Context(), ref)
	}
	if got.Load() == "" || leaked.Load() != "" {
		t.Errorf("the installation's registry got %q, another %q", got.Load(), leaked.Load())
	}
}

// only has credentials for one registry.
type only struct{ host string }

func (o only) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if r.RegistryStr() == o.host {
		return authn.FromConfig(authn.AuthConfig{Username: "hubship", Password: "hush"}), nil
	}
	return authn.Anonymous, nil
}

func TestTransportOfARepository(t *testing.T) {
	t.Parallel()
	r := open(t, RegistryOptions{Address: "127.0.0.1:17420"})
	for ref, ours := range map[string]bool{"127.0.0.1:17420/a": true, "127.0.0.1:17421/a": false, "quay.io/a": false, "debian": false, "localhost:17420/a": false} {
		repository, err := name.NewRepository(ref)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Transport(repository) == r.inside; got != ours {
			t.Errorf("%s: the unguarded transport %v", ref, got)
		}
	}
}
