package helm

import (
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/starter"
)

// Every container of the try-out's hub runs an image by its digest, users'
// servers included, and nothing of it is made elsewhere.
func TestTheStarterRunsDigests(t *testing.T) {
	digest := func(n string) string { return "sha256:" + strings.Repeat(n, 64) }
	u := model.Upgrade{
		Tree: starter.Files(),
		Desired: model.Desired{
			Target: model.Target{Hub: "datahub", Environment: "staging", Namespace: "datahub-staging", Release: "datahub-staging"},
			Chart:  "hub", Values: []string{"deployments/datahub/config/common.yaml", "deployments/datahub/config/staging.yaml"},
			Images: []model.Source{
				{Image: model.Image{ID: "hub", Name: "hub", Values: "jupyterhub.hub.image"}},
				{Image: model.Image{ID: "proxy", Name: "proxy", Values: "jupyterhub.proxy.chp.image"}},
				{Image: model.Image{ID: "user", Name: "user", Values: "jupyterhub.singleuser.image"}},
			},
		},
		Images: []model.Built{
			{ID: "hub", Name: "127.0.0.1:17420/hub", Tag: "h-1", Digest: digest("1")},
			{ID: "proxy", Name: "127.0.0.1:17420/proxy", Tag: "h-2", Digest: digest("2")},
			{ID: "user", Name: "127.0.0.1:17420/datahub/user", Tag: "h-3", Digest: digest("3")},
		},
	}
	r := newReleases(t, nil)
	values, _, err := r.values(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	values = release.Merge(values, map[string]any{"jupyterhub": map[string]any{"hub": map[string]any{"config": map[string]any{"DummyAuthenticator": map[string]any{"password": "a-long-password-of-the-test"}}}}})
	out, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: u.Tree, Chart: "hub", Release: "datahub-staging", Namespace: "datahub-staging", Values: values})
	if err != nil {
		t.Fatal(err)
	}
	runs := release.Runs(out.Objects)
	if len(runs) < 2 {
		t.Fatalf("only %v", runs)
	}
	for ref := range runs {
		if !release.Pinned(ref) {
			t.Errorf("a container runs %s", ref)
		}
	}
	for _, b := range u.Images[:2] {
		if !runs[b.Ref()+"@"+b.Digest] {
			t.Errorf("nothing runs %s: %v", b.ID, runs)
		}
	}
	found, err := r.foreign(t.Context(), u, values, false)
	if err != nil || len(found.Images) != 0 || len(found.Charts) != 0 {
		t.Errorf("made elsewhere: %+v, %v", found, err)
	}
}
