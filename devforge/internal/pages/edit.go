package pages

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"unicode/utf8"

	gh "github.com/google/go-github/v89/github"
)

// editData is a file that somebody changes in the browser.
type editData struct {
	ref
	Crumbs []crumb
	Text   string
	SHA    string // of what was opened, so that nobody's change is lost
	Branch string // that the change goes to
	Title  string
}

// text reads a file that a page can show as text.
func (v *visit) text(at ref) (text, sha string, err error) {
	f, _, _, err := v.api.Repositories.GetContents(v.ctx, v.owner, v.name, at.Path, &gh.RepositoryContentGetOptions{Ref: at.Ref})
	if err != nil {
		return "", "", err
	}
	if f == nil || f.GetType() != "file" {
		return "", "", refuse(http.StatusUnprocessableEntity, at.Path+" is not a file.", "")
	}
	text, err = f.GetContent()
	if err != nil || f.GetSize() > maxFile || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		return "", "", refuse(http.StatusUnprocessableEntity, at.Path+" is binary or too large to edit here.", "edit it in a clone")
	}
	return text, f.GetSHA(), nil
}

// edit is the page to change a file on. The change goes to a branch of its own,
// and from there by pull request.
func (v *visit) edit() (view, error) {
	at, err := v.split(v.r.PathValue("path"))
	if err != nil {
		return view{}, err
	}
	if !v.writes {
		return view{}, refuse(http.StatusForbidden, "You cannot write to this repository.", "fork it and edit the file there")
	}
	d := editData{ref: at, Crumbs: crumbs(at.Path), Title: "Update " + path.Base(at.Path)}
	if d.Text, d.SHA, err = v.text(at); err != nil {
		return view{}, err
	}
	if d.Branch, err = v.freeBranch(at.Ref); err != nil {
		return view{}, err
	}
	return view{Page: "edit", Title: "Edit " + at.Path, Tab: "files", Data: d}, nil
}

// freeBranch is where a change of a branch goes by itself: to a new branch,
// unless the branch was made for changes.
func (v *visit) freeBranch(from string) (string, error) {
	above := v.repo
	if v.repo.Parent != nil {
		// What is protected there is followed in a fork, not changed.
		var err error
		if above, err = v.o.Host.Store.Repository(v.ctx, *v.repo.Parent); err != nil {
			return "", err
		}
	}
	rules, err := v.o.Host.Protection(v.ctx, above, from)
	if err != nil {
		return "", err
	}
	names, err := v.branchNames()
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, n := range names {
		taken[n] = true
	}
	if taken[from] && rules == nil && from != v.repo.DefaultBranch {
		return from, nil
	}
	for i := 1; ; i++ {
		if name := fmt.Sprintf("%s-patch-%d", v.who.Login, i); !taken[name] {
			return name, nil
		}
	}
}

// save commits what somebody wrote, and leads to the pull request that it is
// for.
func (v *visit) save() (view, error) {
	at, err := v.split(v.r.PathValue("path"))
	if err != nil {
		return view{}, err
	}
	f := v.r.PostForm
	before, _, err := v.text(at)
	if err != nil {
		return view{}, err
	}
	// A form sends every line end as CR LF.
	text := strings.ReplaceAll(f.Get("text"), "\r\n", "\n")
	if strings.HasSuffix(before, "\n") && text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if strings.Contains(before, "\r\n") {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	branch, message, sha := strings.TrimSpace(f.Get("branch")), strings.TrimSpace(f.Get("message")), f.Get("sha")
	switch {
	case text == before:
		return view{}, refuse(http.StatusUnprocessableEntity, "Nothing was changed.", "go back and change something")
	case branch == "" || message == "":
		return view{}, refuse(http.StatusUnprocessableEntity, "A change needs a branch and a commit message.", "")
	}
	if branch != at.Ref {
		head, _, err := v.api.Repositories.GetBranch(v.ctx, v.owner, v.name, at.Ref, 0)
		if err != nil {
			return view{}, err
		}
		_, _, err = v.api.Git.CreateRef(v.ctx, v.owner, v.name, gh.CreateRef{Ref: "refs/heads/" + branch, SHA: head.GetCommit().GetSHA()})
		var refused *gh.ErrorResponse
		if errors.As(err, &refused) && refused.Response.StatusCode == http.StatusUnprocessableEntity {
			return view{}, refuse(http.StatusUnprocessableEntity, fmt.Sprintf("The branch %s cannot be created: %s", branch, refused.Message), "choose another name")
		}
		if err != nil {
			return view{}, err
		}
	}
	if _, _, err := v.api.Repositories.UpdateFile(v.ctx, v.owner, v.name, at.Path, &gh.RepositoryContentFileOptions{Message: &message, Content: []byte(text), SHA: &sha, Branch: &branch}); err != nil {
		return view{}, err
	}
	base, head, to := v.path(), branch, v.repo.DefaultBranch
	if v.repo.Parent != nil {
		parent, err := v.o.Host.Store.Repository(v.ctx, *v.repo.Parent)
		if err != nil {
			return view{}, err
		}
		base, head, to = v.base.Path+"/"+v.fullName(v.ctx, parent.ID), v.owner+":"+branch, parent.DefaultBranch
	}
	return view{Goto: base + "/compare/" + escaped(to) + "..." + escaped(head)}, nil
}
