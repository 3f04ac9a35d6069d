package helm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	rcommon "helm.sh/helm/v4/pkg/release/common"
	rspb "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/model"
)

// revisions makes records out of lines "status" or "status>N" for a rollback
// to N, oldest first, and returns them newest first.
func revisions(lines ...string) []*rspb.Release {
	var out []*rspb.Release
	for i, line := range lines {
		state, to, _ := strings.Cut(line, ">")
		r := &rspb.Release{Name: "x", Version: i + 1, Info: &rspb.Info{Status: rcommon.Status(state), Description: "data8@staging at commit 1"}}
		if to != "" {
			r.Info.RollbackRevision = int(to[0] - '0')
			r.Info.Description = "Rollback to " + to + ": verification failed: import emoji"
		}
		if state == "replaced-failure" { // failed, then superseded by the next success
			r.Info.Status, r.Info.Description = rcommon.StatusSuperseded, `Upgrade "x" failed: not ready`
		}
		out = append([]*rspb.Release{r}, out...)
	}
	return out
}

func TestGood(t *testing.T) {
	tests := []struct {
		name    string
		records []*rspb.Release
		skip    int
		want    int
	}{
		{"none", nil, 0, 0},
		{"first install failed", revisions("failed"), 0, 0},
		{"first install pending", revisions("pending-install"), 0, 0},
		{"newest is good", revisions("superseded", "deployed"), 0, 2},
		{"upgrade failed", revisions("superseded", "deployed", "failed"), 0, 2},
		{"upgrade pending", revisions("deployed", "pending-upgrade"), 0, 1},
		{"killed between superseding and deploying", revisions("superseded", "pending-upgrade"), 0, 1},
		{"a failure that was superseded is not good", revisions("deployed", "replaced-failure", "failed"), 0, 1},
		{"failure after a rollback", revisions("superseded", "superseded", "deployed>1", "failed"), 0, 3},
		{"before the newest", revisions("superseded", "superseded", "deployed"), 3, 2},
		{"before the newest, past a failure", revisions("superseded", "failed", "deployed"), 3, 1},
		{"before a rollback: what was rolled away from is passed over", revisions("superseded", "superseded", "superseded", "deployed>2"), 4, 1},
		{"nothing before a rollback to the first", revisions("superseded", "superseded", "deployed>1"), 3, 0},
		{"rollback of a rollback", revisions("superseded", "superseded", "superseded", "superseded>2", "superseded", "deployed>4"), 6, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := good(tt.records, tt.skip); got != tt.want {
				t.Errorf("got revision %d, want %d", got, tt.want)
			}
		})
	}
}

// TestGoodBeforeTheSameAgain deploys what ran before a failure once more, as the
// revert of a change does.
func TestGoodBeforeTheSameAgain(t *testing.T) {
	records := revisions("superseded", "superseded", "failed", "superseded>2", "deployed")
	for _, r := range records {
		inputs := map[int]string{1: "a", 2: "b", 3: "c", 4: "b", 5: "b"}[r.Version]
		r.Labels = map[string]string{labelRevision: strconv.Itoa(r.Version), labelInputs: inputs}
	}
	if got := good(records, 5); got != 1 {
		t.Errorf("got revision %d, want the newest that is something else, 1", got)
	}
	if got := good(records, 0); got != 5 {
		t.Errorf("got revision %d, want the newest, 5", got)
	}
}

// TestGoodBeforeWhatFailedItsVerification goes on after a change that was ready
// and failed its verification: rolled back, and reverted by a deploy of what ran
// before. To Helm the change is as good as any.
func TestGoodBeforeWhatFailedItsVerification(t *testing.T) {
	records := revisions("superseded", "superseded", "superseded", "superseded>2", "deployed")
	for _, r := range records {
		inputs := map[int]string{1: "a", 2: "b", 3: "broken", 4: "b", 5: "b"}[r.Version]
		r.Labels = map[string]string{labelRevision: strconv.Itoa(r.Version), labelInputs: inputs}
	}
	if got := good(records, 5); got != 1 {
		t.Errorf("got revision %d, want the newest that nobody rolled away from and that is something else, 1", got)
	}
}

// TestGoodProperty walks random histories of a release.
func TestGoodProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		var inputs []string
		for n := range rapid.IntRange(1, 9).Draw(t, "revisions") {
			line, has := rapid.SampledFrom([]string{"superseded", "failed"}).Draw(t, "status"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "inputs")
			if n > 0 && rapid.Bool().Draw(t, "rolled back") {
				to := rapid.IntRange(1, n).Draw(t, "to")
				line, has = fmt.Sprintf("superseded>%d", to), inputs[to-1]
			}
			lines, inputs = append(lines, line), append(inputs, has)
		}
		lines[len(lines)-1] = strings.Replace(lines[len(lines)-1], "superseded", "deployed", 1)
		records := revisions(lines...)
		for _, r := range records {
			r.Labels = map[string]string{labelRevision: strconv.Itoa(r.Version), labelInputs: inputs[r.Version-1]}
		}
		newest := records[0]
		if !wasGood(newest) {
			return
		}
		if got, want := good(records, newest.Version), before(records, inputs); got != want {
			t.Fatalf("%v with inputs %v: back to revision %d, want %d", lines, inputs, got, want)
		}
	})
}

// before is what a rollback takes, by its definition: the newest revision that was
// good, that has other contents than the newest, and that nobody has rolled away
// from: whatever was good later came from after it.
func before(records []*rspb.Release, inputs []string) int {
	byRevision := map[int]*rspb.Release{}
	for _, r := range records {
		byRevision[r.Version] = r
	}
	for i, r := range records[1:] {
		later := records[:i+1]
		undone := slices.ContainsFunc(later, func(l *rspb.Release) bool {
			return wasGood(l) && origin(l, byRevision) <= origin(r, byRevision)
		})
		if wasGood(r) && !undone && inputs[r.Version-1] != inputs[records[0].Version-1] {
			return r.Version
		}
	}
	return 0
}

func TestChooseRollback(t *testing.T) {
	byRun := func(records []*rspb.Release, run string) []*rspb.Release {
		r := records[0]
		r.Labels = map[string]string{labelRevision: "3", labelRun: run}
		return records
	}
	tests := []struct {
		name    string
		rb      rollback
		records []*rspb.Release
		want    int
		done    bool
		err     string
	}{
		{"nothing installed", rollback{}, nil, 0, false, "not installed"},
		{"the one before", rollback{}, revisions("superseded", "deployed"), 1, false, ""},
		{"the newest failed", rollback{}, revisions("superseded", "deployed", "failed"), 2, false, ""},
		{"only one", rollback{}, revisions("deployed"), 0, false, "no earlier revision"},
		{"by number", rollback{revision: 1}, revisions("superseded", "superseded", "deployed"), 1, false, ""},
		{"what runs already", rollback{revision: 2}, revisions("superseded", "deployed"), 2, true, ""},
		{"a failed one", rollback{revision: 2}, revisions("superseded", "failed", "deployed"), 0, false, "was never good"},
		{"one that is gone", rollback{revision: 9}, revisions("superseded", "deployed"), 0, false, "revision 9 is no longer kept"},
		{"the same run, done before", rollback{run: "r1"}, byRun(revisions("superseded", "superseded", "deployed>1"), "r1"), 3, true, ""},
		{"the same run, killed", rollback{run: "r1"}, byRun(revisions("superseded", "deployed", "failed>1"), "r1"), 1, false, ""},
		{"another run", rollback{run: "r2"}, byRun(revisions("superseded", "deployed", "failed>1"), "r1"), 2, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec, done, err := tt.rb.choose(tt.records)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || model.HintOf(err) == "" {
					t.Fatalf("error %v (hint %q), want one about %q", err, model.HintOf(err), tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if rec.Version != tt.want || done != tt.done {
				t.Errorf("revision %d done %v, want %d %v", rec.Version, done, tt.want, tt.done)
			}
		})
	}
}

func TestLabelValue(t *testing.T) {
	for _, s := range []string{"", "abc", strings.Repeat("a", 63), strings.Repeat("a", 64), "sha256:abc", "-x-", "ä"} {
		v := labelValue(s)
		if errs := validation.IsValidLabelValue(v); len(errs) > 0 {
			t.Errorf("%q became %q: %v", s, v, errs)
		}
		if v != labelValue(s) {
			t.Errorf("%q has two values", s)
		}
	}
	if labelValue("sha256:a") == labelValue("sha256:b") {
		t.Error("different texts have one value")
	}
}

func TestLostClaims(t *testing.T) {
	claim := func(name, extra string) string {
		return "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: " + name + "}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}" + extra + "}\n"
	}
	grown := strings.ReplaceAll(claim("db", ""), "1Gi", "2Gi")
	kept := strings.ReplaceAll(claim("db", ""), "{name: db}", "{name: db, annotations: {helm.sh/resource-policy: keep}}")
	tests := []struct {
		name          string
		before, after string
		want          string
	}{
		{"unchanged", claim("db", ""), claim("db", ""), ""},
		{"added", "", claim("db", ""), ""},
		{"removed", claim("db", ""), "", "would delete PersistentVolumeClaim db"},
		{"renamed", claim("db", ""), claim("db2", ""), "would delete PersistentVolumeClaim db "},
		{"grown", claim("db", ""), grown, ""},
		{"shrunk", grown, claim("db", ""), "spec.resources.requests.storage"},
		{"other class", claim("db", ""), claim("db", ", storageClassName: fast"), "would replace PersistentVolumeClaim db"},
		{"kept by the chart", kept, "", ""},
		{"other objects", "kind: Service\napiVersion: v1\nmetadata: {name: s}\n", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lost, err := lostPVCs(tt.before, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if len(lost) != 0 {
					t.Errorf("refused: %v", lost)
				}
				return
			}
			if len(lost) != 1 {
				t.Fatalf("%d claims lost", len(lost))
			}
			if err := lost[0].refusal(); !strings.Contains(err.Error(), tt.want) || model.ExitCodeOf(err) != model.ExitRefused || model.HintOf(err) == "" {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
