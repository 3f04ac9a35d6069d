package rest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hubship/hubship/internal/git"
)

// maxContent bounds a file that contents shows, in bytes, as GitHub does.
const maxContent = 1 << 20

func (c *call) contents() error {
	rev := c.r.URL.Query().Get("ref")
	if rev == "" {
		rev = c.repo.DefaultBranch
	}
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
	name := strings.Trim(c.r.PathValue("path"), "/")
	e, ok := tree.Lookup(name)
	if name == "" {
		e, ok = tree.Lookup(".")
	}
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
