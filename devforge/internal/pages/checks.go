package pages

import (
	"cmp"
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/devforge/internal/authority"
)

// statusRow is a status of a commit.
type statusRow struct{ State, Name, Text, URL string }

func (v *visit) statuses(sha string) ([]statusRow, error) {
	var rows []statusRow
	combined, _, err := v.api.Repositories.GetCombinedStatus(v.ctx, v.owner, v.name, sha, &gh.ListOptions{PerPage: 100})
	if err != nil {
		return nil, err
	}
	for _, s := range combined.Statuses {
		rows = append(rows, statusRow{s.GetState(), s.GetContext(), s.GetDescription(), s.GetTargetURL()})
	}
	slices.SortFunc(rows, func(a, b statusRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows, nil
}

// checkRow is a check run of a commit.
type checkRow struct {
	Name, State, Title, URL string
	Summary                 template.HTML
	Started                 time.Time
}

// checks are the latest check runs of a commit.
func (v *visit) checks(sha string) ([]*gh.CheckRun, error) {
	runs, _, err := v.api.Checks.ListCheckRunsForRef(v.ctx, v.owner, v.name, sha, &gh.ListCheckRunsOptions{ListOptions: gh.ListOptions{PerPage: 100}})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(runs.CheckRuns, func(a, b *gh.CheckRun) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return runs.CheckRuns, nil
}

// checkState is where a check run stands, in GitHub's words.
func checkState(k *gh.CheckRun) string {
	state := k.GetStatus()
	if state == "completed" {
		state = k.GetConclusion()
	}
	return strings.ReplaceAll(state, "_", " ")
}

// summed is what the statuses and check runs of a commit come to: the worst
// that one of them says, "" when there is none. busy says that something is
// still under way. What waits for a person is not.
func summed(statuses []statusRow, checks []*gh.CheckRun) (state string, busy bool) {
	worst := []string{"", "success", "pending", "action required", "failure"}
	at := 0
	add := func(state string) { at = max(at, slices.Index(worst, state)) }
	for _, s := range statuses {
		if s.State == "error" {
			s.State = "failure"
		}
		add(s.State)
		busy = busy || s.State == "pending"
	}
	asks, runs := false, false
	for _, k := range checks {
		switch state := checkState(k); state {
		case "success", "neutral", "skipped":
			add("success")
		case "action required":
			add(state)
			asks = true
		case "failure", "cancelled", "timed out":
			add("failure")
		default:
			add("pending")
			runs = true
		}
	}
	return worst[at], runs || busy && !asks
}

// run is a page of hubship's, shown within one of these.
type run struct{ Name, URL, Frame string }

// runID is what can be the ID of a run.
var runID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// maxRuns bounds the runs that a page embeds.
const maxRuns = 5

// runs are those that hubship's own statuses and check runs lead to, by the
// first name that leads there. Nobody else speaks under such names. A frame is
// below the name that the visitor knows these pages by: its path is enough.
func (p *pages) runs(statuses []statusRow, checks []*gh.CheckRun) []run {
	var all []run
	add := func(name, at string) {
		id, ok := strings.CutPrefix(at, p.o.Runs)
		if !ok || p.o.Runs == "" || authority.Speaks(name, false) == "" || !runID.MatchString(id) || len(all) == maxRuns ||
			slices.ContainsFunc(all, func(r run) bool { return r.URL == at }) {
			return
		}
		u, err := url.Parse(at)
		if err != nil {
			return
		}
		all = append(all, run{Name: name, URL: at, Frame: u.EscapedPath() + "?embed"})
	}
	for _, k := range checks {
		add(k.GetName(), k.GetDetailsURL())
	}
	for _, s := range statuses {
		add(s.Name, s.URL)
	}
	return all
}

func (v *visit) pullChecks() (view, error) {
	d, _, err := v.look()
	if err != nil {
		return view{}, err
	}
	if d.Remarks, err = v.remarks(d.checks); err != nil {
		return view{}, err
	}
	for _, k := range d.checks {
		d.Checks = append(d.Checks, checkRow{Name: k.GetName(), State: checkState(k), Title: k.GetOutput().GetTitle(), URL: k.GetDetailsURL(),
			Summary: v.markdown(k.GetOutput().GetSummary()), Started: k.GetStartedAt().Time})
	}
	d.Runs = v.runs(d.Statuses, d.checks)
	return view{Page: "pull", Title: d.title(), Tab: "checks", Refresh: d.refresh(), Data: d}, nil
}
