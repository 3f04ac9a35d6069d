package release

import (
	"testing"

	"github.com/hubship/hubship/internal/model"
)

func TestUnapproved(t *testing.T) {
	const image = "127.0.0.1:17420/" + model.UnapprovedRepository + "/user"
	for at, values := range map[string]map[string]any{
		"":              {"hub": map[string]any{"image": "127.0.0.1:17420/user:h-1", "n": 1, "on": true, "none": nil}},
		"image.name":    {"image": map[string]any{"name": image, "tag": "h-1"}},
		"list[1].image": {"list": []any{"x", map[string]any{"image": "docker.io/" + model.UnapprovedRepository + "/user"}}},
		"code":          {"code": "c.KubeSpawner.image = '" + image + "'"},
		"a." + image:    {"a": map[string]any{image: true}},
	} {
		if got := Unapproved(values); got != at {
			t.Errorf("found at %q, want %q", got, at)
		}
	}
}
