package pages

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/assets"
)

// functions are what templates use beside Go's own.
func (p *pages) functions() template.FuncMap {
	return template.FuncMap{
		"asset": func(name string) string { return assets.URL(p.base.Path+"/-/assets", name) },
		"short": short, "ago": ago, "machine": machine, "stamp": stamp, "escape": escaped, "tone": tone,
		"subject": subject, "plural": plural, "author": author,
		"add":    func(a, b int) int { return a + b },
		"states": func() []string { return []string{"open", "closed", "all"} },
		"pair":   func(s shown, commits []*gh.RepositoryCommit) commitList { return commitList{s.Repo, commits} },
	}
}

// commitList is what the list of commits needs.
type commitList struct {
	Repo    string
	Commits []*gh.RepositoryCommit
}

func short(sha string) string { return sha[:min(len(sha), 10)] }

func subject(message string) string {
	first, _, _ := strings.Cut(message, "\n")
	return first
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// moment is any of the times that are shown.
func moment(t any) time.Time {
	switch t := t.(type) {
	case time.Time:
		return t
	case gh.Timestamp:
		return t.Time
	case *gh.Timestamp:
		if t != nil {
			return t.Time
		}
	case store.Time:
		return t.Time
	}
	return time.Time{}
}

func ago(t any) string {
	switch d := time.Since(moment(t)); {
	case moment(t).IsZero():
		return "never"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return plural(int(d.Minutes()), "minute") + " ago"
	case d < 24*time.Hour:
		return plural(int(d.Hours()), "hour") + " ago"
	case d < 30*24*time.Hour:
		return plural(int(d.Hours()/24), "day") + " ago"
	}
	return moment(t).UTC().Format("2 Jan 2006")
}

func machine(t any) string { return moment(t).UTC().Format(time.RFC3339) }
func stamp(t any) string   { return moment(t).UTC().Format("2006-01-02 15:04:05 UTC") }

// tone is the colour of a state.
func tone(state any) string {
	switch fmt.Sprint(state) {
	case "success", "approved", "open", "clean":
		return "good"
	case "failure", "error", "timed out", "changes", "dirty":
		return "bad"
	case "warning", "action required":
		return "warn"
	case "pending", "in progress", "queued":
		return "busy"
	case "merged":
		return "gone"
	}
	return ""
}

// author is the account of a commit's author, or the name within the commit.
func author(c *gh.RepositoryCommit) string {
	if c.GetAuthor().GetLogin() != "" {
		return c.GetAuthor().GetLogin()
	}
	return c.GetCommit().GetAuthor().GetName()
}
