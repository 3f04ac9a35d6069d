package rest

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/git"
)

func (a *API) repositoryRoutes() {
	a.handle("GET /{$}", store.ScopeRead, func(c *call) error {
		return c.answer(http.StatusOK, obj{"current_user_url": c.opts.URL + "/user", "rate_limit_url": c.opts.URL + "/rate_limit",
			"repository_url": c.opts.URL + "/repos/{owner}/{repo}", "user_url": c.opts.URL + "/users/{user}"})
	})
	a.handle("GET /meta", store.ScopeRead, func(c *call) error {
		return c.answer(http.StatusOK, obj{"verifiable_password_authentication": false})
	})
	a.handle("GET /user", store.ScopeRead, func(c *call) error { return c.answer(http.StatusOK, c.fullUser(c.who)) })
	a.handle("GET /users/{login}", store.ScopeRead, func(c *call) error {
		u, err := c.store.AccountByLogin(c.ctx, c.r.PathValue("login"))
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, c.fullUser(u))
	})
	a.handle("GET /rate_limit", store.ScopeRead, func(c *call) error {
		core := c.limit.object(c.who.ID)
		return c.answer(http.StatusOK, obj{"resources": obj{"core": core, "search": core}, "rate": core})
	})
	a.handle("GET /user/repos", store.ScopeRead, (*call).listRepositories)
	a.handle("GET /repos/{owner}/{repo}", store.ScopeRead, func(c *call) error {
		o, err := c.fullRepository(c.ctx, c.repo, c.who)
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, o)
	})
	a.handle("DELETE /repos/{owner}/{repo}", store.ScopeRepo, func(c *call) error {
		if err := c.host.DeleteRepository(c.ctx, c.repo, c.who); err != nil {
			return err
		}
		return c.none()
	})
	a.handle("GET /repos/{owner}/{repo}/collaborators/{login}/permission", store.ScopeRead, (*call).permission)
	a.handle("GET /repos/{owner}/{repo}/forks", store.ScopeRead, (*call).listForks)
	a.handle("POST /repos/{owner}/{repo}/forks", store.ScopeRepo, (*call).fork)
	a.handle("POST /repos/{owner}/{repo}/merge-upstream", store.ScopeRepo, (*call).mergeUpstream)
}

func (c *call) listRepositories() error {
	all, err := c.store.Repositories(c.ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r store.Repository) bool {
		role, roleErr := c.host.Role(c.who, r)
		err = errors.Join(err, roleErr)
		return !host.Writes(role)
	})
	if err != nil {
		return err
	}
	list, err := each(cut(c, all), func(r store.Repository) (obj, error) { return c.repository(c.ctx, r) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
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
	name := map[store.Role]string{store.Contributor: "read", store.Reviewer: "write", store.Maintainer: "admin"}[role]
	user := c.user(u)
	user["permissions"], user["role_name"] = permissions(role), name
	return c.answer(http.StatusOK, obj{"permission": name, "role_name": name, "user": user})
}

func (c *call) listForks() error {
	forks, err := c.store.Forks(c.ctx, c.repo.ID)
	if err != nil {
		return err
	}
	list, err := each(cut(c, forks), func(r store.Repository) (obj, error) { return c.repository(c.ctx, r) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
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
		return &httpError{status: http.StatusForbidden, message: "Forks belong to those who make them."}
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
		return plain("branch is missing, or no name of a branch")
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
