package rest

import (
	"net/http"
	"strings"

	"github.com/hubship/hubship/internal/git"
)

func (c *call) listBranches() error {
	g, err := c.git()
	if err != nil {
		return err
	}
	refs, err := g.Refs(c.ctx, "refs/heads/")
	if err != nil {
		return err
	}
	rules, err := c.store.Protections(c.ctx, c.repo.ID)
	if err != nil {
		return err
	}
	protected := map[string]bool{}
	for _, p := range rules {
		protected[p.Branch] = true
	}
	return showPage(c, refs, func(at string, ref git.Ref) (obj, error) {
		name := strings.TrimPrefix(ref.Name, "refs/heads/")
		return obj{"name": name, "commit": obj{"sha": ref.ID, "url": at + "/commits/" + ref.ID}, "protected": protected[name]}, nil
	})
}

// branchPath answers what is about one branch.
func (c *call) branchPath() error {
	name, isProtection := strings.CutSuffix(c.r.PathValue("rest"), "/protection")
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
		return c.getProtection(name)
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
	return c.answer(http.StatusOK, obj{
		"name": name, "commit": commit, "protected": p != nil, "protection": obj{"enabled": p != nil}, "protection_url": at + "/protection",
		"_links": obj{"self": at, "html": c.htmlOf(at)},
	})
}
