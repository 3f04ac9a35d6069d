package rest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/git"
)

func (c *call) listBranches() error {
	only := c.r.URL.Query().Get("protected")
	list, err := c.branches(func(_ git.Ref, protected bool) bool { return only == "" || (only == "true") == protected })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, cut(c, list))
}

// branchPath answers what is about one branch.
func (c *call) branchPath() error {
	rest, part := c.r.PathValue("rest"), ""
	if name, after, ok := strings.Cut(rest, "/protection/"); ok && c.r.Method == http.MethodGet && slices.Contains(protectionParts, after) {
		rest, part = name+"/protection", after
	}
	name, isProtection := strings.CutSuffix(rest, "/protection")
	if git.CheckBranchName(name) != nil {
		return notFound()
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	id, err := g.Head(c.ctx, name)
	if err != nil {
		return err
	}
	if id == "" && c.r.Method != http.MethodDelete {
		return &httpError{status: http.StatusNotFound, message: "Branch not found"}
	}
	switch {
	case isProtection && c.r.Method == http.MethodGet:
		return c.getProtection(name, part)
	case isProtection && c.r.Method == http.MethodPut:
		return c.putProtection(name)
	case isProtection && c.r.Method == http.MethodDelete:
		return c.deleteProtection(name)
	case c.r.Method != http.MethodGet:
		return notFound()
	}
	d, err := one(c.ctx, g, id)
	if err != nil {
		return err
	}
	commit, err := c.commit(c.ctx, c.repo, d)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	p, err := c.host.Protection(c.ctx, c.repo, name)
	if err != nil {
		return err
	}
	at += "/branches/" + escape(name)
	shown := obj{"enabled": p != nil}
	if p != nil {
		shown = c.protection(at+"/protection", name, p)
	}
	return c.answer(http.StatusOK, obj{
		"name": name, "commit": commit, "protected": p != nil, "protection": shown, "protection_url": at + "/protection",
		"_links": obj{"self": at, "html": c.htmlOf(at)},
	})
}
