package packages

import (
	"encoding/json"
	"testing"

	"github.com/hubship/hubship/internal/plan"
)

func TestPinned(t *testing.T) {
	for _, tc := range []struct {
		ecosystem, spec string
		want            bool
	}{
		{Pip, "==1.2.3", true}, {Pip, "== 1.2.3", true}, {Pip, "===1.0-x", true}, {Pip, "[all]==1", true}, {Pip, ">=1,==1.5", true},
		{Pip, "", false}, {Pip, "[all]", false}, {Pip, "==1.*", false}, {Pip, ">=1", false}, {Pip, "~=1.2.3", false}, {Pip, "==${V}", false},
		{Pip, "@ git+https://example.org/a.git@0123abc", true}, {Pip, "@ git+https://example.org/a@v1.2.0#egg=a", true}, {Pip, "[x] @ git+https://example.org/a@2.0", true},
		{Pip, "@ git+https://example.org/a@main", false}, {Pip, "@ git+https://example.org/a", false}, {Pip, "@ git+ssh://git@example.org/a", false},
		{Pip, "@ https://example.org/a-1.2-py3-none-any.whl", true}, {Pip, "@ https://example.org/latest.zip", false}, {Pip, "@ https://example.org/latest.zip#sha256=00ff", true},
		{Pip, "@ https://example.org/o/a/archive/0123abc0123abc.zip", true}, {Pip, "@ https://example.org/o/a/archive/v2.1.tar.gz", true}, {Pip, "@ https://example.org/o/a/archive/main.zip", false},
		{Conda, "==1.2", true}, {Conda, "=1.2.3", true}, {Conda, "= 1.2.3", true}, {Conda, "=1.2=py_0", true}, {Conda, "==1.2=py_0", true}, {Conda, "==1.2[channel=x]", true}, {Conda, "[version='1.2']", true},
		{Conda, "", false}, {Conda, "=1.2", false}, {Conda, "=1.2.*", false}, {Conda, "==1.2.*", false}, {Conda, ">=1.2.3", false}, {Conda, "=1.2.3|=1.2.4", false}, {Conda, "[version='>=1']", false}, {Conda, "=*=*mkl", false},
		{Conda, "@ https://example.org/linux-64/a-1.2-0.conda", true},
		{Apt, "=1:2.3-1", true}, {Apt, "=2.3*", false}, {Apt, "/bookworm", false}, {Apt, "", false}, {Apt, "=${V}", false},
		{R, "==1.2-9", true}, {R, "", false}, {R, ">= 1.0", false}, {R, "@ github::o/r@36b4918", true}, {R, "@ github::o/r@main", false}, {R, "@ github::o/r", false},
		{R, "@ https://example.org/sp_1.4-4.tar.gz", true},
		{Runtime, "=3.11", true}, {Runtime, "=4.1 of 2022-01-31", true},
	} {
		if got := (Package{Ecosystem: tc.ecosystem, Name: "a", Spec: tc.spec}).Pinned(); got != tc.want {
			t.Errorf("%s %q: pinned %v", tc.ecosystem, tc.spec, got)
		}
	}
}

func TestCompare(t *testing.T) {
	base := []Package{
		{Ecosystem: Pip, Name: "Scikit_Learn", Spec: "==1", File: "r", Line: 1},
		{Ecosystem: Pip, Name: "gone", Spec: "==1", File: "r", Line: 2},
		{Ecosystem: Conda, Name: "numpy", Spec: "=1.26", File: "e", Line: 3},
		{Ecosystem: R, Name: "plm", File: "i", Line: 4},
		{Ecosystem: Pip, Name: "twice", Spec: "==1", File: "r", Line: 5},
		{Ecosystem: Pip, Name: "twice", Spec: "==2", File: "r", Line: 6},
	}
	head := []Package{
		{Ecosystem: Apt, Name: "vim", File: "a", Line: 1},
		{Ecosystem: Pip, Name: "scikit-learn", Spec: " == 1", File: "other", Line: 9},
		{Ecosystem: Pip, Name: "numpy", Spec: "==1.26.4", File: "r", Line: 2},
		{Ecosystem: Conda, Name: "NumPy", Spec: "=1.26.4", File: "e", Line: 3},
		{Ecosystem: R, Name: "plm", File: "i", Line: 4},
		{Ecosystem: R, Name: "PLM", File: "i", Line: 5},
		{Ecosystem: Pip, Name: "twice", Spec: "==1", File: "r", Line: 5},
		{Ecosystem: Pip, Name: "twice", File: "r", Line: 6},
	}
	want := []plan.Package{
		{Ecosystem: Apt, Name: "vim", Change: plan.Added, File: "a", Line: 1},
		{Ecosystem: Pip, Name: "numpy", Change: plan.Added, After: "==1.26.4", Pinned: true, File: "r", Line: 2},
		{Ecosystem: Conda, Name: "NumPy", Change: plan.Changed, Before: "=1.26", After: "=1.26.4", Pinned: true, File: "e", Line: 3},
		{Ecosystem: R, Name: "PLM", Change: plan.Added, File: "i", Line: 5},
		{Ecosystem: Pip, Name: "twice", Change: plan.Changed, Before: "==1, ==2", After: "==1, any", File: "r", Line: 6},
		{Ecosystem: Pip, Name: "gone", Change: plan.Removed, Before: "==1", File: "r", Line: 2},
	}
	got, err := json.Marshal(Compare(base, head))
	if err != nil {
		t.Fatal(err)
	}
	if expected, _ := json.Marshal(want); string(got) != string(expected) {
		t.Errorf("changes\n%s\nwant\n%s", got, expected)
	}
	for _, list := range [][]Package{base, head, nil} {
		if same := Compare(list, list); len(same) != 0 {
			t.Errorf("the same differs: %v", same)
		}
	}
	if len(Compare(nil, head)) != 7 || len(Compare(base, nil)) != 5 {
		t.Errorf("%d added to nothing, %d removed", len(Compare(nil, head)), len(Compare(base, nil)))
	}
}
