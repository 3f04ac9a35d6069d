package gate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

const (
	tested  = "aaaaaaaaaaaa1111" // commit that staging verified
	commit  = "bbbbbbbbbbbb2222" // commit that wants to enter
	current = "cccccccccccc3333" // commit that runs in prod
)

var prod = model.Target{Hub: "datahub", Environment: "prod", Cluster: "local", Namespace: "datahub-prod", Release: "datahub-prod"}

// request asks for datahub to enter prod; without after, as if nothing came
// before it.
func request(after *Proof) Request {
	return Request{
		Target: prod, After: after, Running: current, Names: &Names{},
		Desired: model.Desired{
			Target: prod, Commit: commit, Shared: "shared",
			Images: []model.Source{{Image: model.Image{ID: "datahub/user"}, Hash: "source"}},
		},
	}
}

// evidence is that datahub passed in staging with what the request wants.
func evidence() *model.Evidence {
	return &model.Evidence{
		Hub: "datahub", Environment: "staging", Commit: tested, Shared: "shared", Run: "run-1",
		Images:   []model.Built{{ID: "datahub/user", Source: "source", Digest: "sha256:1"}},
		Verified: model.Verification{Passed: true},
	}
}

func proof() *Proof { return &Proof{Environment: "staging", Evidence: evidence()} }

// TestEveryCombination enters with every combination of facts. The rule is
// written down here a second time, in another form.
func TestEveryCombination(t *testing.T) {
	bools := []bool{false, true}
	count := 0
	for _, hasAfter := range bools {
		for _, found := range bools {
			for _, latest := range bools {
				for _, halted := range bools {
					for _, older := range bools {
						for _, force := range bools {
							count++
							var p *Proof
							if hasAfter {
								p = &Proof{Environment: "staging"}
								if found {
									p.Evidence = evidence()
								}
								if latest {
									p.Latest = &model.Evidence{Commit: tested}
								}
								if halted {
									p.Halt = &model.Halt{Run: "run-2", Reason: "kernel died"}
								}
							}
							req := request(p)
							req.Older, req.Force = older, force
							v := Enter(req)
							want := (!hasAfter || found && !halted) && (!older || force)
							name := fmt.Sprintf("after %v evidence %v latest %v halt %v older %v force %v", hasAfter, found, latest, halted, older, force)
							if v.Allowed != want || v.Hub != "datahub" {
								t.Errorf("%s: %+v, want allowed %v", name, v, want)
							}
							if !v.Allowed && len(v.Reasons) == 0 {
								t.Errorf("%s: refused without a reason", name)
							}
							if (v.Proof != nil) != (v.Allowed && hasAfter) {
								t.Errorf("%s: proof %v", name, v.Proof)
							}
						}
					}
				}
			}
		}
	}
	if count != 64 {
		t.Errorf("%d combinations", count)
	}
}

// TestMisfits has evidence that proves something else. None can be forced.
func TestMisfits(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(r *Request)
		want   string
	}{
		"other hub":         {func(r *Request) { r.After.Evidence.Hub = "data8" }, `it is about hub "data8"`},
		"other environment": {func(r *Request) { r.After.Evidence.Environment = "prod" }, `it is about environment "prod"`},
		"other inputs":      {func(r *Request) { r.After.Evidence.Shared = "x" }, "it is about other inputs"},
		"did not pass":      {func(r *Request) { r.After.Evidence.Verified.Passed = false }, "that verification did not pass"},
		"no image":          {func(r *Request) { r.After.Evidence.Images = nil }, "it does not name image datahub/user"},
		"other image":       {func(r *Request) { r.After.Evidence.Images[0].ID = "hub" }, "it does not name image datahub/user"},
		"other source":      {func(r *Request) { r.After.Evidence.Images[0].Source = "x" }, "it does not name image datahub/user"},
		"no digest":         {func(r *Request) { r.After.Evidence.Images[0].Digest = "" }, "it does not name image datahub/user"},
		"inputs unknown":    {func(r *Request) { r.Desired.Shared, r.After.Evidence.Shared = "", "" }, "the desired state of datahub is unknown"},
		"commit unknown":    {func(r *Request) { r.Desired.Commit = "" }, "the desired state of datahub is unknown"},
		"hub unknown":       {func(r *Request) { r.Target.Hub, r.Desired.Target.Hub = "", "" }, "the hub and environment are unknown"},
		"another release":   {func(r *Request) { r.Desired.Target.Hub = "data8" }, "the desired state is for another release"},
		"before unknown":    {func(r *Request) { r.After.Environment, r.After.Evidence.Environment = "", "" }, "the environment before prod is unknown"},
		"before itself":     {func(r *Request) { r.After.Environment, r.After.Evidence.Environment = "prod", "prod" }, "the environment before prod is unknown"},
		"nothing at all":    {func(r *Request) { *r = Request{} }, "unknown"},
	} {
		for _, force := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s force %v", name, force), func(t *testing.T) {
				r := request(proof())
				tc.change(&r)
				r.Force = force
				v := Enter(r)
				if v.Allowed || v.Proof != nil || !strings.Contains(strings.Join(v.Reasons, "; "), tc.want) {
					t.Errorf("%+v, want refused because %s", v, tc.want)
				}
			})
		}
	}
}

// TestWords holds what people read.
func TestWords(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(r *Request)
		want   string
	}{
		"passed": {func(*Request) {}, "staging verified these inputs at aaaaaaaaaaaa in run run-1"},
		"nothing verified": {func(r *Request) { r.After.Evidence = nil },
			"no evidence that datahub passed in staging: it was never verified there"},
		"something else verified": {func(r *Request) { r.After.Evidence, r.After.Latest = nil, &model.Evidence{Commit: tested} },
			"no evidence that datahub with the inputs of bbbbbbbbbbbb passed in staging: the last verified commit there is aaaaaaaaaaaa"},
		"what changed": {func(r *Request) {
			r.After.Evidence, r.After.Latest = nil, &model.Evidence{Commit: tested}
			r.After.Changed = []string{"hub/Chart.yaml", "deployments/datahub/image"}
		}, "no evidence that datahub with the inputs of bbbbbbbbbbbb passed in staging: the last verified commit there is aaaaaaaaaaaa, and this one differs in hub/Chart.yaml, deployments/datahub/image"},
		"much changed": {func(r *Request) {
			r.After.Evidence, r.After.Latest = nil, &model.Evidence{Commit: tested}
			r.After.Changed = strings.Split("abcdefgh", "")
		}, "no evidence that datahub with the inputs of bbbbbbbbbbbb passed in staging: the last verified commit there is aaaaaaaaaaaa, and this one differs in a, b, c, d, e and 3 more"},
		"halted": {func(r *Request) { r.After.Halt = &model.Halt{Run: "run-2", Reason: "import emoji: ImportError"} },
			"datahub has been halted in staging since run run-2: import emoji: ImportError"},
		"older": {func(r *Request) { r.After, r.Older = nil, true },
			"bbbbbbbbbbbb is older than cccccccccccc, which is running; to go back, use a revert commit, `hubship rollback`, or `hubship deploy --force`"},
		"older, forced": {func(r *Request) { r.After, r.Older, r.Force = nil, true, true },
			"goes back from cccccccccccc to the older bbbbbbbbbbbb, as requested"},
		"first environment": {func(r *Request) { r.After = nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(proof())
			tc.change(&r)
			if got := strings.Join(Enter(r).Reasons, "; "); got != tc.want {
				t.Errorf("reasons\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}
