package pages

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/assets"
	"github.com/hubship/hubship/internal/forge/local/store"
)

// functions are what templates use beside Go's own.
func (p *pages) functions() template.FuncMap {
	return template.FuncMap{
		"asset": func(name string) string { return assets.URL(p.base.Path+"/-/assets", name) },
		"short": short, "ago": ago, "machine": machine, "stamp": stamp, "escape": escaped, "tone": tone,
		"subject": subject, "plural": plural, "took": took, "author": author, "plain": plain, "megabytes": megabytes,
		"runURL": func(id string) string { return call(p.o.RunURL, id) }, "planURL": func(id string) string { return call(p.o.PlanURL, id) },
		"clock":  func(t time.Time) string { return t.UTC().Format("15:04:05") },
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

func call(f func(string) string, id string) string {
	if f == nil {
		return ""
	}
	return f(id)
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
	case "success", "passed", "approved", "open", "done", "clean":
		return "good"
	case "failure", "error", "failed", "changes", "refused", "dirty":
		return "bad"
	case "warning":
		return "warn"
	case "pending", "running", "queued", "waiting":
		return "busy"
	case "merged":
		return "gone"
	}
	return ""
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

func megabytes(n int64) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// author is the account of a commit's author, or the name within the commit.
func author(c *gh.RepositoryCommit) string {
	if c.GetAuthor().GetLogin() != "" {
		return c.GetAuthor().GetLogin()
	}
	return c.GetCommit().GetAuthor().GetName()
}

// codes are what terminals understand and pages do not.
var codes = regexp.MustCompile(`\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])|[\x00-\x08\x0a-\x1f\x7f]`)

func plain(text string) string { return codes.ReplaceAllString(text, "") }
