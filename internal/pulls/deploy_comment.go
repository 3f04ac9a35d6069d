package pulls

import (
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/report"
)

// runSummary is a run in one line.
func runSummary(r model.Run) string {
	switch r.State {
	case model.Queued:
		return "waiting for its turn"
	case model.Running:
		return "deploying " + short(r.Commit)
	case model.Unchanged:
		return "nothing that is running changes"
	case model.Done:
		n := 0
		for _, rel := range r.Releases {
			if rel.State == model.Done {
				n++
			}
		}
		return fmt.Sprintf("deployed and verified: %s", plural(n, "hub"))
	}
	return firstLine(r.Reason)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func short(commit string) string { return fmt.Sprintf("%.10s", commit) }

// releaseSummary is a release's part in a run in one line.
func releaseSummary(rel model.ReleaseResult) string {
	switch rel.State {
	case model.Done:
		if v := rel.Verification; v != nil {
			return fmt.Sprintf("verified the way a user would: %s in %s", plural(passed(*v), "check"), took(v.Finished.Sub(v.Started)))
		}
		return "verified"
	case model.FailedRun:
		if rel.RolledBackTo > 0 {
			return "rolled back: " + firstLine(rel.Reason)
		}
	}
	return firstLine(rel.Reason)
}

func passed(v model.Verification) int {
	n := 0
	for _, k := range v.Checks {
		if k.Passed {
			n++
		}
	}
	return n
}

// deploy is the comment about the run that brought a pull request to an
// environment. with says that others came along.
func (w writer) deploy(env model.Environment, with bool) string {
	r := w.run
	var b strings.Builder
	title := "Deployed to " + env.Name
	switch {
	case r.State == model.Unchanged:
		title = "Nothing to deploy in " + env.Name
	case r.State == model.Cancelled:
		title = "The deploy to " + env.Name + " was cancelled"
	case r.State == model.Refused:
		title = "Not allowed into " + env.Name
	case r.State != model.Done:
		title = "Failed on " + env.Name
	}
	fmt.Fprintf(&b, "### %s %s\n\n", emblem(r.State), title)
	if r.State != model.Done && r.State != model.Unchanged {
		fmt.Fprintf(&b, "%s\n\n", report.Escape(forge.Shorten(firstLine(r.Reason), 500)))
	}
	w.releases(&b, false)
	if with {
		b.WriteString("\nOther merged changes were deployed together with it.\n")
	}
	fmt.Fprintf(&b, "\nCommit `%s` · [run %s](%s)", short(r.Commit), r.ID, w.c.o.RunURL(r.ID))
	if t := r.Finished.Sub(r.Started); t > 0 {
		fmt.Fprintf(&b, " · %s", took(t))
	}
	b.WriteString("\n")
	if env.After == "" && r.State == model.Done {
		fmt.Fprintf(&b, "\nTo undo this change, somebody with write access to this repository can comment `%s`.\n", RevertCommand)
	}
	w.failures(&b)
	return forge.Shorten(b.String(), forge.MaxBody-100)
}

// releases is the table of what the run did, hub by hub.
func (w writer) releases(b *strings.Builder, links bool) {
	rows := 0
	for _, rel := range w.run.Releases {
		if rel.State == model.Unchanged {
			continue
		}
		if rows++; rows == 1 {
			b.WriteString("| | hub | |\n|---|---|---|\n")
		}
		if rows == maxRows {
			b.WriteString("| | … | the rest is on the run's page |\n")
			break
		}
		hub := report.Escape(rel.Target.Hub)
		if links || rel.State == model.Done {
			hub = fmt.Sprintf("[%s](%s)", hub, w.c.o.HubURL(rel.Target.Host))
		}
		what := report.Escape(releaseSummary(rel))
		if v := rel.Verification; v != nil && rel.State == model.Done {
			var names []string
			for _, k := range v.Checks {
				if k.Passed {
					names = append(names, strings.TrimSpace(k.Name+" "+k.Detail))
				}
			}
			what += "<br>" + report.Escape(forge.Shorten(strings.Join(names, ", "), 300))
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", emblem(rel.State), hub, what)
	}
}

// maxRows bounds the table of hubs.
const maxRows = 60

// failures says what failed, and where its log is. The log is not quoted: pods'
// last lines are for who may write, and a pull request is read by whoever reads
// the repository, at GitHub often by everybody.
func (w writer) failures(b *strings.Builder) {
	logs := false
	for _, rel := range w.run.Releases {
		if rel.State != model.FailedRun {
			continue
		}
		if v := rel.Verification; v != nil {
			for _, k := range v.Checks {
				if !k.Passed && !k.Skipped {
					fmt.Fprintf(b, "\n%s: **%s**: %s\n", report.Escape(rel.Target.Hub), report.Escape(k.Name), report.Escape(forge.Shorten(k.Detail, 500)))
				}
			}
		}
		if rel.RolledBackTo > 0 {
			fmt.Fprintf(b, "\n%s is running its previous release again (revision %d, which restores revision %d). Users can keep working with it; nothing is promoted from here until this is fixed.\n",
				report.Escape(rel.Target.Hub), rel.Revision, rel.RolledBackTo)
		}
		if rel.Log != "" || rel.Verification != nil {
			logs = true
		}
	}
	if logs {
		fmt.Fprintf(b, "\n[The run's page](%s) has the log, with the pods' last output. You need write access to this repository to read it.\n", w.c.o.RunURL(w.run.ID))
	}
}

// shipped is the comment that celebrates.
func (w writer) shipped(env model.Environment) string {
	r := w.run
	var b strings.Builder
	fmt.Fprintf(&b, "### 🎉 Shipped to %s at %s\n\n", env.Name, r.Finished.UTC().Format("2006-01-02 15:04 UTC"))
	w.releases(&b, true)
	if r.State == model.Unchanged {
		b.WriteString("It changes nothing that is running there.\n")
	}
	fmt.Fprintf(&b, "\n[run %s](%s) · thank you!\n", r.ID, w.c.o.RunURL(r.ID))
	return forge.Shorten(b.String(), forge.MaxBody-100)
}
