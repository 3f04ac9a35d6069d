package verify_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify"
)

// TestLiveHub verifies a hub that runs already, such as one on a cluster:
// HUBSHIP_TEST_HUB_URL is its address, HUBSHIP_TEST_HUB_TOKEN a file with the
// token of a service that may use the user hubship-verify, and
// HUBSHIP_TEST_HUB_IMPORT what to import, separated by commas.
func TestLiveHub(t *testing.T) {
	address := os.Getenv("HUBSHIP_TEST_HUB_URL")
	if address == "" {
		t.Skip("skipped: HUBSHIP_TEST_HUB_URL names no hub")
	}
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(os.Getenv("HUBSHIP_TEST_HUB_TOKEN"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(verify.Options{
		Transport: func(model.Cluster, model.Target) (http.RoundTripper, error) { return http.DefaultTransport, nil },
		BaseURL:   func(model.Cluster, model.Target) (*url.URL, error) { return base, nil },
		Token: func(context.Context, model.Cluster, model.Target, string) (string, error) {
			return strings.TrimSpace(string(token)), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	req := model.VerifyRequest{Target: model.Target{Hub: "live", Environment: "test", Host: base.Host}}
	for _, name := range strings.FieldsFunc(os.Getenv("HUBSHIP_TEST_HUB_IMPORT"), func(r rune) bool { return r == ',' }) {
		req.Packages = append(req.Packages, model.Package{Name: name})
	}
	out, err := v.Verify(t.Context(), model.Cluster{}, req)
	var known time.Duration
	for _, c := range out.Checks {
		t.Logf("%-20s passed=%-5v skipped=%-5v %7.3f s  %s", c.Name, c.Passed, c.Skipped, c.Duration.Seconds(), c.Detail)
		if c.Log != "" {
			t.Log(c.Log)
		}
		if c.Name == verify.ServerStarts || c.Name == verify.KernelStarts || c.Name == verify.ServerStopped || strings.HasPrefix(c.Name, "import ") {
			known += c.Duration
		}
	}
	total := out.Finished.Sub(out.Started)
	t.Logf("%s in all, %s beside starting and stopping the server, starting the kernel and importing", total, total-known)
	if err != nil || !out.Passed {
		t.Errorf("passed=%v reason=%q error=%v", out.Passed, out.Reason, err)
	}
}
