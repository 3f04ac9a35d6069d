package planner

import (
	"path"
	"strings"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/confine"
)

// confined reports what reaches beyond the release. All objects of the head are
// judged, not only those that change: what else a release is made of may
// have moved it to another namespace.
func (w *work) confined(r *plan.Release, sides [2]*revision, wanted [2]*model.Desired, objects [2][]release.Object) []plan.Problem {
	if wanted[1] == nil {
		return nil
	}
	before := map[string]bool{}
	if wanted[0] != nil {
		for _, v := range confine.Check(confine.Of(objects[0]), wanted[0].Target, w.o.Charts) {
			before[v.Object.Key()+v.Message] = true
		}
	}
	var out []plan.Problem
	for _, v := range confine.Check(confine.Of(objects[1]), wanted[1].Target, w.o.Charts) {
		p := plan.Problem{
			Severity: plan.Error, Check: check.CheckConfinement, Message: v.Message, Hint: v.Hint, Object: v.Object.String(),
			File: inRepository(sides[1], *wanted[1], v.Object.Template), Releases: []string{r.Key()},
			Preexisting: before[v.Object.Key()+v.Message],
		}
		if v.Warn {
			p.Severity = plan.Warning
		}
		if v.Warn && p.Preexisting {
			continue // somebody has looked at it
		}
		out = append(out, p)
	}
	return out
}

// inRepository is a chart's file by its path in the repository, where it is in
// it: that of the hubs' own chart.
func inRepository(s *revision, d model.Desired, file string) string {
	if rest, ok := strings.CutPrefix(file, path.Base(d.Chart)+"/"); ok && s.id(path.Join(d.Chart, rest)) != "" {
		return path.Join(d.Chart, rest)
	}
	return file
}
