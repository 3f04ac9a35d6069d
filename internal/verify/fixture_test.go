package verify_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

// run is one verification of the test hub.
type run struct {
	user      string
	service   string // default: user
	token     *string
	base      *url.URL
	packages  []string // "name" or "name spec"
	deadlines verify.Deadlines
	removing  func(user string) ([]string, error)
	onCheck   func(model.Check)
}

func (h *hub) verify(t *testing.T, ctx context.Context, r run) (model.Verification, error) {
	t.Helper()
	if r.service == "" {
		r.service = "tests-" + r.user
	}
	if r.base == nil {
		r.base = h.base
	}
	var tokens []string
	for _, s := range h.services {
		tokens = append(tokens, s.Token)
	}
	var mu sync.Mutex
	var said []string
	v, err := verify.New(verify.Options{
		Transport: func(model.Cluster, model.Target) (http.RoundTripper, error) {
			return discreet{http.DefaultTransport, tokens}, nil
		},
		Token: func(_ context.Context, _ model.Cluster, _ model.Target, service string) (string, error) {
			if r.token != nil {
				return verify.TokenFrom(map[string][]byte{verify.SecretKey(service): []byte(*r.token)}, service)
			}
			return verify.TokenFrom(map[string][]byte{verify.SecretKey(service): []byte(h.services[strings.TrimPrefix(service, "tests-")].Token)}, service)
		},
		BaseURL: func(model.Cluster, model.Target) (*url.URL, error) { return r.base, nil },
		Progress: func(_ model.Target, _, text string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, text)
		},
		Removing: func(_ context.Context, _ model.Cluster, _ model.Target, user string) ([]string, error) {
			if r.removing == nil {
				return nil, nil
			}
			return r.removing(user)
		},
		Deadlines: r.deadlines,
	})
	if err != nil {
		t.Fatal(err)
	}
	var told []model.Check
	req := model.VerifyRequest{
		Target: h.target(), Settings: model.VerifySettings{Service: r.service, User: r.user}, Run: "run-1",
		Check: func(c model.Check) {
			told = append(told, c)
			if r.onCheck != nil {
				r.onCheck(c)
			}
		},
	}
	for _, p := range r.packages {
		name, spec, _ := strings.Cut(p, " ")
		req.Packages = append(req.Packages, model.Package{Name: name, Spec: spec})
	}
	out, err := v.Verify(ctx, model.Cluster{Name: "local"}, req)
	if len(told) != len(out.Checks) {
		t.Errorf("%d checks were reported as they ended, %d are in the result", len(told), len(out.Checks))
	}
	everything, _ := json.Marshal([]any{out, said})
	text := string(everything)
	if err != nil {
		text += err.Error()
	}
	for _, token := range tokens {
		if strings.Contains(text, token) {
			t.Error("a token is part of what was reported")
		}
	}
	for _, c := range out.Checks {
		t.Logf("%-28s passed=%-5v skipped=%-5v %8.3f s  %s", c.Name, c.Passed, c.Skipped, c.Duration.Seconds(), c.Detail)
	}
	return out, err
}

// gone checks that the hub does not know the user.
func (h *hub) gone(t *testing.T, user string) {
	t.Helper()
	_, err := h.admin.User(context.Background(), user)
	if jupyter.StatusOf(err) != http.StatusNotFound {
		t.Errorf("user %s is still there (%v)", user, err)
	}
}

func check(t *testing.T, v model.Verification, name string) model.Check {
	t.Helper()
	for _, c := range v.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %q", name)
	return model.Check{}
}

// failed checks that the verification failed at the check with a reason that
// holds all the texts, and returns the check.
func failed(t *testing.T, v model.Verification, name string, texts ...string) model.Check {
	t.Helper()
	c := check(t, v, name)
	if v.Passed || c.Passed || c.Skipped {
		t.Errorf("%s: verification passed=%v, check passed=%v skipped=%v; want a failure", name, v.Passed, c.Passed, c.Skipped)
	}
	if !strings.HasPrefix(v.Reason, name+": ") {
		t.Errorf("reason %q does not name %q", v.Reason, name)
	}
	for _, text := range texts {
		if !strings.Contains(c.Detail, text) {
			t.Errorf("%s: detail %q does not say %q", name, c.Detail, text)
		}
	}
	return c
}
