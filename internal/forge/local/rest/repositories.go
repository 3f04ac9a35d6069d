package rest

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge/local/authority"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/git"
)

// rootURLs are what the API begins with. As GitHub describes it all are there,
// also those that lead to nothing here.
var rootURLs = map[string]string{
	"current_user_url": "/user", "current_user_authorizations_html_url": "/settings/connections/applications{/client_id}", "authorizations_url": "/authorizations",
	"code_search_url": "/search/code?q={query}{&page,per_page,sort,order}", "commit_search_url": "/search/commits?q={query}{&page,per_page,sort,order}",
	"emails_url": "/user/emails", "emojis_url": "/emojis", "events_url": "/events", "feeds_url": "/feeds", "followers_url": "/user/followers",
	"following_url": "/user/following{/target}", "gists_url": "/gists{/gist_id}", "issue_search_url": "/search/issues?q={query}{&page,per_page,sort,order}",
	"issues_url": "/issues", "keys_url": "/user/keys", "label_search_url": "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}",
	"notifications_url": "/notifications", "organization_url": "/orgs/{org}", "organization_repositories_url": "/orgs/{org}/repos{?type,page,per_page,sort}",
	"organization_teams_url": "/orgs/{org}/teams", "public_gists_url": "/gists/public", "rate_limit_url": "/rate_limit", "repository_url": "/repos/{owner}/{repo}",
	"repository_search_url": "/search/repositories?q={query}{&page,per_page,sort,order}", "current_user_repositories_url": "/user/repos{?type,page,per_page,sort}",
	"starred_url": "/user/starred{/owner}{/repo}", "starred_gists_url": "/gists/starred", "user_url": "/users/{user}", "user_organizations_url": "/user/orgs",
	"user_repositories_url": "/users/{user}/repos{?type,page,per_page,sort}", "user_search_url": "/search/users?q={query}{&page,per_page,sort,order}",
}

func (a *API) repositoryRoutes() {
	a.handle("GET /{$}", func(c *call) error {
		o := obj{}
		for name, path := range rootURLs {
			o[name] = c.opts.URL + path
		}
		return c.answer(http.StatusOK, o)
	})
	a.handle("GET /meta", func(c *call) error {
		return c.answer(http.StatusOK, obj{"verifiable_password_authentication": false})
	})
	a.handle("GET /user", func(c *call) error { return c.answer(http.StatusOK, c.fullUser(c.who)) })
	a.handle("GET /users/{login}", func(c *call) error {
		u, err := c.store.AccountByLogin(c.ctx, c.r.PathValue("login"))
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, c.fullUser(u))
	})
	a.handle("GET /rate_limit", func(c *call) error {
		core := c.limit.object(c.who.ID)
		return c.answer(http.StatusOK, obj{"resources": obj{"core": core, "search": core}, "rate": core})
	})
	a.handle("GET /user/repos", func(c *call) error {
		return c.listRepositories(func(r store.Repository) (bool, error) {
			role, err := c.host.Role(c.who, r)
			return host.Writes(role), err
		})
	})
	for _, kind := range []string{"users", "orgs"} {
		a.handle("GET /"+kind+"/{login}/repos", func(c *call) error {
			u, err := c.store.AccountByLogin(c.ctx, c.r.PathValue("login"))
			if err != nil {
				return err
			}
			return c.listRepositories(func(r store.Repository) (bool, error) { return r.Owner == u.ID, nil })
		})
	}
	a.handle("GET /repos/{owner}/{repo}/collaborators", (*call).listCollaborators)
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
	a.handle("GET /repos/{owner}/{repo}/forks", (*call).listForks)
	a.handle("POST /repos/{owner}/{repo}/forks", (*call).fork)
	a.handle("POST /repos/{owner}/{repo}/merge-upstream", (*call).mergeUpstream)
}

// listCollaborators lists those who may write.
func (c *call) listCollaborators() error {
	all, err := c.store.Accounts(c.ctx)
	if err != nil {
		return err
	}
	writers := []obj{}
	for _, u := range all {
		role, err := c.host.Role(u, c.repo)
		if err != nil {
			return err
		}
		if host.Writes(role) && u.Kind == store.User && !u.Disabled {
			writers = append(writers, c.collaborator(u, role))
		}
	}
	return c.answer(http.StatusOK, cut(c, writers))
}

var roleNames = map[store.Role]string{authority.Nobody: "none", store.Contributor: "read", store.Reviewer: "write", store.Maintainer: "admin"}

func (c *call) collaborator(u store.Account, role store.Role) obj {
	o := c.user(u)
	o["permissions"], o["role_name"] = permissions(role), roleNames[role]
	return o
}

// listRepositories lists those that are wanted.
func (c *call) listRepositories(wanted func(store.Repository) (bool, error)) error {
	all, err := c.store.Repositories(c.ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r store.Repository) bool {
		ok, wantErr := wanted(r)
		err = errors.Join(err, wantErr)
		return !ok
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
	name := roleNames[role]
	return c.answer(http.StatusOK, obj{"permission": name, "role_name": name, "user": c.collaborator(u, role)})
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
