package image

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hubship/hubship/internal/check"
)

func TestRemote(t *testing.T) {
	srv := httptest.NewServer(registry.New())
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	img, err := random.Image(1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/user/a:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for reference, want := range map[string]bool{host + "/user/a:1": true, host + "/user/a:2": false, host + "/none:1": false} {
		if ok, err := (Remote{}).Exists(ctx, reference); err != nil || ok != want {
			t.Errorf("%s: %v, %v", reference, ok, err)
		}
	}
	if _, err := (Remote{}).Exists(ctx, "127.0.0.1:1/x:1"); err == nil {
		t.Error("a registry that is not there answered")
	}
	layers, err := Remote{}.Layers(ctx, host+"/user/a:1")
	if err != nil || len(layers) != 3 || layers[0].Size == 0 {
		t.Fatalf("layers %+v, %v", layers, err)
	}
	have := map[string]bool{layers[0].Digest: true}
	n, err := check.Missing(ctx, "", host+"/user/a:1", have, Remote{})
	if err != nil || n != layers[1].Size+layers[2].Size {
		t.Errorf("%d bytes, %v", n, err)
	}
}
