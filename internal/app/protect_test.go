package app

import (
	"reflect"
	"testing"

	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/model"
)

func TestProtectionOf(t *testing.T) {
	staging := model.Environment{Name: "staging", Branch: "stage"}
	prod := model.Environment{Name: "prod", Branch: "live", After: "staging"}
	checks := &host.RequiredChecks{Contexts: changeContexts, By: ownLogin}
	for name, c := range map[string]struct {
		change func(*model.Process)
		env    *model.Environment
		want   host.Protection
	}{
		"first": {env: &staging, want: host.Protection{EnforceAdmins: true, Checks: checks, Reviews: &host.RequiredReviews{Count: 1, DismissStale: true, LastPush: true}}},
		"solo": {env: &staging, change: func(f *model.Process) { f.Review.Approvals = 0 },
			want: host.Protection{EnforceAdmins: true, Checks: checks, Reviews: &host.RequiredReviews{DismissStale: true, LastPush: true}}},
		"pushed to": {env: &model.Environment{Name: "staging", Branch: "stage", Push: true},
			want: host.Protection{EnforceAdmins: true, AllowPush: true, Checks: checks, Reviews: &host.RequiredReviews{Count: 1, DismissStale: true, LastPush: true}}},
		"reverts by itself": {env: &staging, change: func(f *model.Process) { f.Revert = model.RevertAuto },
			want: host.Protection{EnforceAdmins: true, Checks: checks, Reviews: &host.RequiredReviews{Count: 1, DismissStale: true, LastPush: true}, Bypass: []string{"hubship"}}},
		"later": {env: &prod, want: host.Protection{EnforceAdmins: true, Checks: &host.RequiredChecks{Contexts: promotionContexts, By: ownLogin}, Heads: []string{"stage"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &model.Process{Environments: []model.Environment{staging, prod}, Revert: model.RevertPropose}
			f.Review.Approvals = 1
			if c.change != nil {
				c.change(f)
			}
			if got := protectionOf(*f, *c.env); !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got %+v, want %+v", *got, c.want)
			}
		})
	}
}
