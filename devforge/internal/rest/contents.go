package rest

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/internal/git"
)

// maxContent bounds a file that contents shows, in bytes, as GitHub does.
const maxContent = 1 << 20

// contents answers with a file or a folder of the commit that the query's ref
// names, or else of the default branch.
func (c *call) contents() error {
	rev := cmp.Or(c.r.URL.Query().Get("ref"), c.repo.DefaultBranch)
	g, err := c.git()
	if err != nil {
		return err
	}
	id, err := c.resolve(g, rev)
	if err != nil {
		return err
	}
	tree, err := g.Tree(c.ctx, id)
	if err != nil {
		return err
	}
	e, ok := tree.Lookup(cmp.Or(strings.Trim(c.r.PathValue("path"), "/"), "."))
	if !ok {
		return notFound()
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	if e.IsDir() {
		list := []obj{}
		err := tree.Below(e.Path, func(below git.Entry) error {
			if strings.Contains(strings.TrimPrefix(strings.TrimPrefix(below.Path, strings.TrimPrefix(e.Path, ".")), "/"), "/") {
				return nil
			}
			list = append(list, c.entry(at, rev, below))
			return nil
		})
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, list)
	}
	if e.Mode != git.ModeFile && e.Mode != git.ModeExecutable {
		return notFound()
	}
	data, err := g.Blob(c.ctx, e.ID)
	if err != nil {
		return err
	}
	if len(data) > maxContent {
		return &httpError{status: http.StatusForbidden, message: fmt.Sprintf("This API returns blobs up to 1 MB in size; this one has %d bytes.", len(data))}
	}
	o := c.entry(at, rev, e)
	o["size"], o["encoding"], o["content"] = len(data), "base64", base64.StdEncoding.EncodeToString(data)
	return c.answer(http.StatusOK, o)
}

func (c *call) entry(at, rev string, e git.Entry) obj {
	kind, plural := "file", "blobs"
	switch e.Mode {
	case git.ModeDir:
		kind, plural = "dir", "trees"
	case git.ModeSymlink:
		kind = "symlink"
	case git.ModeSubmodule:
		kind, plural = "submodule", "trees"
	}
	self := at + "/contents/" + escape(e.Path) + "?ref=" + url.QueryEscape(rev)
	object := at + "/git/" + plural + "/" + e.ID
	html := c.htmlOf(at) + "/blob/" + escape(rev) + "/" + escape(e.Path)
	return obj{"type": kind, "size": 0, "name": e.Name(), "path": e.Path, "sha": e.ID, "url": self, "git_url": object, "html_url": html, "download_url": nil,
		"_links": obj{"self": self, "git": object, "html": html}}
}

type contentsInput struct {
	Message string  `json:"message"`
	Content *string `json:"content"` // base64
	SHA     string  `json:"sha"`     // of the content that is replaced or removed
	Branch  string  `json:"branch"`
	Author  *person `json:"author"`
	Comm    *person `json:"committer"`
}

type person struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// author is who a commit is by; nobody for the account itself.
func (in contentsInput) author() (git.Identity, error) {
	p := in.Author
	if p == nil {
		p = in.Comm
	}
	if p == nil {
		return git.Identity{}, nil
	}
	if badName(p.Name) || badName(p.Email) || strings.ContainsAny(p.Name+p.Email, "<>") {
		return git.Identity{}, invalid("Commit", "author", "invalid", "")
	}
	return git.Identity{Name: p.Name, Email: p.Email}, nil
}

// file is one file at the branch that a request changes.
type file struct {
	in   contentsInput
	name string
	head string // of the branch; empty if that is new
	blob string // of the file; empty if there is none
}

func (c *call) fileToChange(g *git.Repo) (file, error) {
	f := file{name: c.r.PathValue("path")}
	if err := c.read(&f.in); err != nil {
		return f, err
	}
	if f.in.Branch = strings.TrimPrefix(f.in.Branch, "refs/heads/"); f.in.Branch == "" {
		f.in.Branch = c.repo.DefaultBranch
	}
	switch {
	case strings.TrimSpace(f.in.Message) == "":
		return f, invalid("Commit", "message", "missing_field", "")
	case len(f.in.Message) > host.MaxBody:
		return f, invalid("Commit", "message", "invalid", "")
	case git.CheckBranchName(f.in.Branch) != nil:
		return f, &httpError{status: http.StatusNotFound, message: "Branch not found"}
	case !fs.ValidPath(f.name) || f.name == "." || strings.ContainsRune(f.name, 0) || slices.ContainsFunc(strings.Split(f.name, "/"), isGitFolder):
		return f, plain("path is not a valid file path")
	}
	var err error
	if f.head, err = g.Head(c.ctx, f.in.Branch); err != nil {
		return f, err
	}
	if f.head == "" {
		if all, err := g.Branches(c.ctx); err != nil || len(all) > 0 || f.in.Branch != c.repo.DefaultBranch {
			return f, errors.Join(err, &httpError{status: http.StatusNotFound, message: "Branch " + f.in.Branch + " not found"})
		}
		return f, nil // the first commit of all
	}
	tree, err := g.Tree(c.ctx, f.head)
	if err != nil {
		return f, err
	}
	e, ok := tree.Lookup(f.name)
	if ok && e.Mode != git.ModeFile {
		return f, plain(f.name + " is not a regular file: change it in a clone")
	}
	for dir := path.Dir(f.name); dir != "."; dir = path.Dir(dir) {
		if e, ok := tree.Lookup(dir); ok && !e.IsDir() {
			return f, plain(dir + " is not a folder")
		}
	}
	if ok {
		f.blob = e.ID
	}
	if f.blob != f.in.SHA && f.in.SHA != "" {
		return f, &httpError{status: http.StatusConflict, message: f.name + " does not match " + f.in.SHA}
	}
	return f, nil
}

func (c *call) putContents() error {
	g, err := c.git()
	if err != nil {
		return err
	}
	f, err := c.fileToChange(g)
	if err != nil {
		return err
	}
	if f.in.Content == nil {
		return invalid("Commit", "content", "missing_field", "")
	}
	if f.blob != "" && f.in.SHA == "" {
		return plain("Invalid request.\n\n\"sha\" wasn't supplied.")
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(*f.in.Content), ""))
	if err != nil {
		return plain("content is not valid Base64")
	}
	author, err := f.in.author()
	if err != nil {
		return err
	}
	id, err := c.host.Commit(c.ctx, c.repo, c.who, host.NewCommit{Branch: f.in.Branch, Head: f.head, Files: map[string][]byte{f.name: append([]byte{}, data...)}, Message: f.in.Message, Author: author})
	if err != nil {
		return err
	}
	return c.answerCommit(g, f, id, len(data))
}

// isGitFolder says whether a name in a tree is Git's own folder to some machine
// that checks it out: case does not count everywhere, nor do dots and spaces at
// the end, characters that are not seen, or what follows a colon.
func isGitFolder(name string) bool {
	name, _, _ = strings.Cut(name, ":")
	name = strings.ToLower(strings.TrimRight(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, name), ". "))
	return name == ".git" || name == "git~1"
}

// answerCommit answers with a commit that wrote a file of so many bytes.
func (c *call) answerCommit(g *git.Repo, f file, id string, size int) error {
	d, err := one(c.ctx, g, id)
	if err != nil {
		return err
	}
	tree, err := g.Tree(c.ctx, id)
	if err != nil {
		return err
	}
	e, ok := tree.Lookup(f.name)
	if !ok {
		return fmt.Errorf("commit %s does not have the file that it adds", id)
	}
	status := http.StatusOK
	if f.blob == "" {
		status = http.StatusCreated
	}
	return c.show(status, func(at string) (obj, error) {
		content := c.entry(at, f.in.Branch, e)
		content["size"], content["download_url"] = size, c.htmlOf(at)+"/raw/"+escape(f.in.Branch)+"/"+escape(f.name)
		return obj{"content": content, "commit": c.gitCommit(at, d)}, nil
	})
}

// gitCommit renders a commit as Git has it.
func (a *API) gitCommit(at string, d git.Detail) obj {
	parents := []obj{}
	for _, p := range d.Parents {
		parents = append(parents, obj{"sha": p, "url": at + "/git/commits/" + p, "html_url": a.htmlOf(at) + "/commit/" + p})
	}
	return obj{
		"sha": d.ID, "node_id": nodeID("Commit", d.ID), "url": at + "/git/commits/" + d.ID, "html_url": a.htmlOf(at) + "/commit/" + d.ID,
		"author": signature(d.Author), "committer": signature(d.Committer), "message": d.Message, "parents": parents,
		"tree": obj{"sha": d.Tree, "url": at + "/git/trees/" + d.Tree}, "verification": unsigned(),
	}
}
