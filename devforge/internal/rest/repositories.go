package rest

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

func (a *API) repositoryRoutes() {
	a.handle("GET /user", func(c *call) error { return c.answer(http.StatusOK, c.fullUser(c.who)) })
	a.handle("GET /repos/{owner}/{repo}", func(c *call) error {
		o, err := c.fullRepository(c.ctx, c.repo, c.who)
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, o)
	})
	a.handle("DELETE /repos/{owner}/{repo}", func(c *call) error {
		if err := c.host.DeleteRepository(c.ctx, c.repo, c.who); err != nil {
			return err
		}
		return c.none()
	})
	a.handle("GET /repos/{owner}/{repo}/collaborators/{login}/permission", (*call).permission)
	a.handle("POST /repos/{owner}/{repo}/forks", (*call).fork)
	a.handle("POST /repos/{owner}/{repo}/merge-upstream", (*call).mergeUpstream)
}

var roleNames = map[store.Role]string{authority.Nobody: "none", store.Contributor: "read", store.Reviewer: "write", store.Maintainer: "admin"}

func (c *call) collaborator(u store.Account, role store.Role) obj {
	o := c.user(u)
	o["permissions"], o["role_name"] = permissions(role), roleNames[role]
	return o
}

func (c *call) permission() error {
	u, err := c.store.AccountByLogin(c.ctx, c.r.PathValue("login"))
	if err != nil {
		return err
	}
	role, err := c.host.Role(u, c.repo)
	if err != nil {
		return err
	}
	name := roleNames[role]
	return c.answer(http.StatusOK, obj{"permission": name, "role_name": name, "user": c.collaborator(u, role)})
}

func (c *call) fork() error {
	var in struct {
		Name         string `json:"name"`
		Organization string `json:"organization"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Organization != "" && !strings.EqualFold(in.Organization, c.who.Login) {
		return &httpError{status: http.StatusForbidden, message: "A fork belongs to the account that creates it."}
	}
	fork, err := c.host.Fork(c.ctx, c.repo, c.who, in.Name)
	if err != nil {
		return err
	}
	o, err := c.fullRepository(c.ctx, fork, c.who)
	if err != nil {
		return err
	}
	return c.answer(http.StatusAccepted, o)
}

func (c *call) mergeUpstream() error {
	var in struct {
		Branch string `json:"branch"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	if git.CheckBranchName(in.Branch) != nil {
		return plain("branch is missing or not a valid branch name")
	}
	how, err := c.host.Sync(c.ctx, c.repo, in.Branch, c.who)
	if errors.Is(err, host.ErrInvalid) {
		return plain(err.Error())
	} else if err != nil {
		return err
	}
	parent, err := c.store.Repository(c.ctx, *c.repo.Parent)
	if err != nil {
		return err
	}
	owner, err := c.store.Account(c.ctx, parent.Owner)
	if err != nil {
		return err
	}
	upstream := owner.Login + ":" + in.Branch
	message := map[string]string{
		"none":         "This branch is not behind the upstream " + upstream + ".",
		"fast-forward": "Successfully fetched and fast-forwarded from upstream " + upstream + ".",
		"merge":        "Successfully fetched and merged from upstream " + upstream + ".",
	}[how]
	return c.answer(http.StatusOK, obj{"message": message, "merge_type": how, "base_branch": upstream})
}
