package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/hubship/hubship/internal/plan"
)

// real asks registries over the network.
type real struct{}

func (real) Exists(ctx context.Context, reference string) (bool, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return false, err
	}
	_, err = remote.Head(ref, remote.WithContext(ctx))
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}

func (real) Layers(ctx context.Context, reference string) ([]Layer, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	var out []Layer
	for _, l := range m.Layers {
		out = append(out, Layer{l.Digest.String(), l.Size})
	}
	return out, nil
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

func TestImages(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer denied.Close()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	there, err := name.ParseReference(host(server.URL) + "/hub:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(there, img); err != nil {
		t.Fatal(err)
	}
	ours, theirs := host(server.URL), host(denied.URL)
	got := Images(context.Background(), []Ref{
		{Reference: ours + "/hub:1", Releases: []string{"a@prod"}},
		{Reference: ours + "/hub:2", Releases: []string{"b@prod"}, File: "values.yaml", Line: 3},
		{Reference: ours + "/hub:2", Releases: []string{"a@prod", "b@prod"}},
		{Reference: theirs + "/x:1", Releases: []string{"a@prod"}},
		{Reference: theirs + "/x:2", Releases: []string{"a@prod"}},
	}, real{})
	want := fmt.Sprintf("error values.yaml:3 %s/hub:2 does not exist at %s\nnotice :0 could not ask %s whether 2 images exist, including %s/x:1\n", ours, ours, theirs, theirs)
	if lines(got) != want {
		t.Errorf("got:\n%swant:\n%s", lines(got), want)
	}
	if len(got) == 2 && fmt.Sprint(got[0].Releases) != "[a@prod b@prod]" {
		t.Errorf("releases %v", got[0].Releases)
	}
}

func TestReferences(t *testing.T) {
	for written, want := range map[string]string{
		"quay.io/jupyterhub/k8s-hub:3.3.8":                             "",
		"debian:bookworm":                                              "",
		"debian@sha256:" + strings.Repeat("ab", 32):                    "",
		"localhost:5000/a/b:latest@sha256:" + strings.Repeat("ab", 32): "",
		"debian":              "warning :0 debian has a moving tag: the image can change without a change here\n",
		"ghcr.io/x/y:latest":  "warning :0 ghcr.io/x/y:latest has a moving tag: the image can change without a change here\n",
		"Quay.io/Hub:1":       "error :0 \"Quay.io/Hub:1\" is not an image reference\n",
		"hub:":                "error :0 \"hub:\" is not an image reference\n",
		"":                    "error :0 \"\" is not an image reference\n",
		"https://quay.io/x:1": "error :0 \"https://quay.io/x:1\" is not an image reference\n",
		"x:{{ .Values.tag }}": "error :0 \"x:{{ .Values.tag }}\" is not an image reference\n",
		"x@sha256:1234":       "error :0 \"x@sha256:1234\" is not an image reference\n",
	} {
		if got := lines(Images(context.Background(), []Ref{{Reference: written}}, nil)); got != want {
			t.Errorf("%s: got %q, want %q", written, got, want)
		}
	}
}

// A registry that takes the question and never answers, and one that does not
// even heed the context.
type silent struct{ deaf bool }

func (s silent) Exists(ctx context.Context, _ string) (bool, error) {
	if s.deaf {
		select {}
	}
	<-ctx.Done()
	return false, ctx.Err()
}

func TestImagesAreBoundedInTime(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		var refs []Ref
		for i := range 40 {
			refs = append(refs, Ref{Reference: fmt.Sprintf("r%d.example.org/x:1", i)})
		}
		start := time.Now()
		got := images(context.Background(), refs, silent{deaf}, 300*time.Millisecond)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("took %s", took)
		}
		if len(got) != 40 || got[0].Severity != plan.Notice {
			t.Errorf("%d problems: %s", len(got), lines(got[:1]))
		}
	}
}

func TestMissing(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	push := func(tag string, img any) string {
		t.Helper()
		ref, err := name.ParseReference(host(server.URL) + "/user:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Push(ref, img.(remote.Taggable)); err != nil {
			t.Fatal(err)
		}
		return ref.String()
	}
	base, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := random.Layer(5000, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	more, err := mutate.AppendLayers(base, layer, layer)
	if err != nil {
		t.Fatal(err)
	}
	before, after := push("1", base), push("2", more)
	size, err := layer.Size()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	all := size
	for _, l := range mustLayers(t, before) {
		all += l.Size
	}
	for what, test := range map[string]struct {
		before string
		have   map[string]bool
		want   int64
	}{
		"from the old one":     {before, nil, size},
		"from nothing":         {"", nil, all},
		"an old one that went": {host(server.URL) + "/user:0", nil, all},
		"on the nodes":         {before, map[string]bool{digest.String(): true}, 0},
	} {
		got, err := Missing(context.Background(), test.before, after, test.have, real{})
		if err != nil || got != test.want {
			t.Errorf("%s: %d, %v, want %d", what, got, err, test.want)
		}
	}
	if _, err := Missing(context.Background(), "", host(server.URL)+"/user:9", nil, real{}); err == nil {
		t.Error("no error for an image that is not there")
	}
}

func mustLayers(t *testing.T, reference string) []Layer {
	t.Helper()
	layers, err := real{}.Layers(context.Background(), reference)
	if err != nil {
		t.Fatal(err)
	}
	return layers
}
