package pulls

import (
	"reflect"
	"slices"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

func TestProtectionOf(t *testing.T) {
	staging := model.Environment{Name: "staging", Branch: "stage"}
	prod := model.Environment{Name: "prod", Branch: "live", After: "staging"}
	change := forge.Protection{Admins: true, Statuses: changeContexts, Approvals: 1, DismissStale: true, Beyond: &forge.ProtectionBeyond{ChecksBy: "bot", ChecksOfMerge: true}}
	with := func(p forge.Protection, f func(*forge.Protection)) forge.Protection {
		b := *p.Beyond
		p.Beyond = &b
		f(&p)
		return p
	}
	files := []string{"process.yaml"}
	deciding := append(slices.Clone(changeContexts), processContext)
	slices.Sort(deciding)
	for name, c := range map[string]struct {
		change func(*model.Process)
		env    model.Environment
		want   forge.Protection
	}{
		"first": {env: staging, want: change},
		"solo": {env: staging, change: func(f *model.Process) { f.Review.Approvals = 0 },
			want: with(change, func(p *forge.Protection) { p.Approvals = 0 })},
		"pushed to": {env: model.Environment{Name: "staging", Branch: "stage", Push: true},
			want: with(change, func(p *forge.Protection) { p.Beyond.AllowPush = true })},
		"reverts by itself": {env: staging, change: func(f *model.Process) { f.Revert = model.RevertAuto },
			want: with(change, func(p *forge.Protection) { p.Beyond.Bypass = []string{"bot"} })},
		"has the process": {env: staging, change: func(f *model.Process) { f.Branch = "stage" },
			want: with(change, func(p *forge.Protection) { p.Statuses, p.Beyond.Maintained = deciding, files })},
		"the process alone": {want: with(change, func(p *forge.Protection) { p.Statuses, p.Beyond.Maintained = deciding, files })},
		"later":             {env: prod, want: forge.Protection{Admins: true, Statuses: promotionContexts, Beyond: &forge.ProtectionBeyond{Heads: []string{"stage"}, ChecksBy: "bot", ChecksOfMerge: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := model.Process{Branch: "main", Environments: []model.Environment{staging, prod}, Revert: model.RevertPropose}
			f.Review.Approvals = 1
			if c.change != nil {
				c.change(&f)
			}
			if got := protectionOf(f, c.env, "bot", files); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v %+v, want %+v %+v", got, got.Beyond, c.want, c.want.Beyond)
			}
		})
	}
}
