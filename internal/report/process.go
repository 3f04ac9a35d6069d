package report

import (
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// processTitle heads the section about the process; "" when the change leaves
// it alone.
func (v *view) processTitle() string {
	p := v.plan.Process
	if p == nil || len(p.Changes) == 0 && p.Broken == "" {
		return ""
	}
	branch := p.Branch
	if branch == "" {
		branch = "the process branch"
	}
	switch {
	case !p.Decides:
		return fmt.Sprintf("Its changes to the process have no effect here: %s decides", branch)
	case p.Broken != "":
		return "This change breaks the process"
	}
	if n := loosening(p.Changes); n > 0 {
		return fmt.Sprintf("This change alters the process, and %s", loosens(n))
	}
	return "This change alters the process"
}

func loosens(n int) string {
	if n == 1 {
		return "loosens it in one place"
	}
	return fmt.Sprintf("loosens it in %d places", n)
}

func loosening(changes []model.ProcessChange) int {
	n := 0
	for _, c := range changes {
		if c.Loosens {
			n++
		}
	}
	return n
}

// processLines are the changes of the process, the loosening ones first.
func (v *view) processLines() []model.ProcessChange {
	var first, others []model.ProcessChange
	p := v.plan.Process
	if p.Broken != "" {
		first = append(first, model.ProcessChange{Words: p.Broken, Loosens: p.Decides})
	}
	for _, c := range p.Changes {
		if c.Loosens {
			first = append(first, c)
		} else {
			others = append(others, c)
		}
	}
	return append(first, others...)
}

// processNote says what has to happen before it may be merged; "" for nothing.
func (v *view) processNote() string {
	p := v.plan.Process
	switch {
	case !p.Decides:
		return ""
	case p.Broken != "":
		return "Once merged, nothing would be deployed anywhere until the process is fixed."
	}
	return "Once merged, it applies to every branch. A maintainer has to approve this very commit."
}

// maxProcess bounds the changes of the process that are listed.
const maxProcess = 40

func (t *text) process() {
	title := t.processTitle()
	if title == "" {
		return
	}
	t.b.WriteString(t.paint(bold, clean(title)) + "\n")
	lines := t.processLines()
	for i, c := range lines {
		if i == maxProcess {
			t.more(2, len(lines)-i, "change")
			break
		}
		mark, code := "  alters  ", yellow
		if c.Loosens {
			mark, code = "  loosens ", red
		}
		where := ""
		if c.Path != "" {
			where = " (" + c.Path + ")"
		}
		t.put(t.paint(code, mark), 10, "", c.Words+where)
	}
	if note := t.processNote(); note != "" {
		t.put("  ", 2, "", note)
	}
	t.b.WriteString("\n")
}

func (m *markdown) process() string {
	title := m.processTitle()
	if title == "" {
		return ""
	}
	var b strings.Builder
	mark := "⚠️"
	if !m.plan.Process.Decides {
		mark = "ℹ️"
	}
	fmt.Fprintf(&b, "#### %s %s\n\n", mark, Escape(title))
	lines := m.processLines()
	for i, c := range lines {
		if i == maxProcess {
			b.WriteString(mdMore(len(lines)-i, "change"))
			break
		}
		b.WriteString("- ")
		if c.Loosens {
			b.WriteString("🔴 **loosens**: ")
		}
		b.WriteString(Escape(c.Words))
		if c.Path != "" {
			b.WriteString(" (" + Code(c.Path) + ")")
		}
		b.WriteString("\n")
	}
	if note := m.processNote(); note != "" {
		b.WriteString("\n" + note + "\n")
	}
	return b.String() + "\n"
}
