package rest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/store"
)

// obj is a JSON object. The answers have far more fields than the program has
// values: most are addresses made from a few.
type obj = map[string]any

func nodeID(kind string, id any) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%v", kind, id))
}

// stamp renders a time; none is null.
func stamp(t store.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// orNull renders a text; an empty one is null.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (a *API) user(u store.Account) obj {
	at := a.opts.URL + "/users/" + u.Login
	return obj{
		"login": u.Login, "id": u.ID, "node_id": nodeID("User", u.ID), "avatar_url": a.opts.WebURL + "/avatars/" + u.Login, "gravatar_id": "",
		"url": at, "html_url": a.opts.WebURL + "/" + u.Login, "followers_url": at + "/followers",
		"following_url": at + "/following{/other_user}", "gists_url": at + "/gists{/gist_id}", "starred_url": at + "/starred{/owner}{/repo}",
		"subscriptions_url": at + "/subscriptions", "organizations_url": at + "/orgs", "repos_url": at + "/repos",
		"events_url": at + "/events{/privacy}", "received_events_url": at + "/received_events", "type": u.Kind, "site_admin": false,
	}
}

// userByID renders an account; nil is null.
func (a *API) userByID(ctx context.Context, id *int64) (any, error) {
	if id == nil {
		return nil, nil
	}
	u, err := a.account(ctx, *id)
	if err != nil {
		return nil, err
	}
	return a.user(u), nil
}

func (a *API) fullUser(u store.Account) obj {
	o := a.user(u)
	for _, name := range []string{"bio", "company", "location", "hireable", "twitter_username"} {
		o[name] = nil
	}
	for _, name := range []string{"followers", "following", "public_gists", "public_repos"} {
		o[name] = 0
	}
	o["name"], o["email"], o["blog"] = u.Name, u.Email, ""
	o["created_at"], o["updated_at"] = stamp(u.Created), stamp(u.Created)
	return o
}

// repositoryURLs are the addresses in a repository, below its own.
var repositoryURLs = map[string]string{
	"archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}", "branches_url": "/branches{/branch}",
	"collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}", "commits_url": "/commits{/sha}",
	"compare_url": "/compare/{base}...{head}", "contents_url": "/contents/{+path}", "contributors_url": "/contributors", "deployments_url": "/deployments",
	"downloads_url": "/downloads", "events_url": "/events", "forks_url": "/forks", "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}",
	"git_tags_url": "/git/tags{/sha}", "hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
	"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}", "languages_url": "/languages", "merges_url": "/merges",
	"milestones_url": "/milestones{/number}", "notifications_url": "/notifications{?since,all,participating}", "pulls_url": "/pulls{/number}",
	"releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}", "subscribers_url": "/subscribers",
	"subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams", "trees_url": "/git/trees{/sha}",
}

// place is a repository's address in the API.
func (a *API) place(owner store.Account, r store.Repository) string {
	return a.opts.URL + "/repos/" + owner.Login + "/" + r.Name
}

func (a *API) placeOf(ctx context.Context, r store.Repository) (string, error) {
	owner, err := a.account(ctx, r.Owner)
	return a.place(owner, r), err
}

// repository renders a repository, with all that any of GitHub's forms of one
// requires.
func (a *API) repository(ctx context.Context, r store.Repository) (obj, error) {
	return once(ctx, func(m *memo) map[int64]obj { return m.repositories }, r.ID, func() (obj, error) { return a.renderRepository(ctx, r) })
}

func (a *API) renderRepository(ctx context.Context, r store.Repository) (obj, error) {
	owner, err := a.account(ctx, r.Owner)
	if err != nil {
		return nil, err
	}
	forks, err := a.store.Forks(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	_, open, err := a.store.Pulls(ctx, store.PullFilter{Repository: r.ID, State: "open", Limit: 1})
	if err != nil {
		return nil, err
	}
	at := a.place(owner, r)
	html := a.opts.WebURL + "/" + owner.Login + "/" + r.Name
	clone := a.opts.GitURL + "/" + owner.Login + "/" + r.Name + ".git"
	o := obj{
		"id": r.ID, "node_id": nodeID("Repository", r.ID), "name": r.Name, "full_name": owner.Login + "/" + r.Name, "owner": a.user(owner),
		"private": true, "visibility": "private", "html_url": html, "url": at, "description": orNull(r.Description), "fork": r.Parent != nil,
		"clone_url": clone, "git_url": clone, "ssh_url": clone, "svn_url": html, "mirror_url": nil, "homepage": nil, "language": nil, "license": nil,
		"default_branch": r.DefaultBranch, "forks": len(forks), "forks_count": len(forks), "open_issues": open, "open_issues_count": open,
		"has_issues": false, "has_projects": false, "has_wiki": false, "has_pages": false, "has_discussions": false, "has_downloads": false,
		"archived": false, "disabled": false, "size": 0, "stargazers_count": 0, "watchers": 0, "watchers_count": 0,
		"is_template": false, "topics": []string{}, "web_commit_signoff_required": false, "allow_forking": true, "custom_properties": obj{},
		"created_at": stamp(r.Created), "updated_at": stamp(r.Pushed), "pushed_at": stamp(r.Pushed),
	}
	for name, path := range repositoryURLs {
		o[name] = at + path
	}
	return o, nil
}

// fullRepository adds what the answer about one repository has.
func (a *API) fullRepository(ctx context.Context, r store.Repository, who store.Account) (obj, error) {
	o, err := a.repository(ctx, r)
	if err != nil {
		return nil, err
	}
	role, err := a.host.Role(who, r)
	if err != nil {
		return nil, err
	}
	o["network_count"], o["subscribers_count"] = o["forks_count"], 0
	o["allow_merge_commit"], o["allow_squash_merge"], o["allow_rebase_merge"], o["allow_update_branch"] = true, true, true, true
	o["permissions"] = permissions(role)
	if r.Parent == nil {
		return o, nil
	}
	source := r
	for depth := 0; source.Parent != nil && depth < 16; depth++ {
		if source, err = a.store.Repository(ctx, *source.Parent); err != nil {
			return nil, err
		}
		if depth == 0 {
			if o["parent"], err = a.repository(ctx, source); err != nil {
				return nil, err
			}
		}
	}
	o["source"], err = a.repository(ctx, source)
	return o, err
}

func permissions(role store.Role) obj {
	writes := role.Writes()
	admin := role == store.Maintainer
	return obj{"admin": admin, "maintain": admin, "push": writes, "triage": writes, "pull": true}
}

// escape makes a name with slashes one that stands in an address.
func escape(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
