package helm

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hubship/hubship/internal/model"
)

// An image of a change that was unmerged is named by no release, wherever in
// its values, its secrets or its pinned images it stands.
func TestValuesNameNoUnapprovedImage(t *testing.T) {
	const image = "127.0.0.1:17420/" + model.UnapprovedRepository + "/user"
	r := &Releases{opts: Options{Decrypt: func(context.Context, model.Desired, string, []byte) (map[string]any, error) {
		return map[string]any{"singleuser": map[string]any{"image": map[string]any{"name": image}}}, nil
	}}}
	tree := fstest.MapFS{
		"good.yaml":   {Data: []byte("singleuser: {image: {name: quay.io/jupyter/base-notebook, tag: '1'}}\n")},
		"bad.yaml":    {Data: []byte("singleuser: {profileList: [{kubespawner_override: {image: '" + image + ":h-1'}}]}\n")},
		"secret.yaml": {Data: []byte("sops: {}\n")},
	}
	for name, d := range map[string]model.Desired{
		"":       {Values: []string{"good.yaml"}},
		"values": {Values: []string{"good.yaml", "bad.yaml"}},
		"secret": {Values: []string{"good.yaml"}, Secrets: []string{"secret.yaml"}},
		"pinned": {Values: []string{"good.yaml"}, Pinned: []model.Pinned{{Name: image, Tag: "h-1", Values: "hub.image"}}},
	} {
		_, _, err := r.values(t.Context(), model.Upgrade{Desired: d, Tree: tree})
		if (err != nil) != (name != "") || (err != nil && !strings.Contains(err.Error(), "unmerged")) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
