package gate

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/model"
)

func TestNames(t *testing.T) {
	ran := model.Resolved{Images: []model.ResolvedImage{{Ref: "quay.io/x:1", Digest: "sha256:1"}, {Ref: "quay.io/none:1"}}}
	for name, tc := range map[string]struct {
		names *Names
		want  string // "" is allowed
	}{
		"nothing":       {&Names{}, ""},
		"what ran":      {&Names{Images: []string{"quay.io/x:1"}}, ""},
		"another tag":   {&Names{Images: []string{"quay.io/x:1", "quay.io/x:2"}}, "prod's own values name quay.io/x:2, which staging never ran"},
		"no digest":     {&Names{Images: []string{"quay.io/none:1"}}, "prod's own values name quay.io/none:1, which staging never ran"},
		"by its digest": {&Names{Images: []string{"quay.io/x:1@sha256:1"}}, "which staging never ran"},
		"not known":     {nil, "it is unknown which images the release names"},
		"not told":      {&Names{Unknown: "no such chart"}, "it is unknown which images the release names: no such chart"},
		"many":          {&Names{Images: []string{"a", "b", "c", "d", "e", "f", "g"}}, "a, b, c, d, e and 2 more, which staging never ran"},
	} {
		for _, force := range []bool{false, true} {
			req := request(proof())
			req.After.Evidence.Resolved, req.Names, req.Force = ran, tc.names, force
			v := Enter(req)
			if v.Allowed != (tc.want == "") || !strings.Contains(strings.Join(v.Reasons, "; "), tc.want) || v.Proof != nil && tc.want != "" {
				t.Errorf("%s, force %v: %+v, want %q", name, force, v, tc.want)
			}
		}
	}
}

// Whatever a release names and whatever was proven: it enters only if every one
// of its names was, and what is proven beside that does no harm.
func TestNoNameEntersUnproven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ref := rapid.SampledFrom([]string{"a:1", "a:2", "b:1", "b:1@sha256:x", ""})
		digest := rapid.SampledFrom([]string{"", "sha256:1", "sha256:2"})
		req := request(proof())
		proven := map[string]bool{}
		for range rapid.IntRange(0, 4).Draw(t, "proven") {
			i := model.ResolvedImage{Ref: ref.Draw(t, "ref"), Digest: digest.Draw(t, "digest")}
			req.After.Evidence.Resolved.Images = append(req.After.Evidence.Resolved.Images, i)
			proven[i.Ref] = proven[i.Ref] || i.Digest != ""
		}
		req.Names = &Names{Images: rapid.SliceOfN(ref, 0, 4).Draw(t, "named"), Unknown: rapid.SampledFrom([]string{"", "x"}).Draw(t, "unknown")}
		req.Force = rapid.Bool().Draw(t, "force")
		if rapid.Bool().Draw(t, "untold") {
			req.Names = nil
		}
		want := req.Names != nil && req.Names.Unknown == ""
		if want {
			for _, n := range req.Names.Images {
				want = want && proven[n]
			}
		}
		if v := Enter(req); v.Allowed != want || !want && (v.Proof != nil || len(v.Reasons) == 0) {
			t.Fatalf("%s: %+v", fmt.Sprint(req.Names), v)
		}
	})
}
