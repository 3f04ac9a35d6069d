package pulls

import (
	"fmt"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/report"
)

// writer words what is said about a run, as Markdown.
type writer struct {
	c    *Controller
	run  model.Run
	plan *plan.Plan // nil when there is none
}

// room is kept free in a comment for what comes besides the plan.
const room = 6000

// headline says in a few words where a check stands.
func headline(r model.Run) string {
	switch {
	case r.State == model.Done && waitsForMaintainer(r):
		return "Waiting for a maintainer: this change alters the process"
	case r.State == model.Done:
		return "Ready: everything passed"
	case r.State == model.Refused:
		return "Waiting for a maintainer"
	case r.State == model.Cancelled:
		return "Cancelled"
	case r.State.Final():
		return "Not ready: " + forge.Shorten(firstLine(r.Reason), 100)
	}
	return "Checking"
}

// waitsForMaintainer says that all has passed but the change of the process.
func waitsForMaintainer(r model.Run) bool {
	if r.Pull == nil {
		return false
	}
	p := r.Pull.Part(model.PartProcess)
	return p != nil && p.State == model.PartWaiting
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// summary is the table of a check's parts.
func summary(r model.Run) string {
	var b strings.Builder
	b.WriteString("| | part | result | time |\n|---|---|---|---|\n")
	for _, p := range r.Pull.Parts {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", marks[p.State], p.Name, report.Escape(p.Summary), took(p.Took))
	}
	return b.String()
}

var marks = map[model.PartState]string{
	model.PartWaiting: "⏳", model.PartRunning: "🔄", model.PartPassed: "✅", model.PartFailed: "❌", model.PartErrored: "⚠️",
}

func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func emblem(s model.RunState) string {
	switch {
	case s == model.Done, s == model.Unchanged:
		return "✅"
	case s == model.Refused:
		return "⏳"
	case s.Final():
		return "❌"
	}
	return "🔄"
}

// check is the comment about a check.
func (w writer) check() string {
	r := w.run
	var b strings.Builder
	mark := emblem(r.State)
	if r.State == model.Done && waitsForMaintainer(r) {
		mark = "⏳"
	}
	fmt.Fprintf(&b, "### %s %s\n\n", mark, report.Escape(headline(r)))
	b.WriteString(summary(r))
	fmt.Fprintf(&b, "\nTest merge of commit `%.12s` into %s at `%.12s`. [Log](%s)", r.Pull.Head, report.Code(r.Pull.Base), r.Pull.BaseCommit, w.c.o.RunURL(r.ID))
	if w.plan != nil {
		fmt.Fprintf(&b, " · [plan](%s)", w.c.o.PlanURL(r.ID))
	}
	if t := r.Finished.Sub(r.Started); r.State.Final() && t > 0 {
		fmt.Fprintf(&b, " · %s in total", took(t))
	}
	b.WriteString("\n")
	w.held(&b)
	if r.State == model.Done && waitsForMaintainer(r) {
		b.WriteString("\nOnce merged, its changes to the process apply to every branch. A maintainer of this repository who is not the author has to approve this very commit in a review.\n")
	}
	w.remarks(&b)
	w.images(&b)
	w.tests(&b)
	if w.plan != nil {
		left := forge.MaxBody - len([]rune(b.String())) - 200
		var text strings.Builder
		// Only a writer that fails makes this fail.
		if err := report.Markdown(&text, *w.plan, report.Options{Limit: max(left, room)}); err == nil {
			b.WriteString("\n")
			b.WriteString(text.String())
		}
	}
	return forge.Shorten(b.String(), forge.MaxBody-100)
}

// held says how a maintainer lets a check go on.
func (w writer) held(b *strings.Builder) {
	if w.run.State != model.Refused || w.run.Pull.AwaitingApproval == "" {
		return
	}
	fmt.Fprintf(b, "\nNothing in this change has been run. Once somebody with write access to this repository has read it, they can let hubship run it, only at this commit, by posting this comment:\n\n```\n%s\n```\n", Approval(w.run.Pull.Head))
}

// maxRemarks bounds what is listed of one part.
const maxRemarks = 20

func (w writer) remarks(b *strings.Builder) {
	for _, p := range w.run.Pull.Parts {
		for i, m := range p.Problems {
			if i == 0 {
				fmt.Fprintf(b, "\n**%s**\n\n", p.Name)
			}
			if i == maxRemarks {
				fmt.Fprintf(b, "- … and %d more\n", len(p.Problems)-maxRemarks)
				break
			}
			where := ""
			if m.Path != "" {
				where = m.Path
				if m.Line > 0 {
					where += fmt.Sprintf(":%d", m.Line)
				}
				where = report.Code(where) + ": "
			}
			fmt.Fprintf(b, "- %s%s", where, report.Escape(m.Message))
			if m.Hint != "" {
				fmt.Fprintf(b, " — %s", report.Escape(m.Hint))
			}
			b.WriteString("\n")
		}
	}
}

// images is the table of images, before and after.
func (w writer) images(b *strings.Builder) {
	if len(w.run.Pull.Images) == 0 {
		return
	}
	b.WriteString("\n| image | before | after | result | time |\n|---|---|---|---|---|\n")
	for _, i := range w.run.Pull.Images {
		after, how := megabytes(i.Built.Size), "found in the registry"
		switch {
		case i.Reason != "":
			after, how = "", "❌ "+report.Escape(forge.Shorten(firstLine(i.Reason), 300))
		case i.Built.Rebuilt:
			how = "built"
		}
		if i.Reason == "" && i.Before > 0 && i.Built.Size > 0 && i.Before != i.Built.Size {
			after += fmt.Sprintf(" (%+.1f MB)", float64(i.Built.Size-i.Before)/1e6)
		}
		if i.Smoke != nil && i.Reason == "" {
			how += smoke(*i.Smoke)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", report.Cell(i.ID), megabytes(i.Before), after, how, took(i.Took))
	}
	for _, i := range w.run.Pull.Images {
		if i.Smoke == nil || i.Smoke.Passed {
			continue
		}
		for _, k := range i.Smoke.Checks {
			if !k.Passed && !k.Skipped {
				folded(b, fmt.Sprintf("%s: %s", i.ID, k.Name), withHint(k.Detail, k.Log))
			}
		}
	}
}

// smoke says in a few words what was tried in an image.
func smoke(s model.SmokeResult) string {
	if !s.Passed {
		return ", ❌ " + report.Escape(forge.Shorten(firstLine(s.Reason), 300))
	}
	var names []string
	for _, k := range s.Checks {
		if !k.Skipped {
			names = append(names, strings.TrimSpace(k.Name+" "+k.Detail))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; tried out: " + report.Escape(forge.Shorten(strings.Join(names, ", "), 400))
}

func megabytes(n int64) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func (w writer) tests(b *strings.Builder) {
	if len(w.run.Pull.Tests) == 0 {
		return
	}
	b.WriteString("\n| check | result | time |\n|---|---|---|\n")
	for _, t := range w.run.Pull.Tests {
		how := "✅ passed"
		switch {
		case t.Skipped != "":
			how = "— " + report.Escape(t.Skipped)
		case t.Cached:
			how = "✅ passed before on the same content"
		case !t.Passed:
			how = "❌ " + report.Escape(forge.Shorten(firstLine(t.Reason), 300))
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", report.Escape(t.Name), how, took(t.Took))
	}
	for _, t := range w.run.Pull.Tests {
		if !t.Passed && t.Skipped == "" && t.Log != "" {
			folded(b, "log of "+t.Name, t.Log)
		}
	}
}

// foldedLog bounds one quoted log, in characters: its end is kept.
const foldedLog = 6000

// folded quotes a text that a program wrote.
func folded(b *strings.Builder, title, text string) {
	runes := []rune(strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD")))
	if len(runes) > foldedLog {
		runes = append([]rune("…\n"), runes[len(runes)-foldedLog:]...)
	}
	fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n%s\n\n</details>\n", report.Escape(title), fenced(string(runes)))
}

// fenced quotes a text as code, whatever is in it.
func fenced(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + "\n" + text + "\n" + fence
}
