package pages

import (
	"cmp"
	"html/template"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/devforge/internal/store"
)

// Bounds of the threads that a page shows.
const (
	maxThreadPages = 10 // of a hundred comments
	shownHunk      = 6  // lines of the diff above what is said
)

// thread is what people say of a line of a change, oldest first.
type thread struct {
	ID    int64 // of its first comment
	Path  string
	Side  string
	Line  int // in the change as it is now; 0 when the file changed since
	Was   int // when it was written
	Hunk  string
	Said  []said
	Forms *lineForms // nil where nothing can be said
}

// said is one comment of a thread.
type said struct {
	ID     int64
	Who    string
	At     time.Time
	Edited bool
	Body   template.HTML
}

// lineForms is what forms about lines need.
type lineForms struct{ At, Form, Head string }

// threads are those of a pull request, by their first comments.
func (v *visit) threads(number int) ([]*thread, error) {
	var all []*thread
	first := map[int64]*thread{}
	opts := &gh.PullRequestListCommentsOptions{ListOptions: gh.ListOptions{PerPage: 100}}
	for range maxThreadPages {
		list, resp, err := v.api.PullRequests.ListComments(v.ctx, v.owner, v.name, number, opts)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			t := first[c.GetInReplyTo()]
			if t == nil {
				t = &thread{ID: c.GetID(), Path: c.GetPath(), Side: c.GetSide(), Line: c.GetLine(), Was: c.GetOriginalLine(), Hunk: lastLines(c.GetDiffHunk(), shownHunk)}
				first[t.ID] = t
				all = append(all, t)
			}
			t.Said = append(t.Said, said{ID: c.GetID(), Who: c.GetUser().GetLogin(), At: c.GetCreatedAt().Time, Body: v.markdown(c.GetBody()),
				Edited: c.GetUpdatedAt().Sub(c.GetCreatedAt().Time) > time.Minute})
		}
		if opts.Page = resp.NextPage; opts.Page == 0 {
			break
		}
	}
	return all, nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// talked puts threads beside the lines that they are about, or at the top of the
// file when the line is not shown; it returns those of files that the change
// does not have any more.
func talked(files []fileDiff, threads []*thread, forms *lineForms) (rest []*thread) {
	at := map[string]*fileDiff{}
	for i := range files {
		files[i].Forms = forms
		at[files[i].Path] = &files[i]
	}
	for _, t := range threads {
		t.Forms = forms
		f := at[t.Path]
		if f == nil {
			rest = append(rest, t)
			continue
		}
		f.Folded = false
		if r := f.row(t.Side, t.Line); r != nil {
			r.Threads = append(r.Threads, t)
		} else {
			f.Threads = append(f.Threads, t)
		}
	}
	return rest
}

// write opens the form beside a line: L12 is line 12 before the change, R12
// after it.
func write(files []fileDiff, path, where string) {
	side := store.Right
	if strings.HasPrefix(where, "L") {
		side = store.Left
	}
	line, err := strconv.Atoi(strings.TrimLeft(where, "LR"))
	if err != nil {
		return
	}
	for i := range files {
		if f := &files[i]; f.Path == path {
			if r := f.row(side, line); r != nil {
				r.Write, f.Folded = side, false
			}
		}
	}
}

// sayOfLine writes a comment on a line, or a reply to one, and says which it is.
func (v *visit) sayOfLine(number int, body, head string) (int64, error) {
	f := v.r.PostForm
	if to, err := strconv.ParseInt(f.Get("to"), 10, 64); err == nil {
		c, _, err := v.api.PullRequests.CreateCommentInReplyTo(v.ctx, v.owner, v.name, number, body, to)
		return cmp.Or(c.GetInReplyTo(), c.GetID()), err
	}
	path, side := f.Get("path"), f.Get("side")
	line, err := strconv.Atoi(f.Get("line"))
	if err != nil {
		return 0, store.ErrNotFound
	}
	c, _, err := v.api.PullRequests.CreateComment(v.ctx, v.owner, v.name, number, &gh.PullRequestComment{Body: &body, CommitID: &head, Path: &path, Side: &side, Line: &line})
	return c.GetID(), err
}
