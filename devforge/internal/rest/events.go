package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/hooks"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// maxPushCommits bounds the commits that a push event lists.
const maxPushCommits = 100

// Hear turns an event into the payload that GitHub would send, and queues it
// for the webhooks that want it. Set it with Host.Subscribe.
func (a *API) Hear(ctx context.Context, e host.Event) {
	if err := a.hear(ctx, e); err != nil {
		a.opts.Log.Error("embedded forge: an event could not be sent to webhooks", "event", e.Name, "action", e.Action, "error", err)
	}
}

func (a *API) hear(ctx context.Context, e host.Event) error {
	all, err := a.store.Hooks(ctx, e.Repo.ID)
	if err != nil {
		return err
	}
	var payload []byte
	for _, h := range all {
		if !hooks.Wants(h, e.Name) {
			continue
		}
		if payload == nil { // made once, and only if somebody wants it
			if payload, err = a.payload(ctx, e); err != nil {
				return err
			}
		}
		if _, err := a.opts.Sender.Queue(ctx, h, e.Name, e.Action, payload, ""); err != nil {
			return err
		}
	}
	return nil
}

func (a *API) ping(ctx context.Context, repo store.Repository, h store.Hook, who store.Account) error {
	at, err := a.placeOf(ctx, repo)
	if err != nil {
		return err
	}
	r, err := a.repository(ctx, repo)
	if err != nil {
		return err
	}
	payload, err := json.Marshal(obj{"zen": "Staging first.", "hook_id": h.ID, "hook": a.hook(at, h, nil), "repository": r, "sender": a.user(who)})
	if err != nil {
		return err
	}
	_, err = a.opts.Sender.Queue(ctx, h, "ping", "", payload, "")
	return err
}

func (a *API) payload(ctx context.Context, e host.Event) ([]byte, error) {
	r, err := a.repository(ctx, e.Repo)
	if err != nil {
		return nil, err
	}
	o := obj{"repository": r, "sender": a.user(e.Sender)}
	if e.Action != "" {
		o["action"] = e.Action
	}
	switch e.Name {
	case "push":
		err = a.pushPayload(ctx, e, o)
	case "pull_request":
		err = a.pullPayload(ctx, e, o)
	case "pull_request_review":
		err = a.reviewPayload(ctx, e, o)
	case "pull_request_review_comment":
		err = a.linePayload(ctx, e, o)
	case "issue_comment":
		err = a.commentPayload(ctx, e, o)
	case "status":
		err = a.statusPayload(ctx, e, o)
	case "check_run":
		err = a.checkPayload(ctx, e, o)
	case "deployment", "deployment_status":
		err = a.deploymentPayload(ctx, e, o)
	case "fork":
		o["forkee"], err = a.repository(ctx, *e.Fork)
	case "create":
		o["ref"], o["ref_type"], o["pusher_type"], o["master_branch"], o["description"] = e.Update.Branch, "branch", "user", e.Repo.DefaultBranch, orNull(e.Repo.Description)
	case "delete":
		o["ref"], o["ref_type"], o["pusher_type"] = e.Update.Branch, "branch", "user"
	default:
		err = fmt.Errorf("event %q has no payload", e.Name)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(o)
}

func (a *API) pullPayload(ctx context.Context, e host.Event, o obj) (err error) {
	o["number"] = e.Pull.Number
	if o["pull_request"], err = a.pull(ctx, e.Repo, *e.Pull); err != nil {
		return err
	}
	switch {
	case e.Action == "synchronize":
		o["before"], o["after"] = e.Before, e.Pull.HeadSHA
	case e.Action == "edited":
		o["changes"] = obj{}
	case e.Asked != nil:
		o["requested_reviewer"] = a.user(*e.Asked)
	case e.Label != nil:
		at, err := a.placeOf(ctx, e.Repo)
		o["label"] = label(at, *e.Label)
		return err
	}
	return nil
}

// checkPayload tells of a check run with the suite and the App that GitHub has
// for every one, and that here are the same for all of a commit.
func (a *API) checkPayload(ctx context.Context, e host.Event, o obj) error {
	at, err := a.placeOf(ctx, e.Repo)
	if err != nil {
		return err
	}
	check, err := a.check(at, *e.Check)
	if err != nil {
		return err
	}
	owner, err := a.store.Account(ctx, e.Repo.Owner)
	if err != nil {
		return err
	}
	made := stamp(e.Repo.Created)
	app := obj{"id": 1, "slug": "hubship", "node_id": nodeID("App", 1), "owner": a.user(owner), "name": "hubship", "description": nil,
		"external_url": a.opts.WebURL, "html_url": a.opts.WebURL, "created_at": made, "updated_at": made}
	if check["details_url"] == nil {
		delete(check, "details_url")
	}
	begun := stamp(e.Check.Started)
	check["app"] = app
	check["check_suite"] = obj{"id": 1, "node_id": nodeID("CheckSuite", e.Check.SHA), "head_branch": nil, "head_sha": e.Check.SHA, "status": check["status"],
		"conclusion": check["conclusion"], "url": at + "/check-suites/1", "before": nil, "after": nil, "pull_requests": []obj{}, "app": app, "created_at": begun, "updated_at": begun}
	if check["conclusion"] == "skipped" { // a suite has no such conclusion
		check["check_suite"].(obj)["conclusion"] = "neutral"
	}
	o["check_run"] = check
	return nil
}

func (a *API) deploymentPayload(ctx context.Context, e host.Event, o obj) error {
	at, err := a.placeOf(ctx, e.Repo)
	if err != nil {
		return err
	}
	deployment, err := a.deployment(ctx, at, *e.Deployment)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(e.Deployment.Payload, "{") { // in events it is an object always
		deployment["payload"] = obj{}
	}
	o["deployment"] = deployment
	if e.DeploymentStatus == nil {
		o["workflow"], o["workflow_run"] = nil, nil
		return nil
	}
	status, err := a.deploymentStatus(ctx, at, *e.DeploymentStatus)
	if e.DeploymentStatus.Log == "" {
		delete(status, "log_url")
	}
	o["deployment_status"] = status
	return err
}

func (a *API) reviewPayload(ctx context.Context, e host.Event, o obj) (err error) {
	if o["pull_request"], err = a.simplePull(ctx, e.Repo, *e.Pull); err != nil {
		return err
	}
	review, err := a.review(ctx, e.Repo, *e.Pull, *e.Review)
	if err != nil {
		return err
	}
	review["state"] = strings.ToLower(e.Review.State)
	o["review"] = review
	return nil
}

func (a *API) linePayload(ctx context.Context, e host.Event, o obj) (err error) {
	if o["pull_request"], err = a.simplePull(ctx, e.Repo, *e.Pull); err != nil {
		return err
	}
	now, err := a.blobsOf(ctx, e.Repo, *e.Pull)
	if err != nil {
		return err
	}
	if e.Action == "edited" {
		o["changes"] = obj{"body": obj{"from": e.Before}}
	}
	o["comment"], err = a.lineComment(ctx, e.Repo, *e.Pull, *e.Line, now)
	return err
}

func (a *API) commentPayload(ctx context.Context, e host.Event, o obj) error {
	comment, err := a.comment(ctx, e.Repo, *e.Comment)
	if err != nil {
		return err
	}
	comment["reactions"] = reactions(comment["url"].(string))
	issue, err := a.issue(ctx, e.Repo, *e.Pull)
	if err != nil {
		return err
	}
	if e.Action == "edited" {
		o["changes"] = obj{"body": obj{"from": e.Before}}
	}
	o["comment"], o["issue"] = comment, issue
	return nil
}

func (a *API) statusPayload(ctx context.Context, e host.Event, o obj) error {
	g, err := a.host.Git(e.Repo)
	if err != nil {
		return err
	}
	d, err := one(ctx, g, e.Status.SHA)
	if err != nil {
		return err
	}
	commit, err := a.commit(ctx, e.Repo, d)
	if err != nil {
		return err
	}
	// The schema of the event is older than this field of the API.
	delete(commit["commit"].(obj)["verification"].(obj), "verified_at")
	at, err := a.placeOf(ctx, e.Repo)
	if err != nil {
		return err
	}
	branches := []obj{}
	heads, err := g.Refs(ctx, "refs/heads/")
	if err != nil {
		return err
	}
	for _, ref := range heads {
		if ref.ID == e.Status.SHA && len(branches) < 10 {
			branches = append(branches, obj{"name": strings.TrimPrefix(ref.Name, "refs/heads/"), "commit": obj{"sha": ref.ID, "url": at + "/commits/" + ref.ID}, "protected": false})
		}
	}
	s := e.Status
	o["id"], o["sha"], o["name"], o["context"], o["state"] = s.ID, s.SHA, o["repository"].(obj)["full_name"], s.Context, s.State
	o["target_url"], o["description"], o["commit"], o["branches"], o["avatar_url"] = orNull(s.Target), orNull(s.Description), commit, branches, nil
	o["created_at"], o["updated_at"] = stamp(s.Created), stamp(s.Created)
	return nil
}

func (a *API) pushPayload(ctx context.Context, e host.Event, o obj) error {
	u := e.Update
	at, err := a.placeOf(ctx, e.Repo)
	if err != nil {
		return err
	}
	g, err := a.host.Git(e.Repo)
	if err != nil {
		return err
	}
	forced, commits := false, []obj{}
	o["head_commit"] = nil
	if !u.Deleted() {
		if !u.Created() {
			forward, err := g.IsAncestor(ctx, u.Old, u.New)
			if err != nil {
				return err
			}
			forced = !forward
		}
		if commits, o["head_commit"], err = a.pushedCommits(ctx, g, at, *u); err != nil {
			return err
		}
	}
	o["ref"], o["before"], o["after"], o["base_ref"] = "refs/heads/"+u.Branch, u.Old, u.New, nil
	o["created"], o["deleted"], o["forced"] = u.Created(), u.Deleted(), forced
	o["compare"] = a.htmlOf(at) + "/compare/" + u.Old + "..." + u.New
	o["commits"] = commits
	o["pusher"] = obj{"name": e.Sender.Login, "email": e.Sender.Email}
	return nil
}

// pushedCommits are those that a push brought, oldest first, of a branch that is
// new those that the default branch does not have; and the one that the branch
// is at.
func (a *API) pushedCommits(ctx context.Context, g *git.Repo, at string, u refs.Update) (list []obj, head obj, err error) {
	base := u.Old
	if u.Created() {
		base = ""
		if name, err := g.DefaultBranch(ctx); err == nil && name != u.Branch {
			if base, err = g.Head(ctx, name); err != nil {
				return nil, nil, err
			}
		}
	}
	details, err := g.Details(ctx, u.New, git.DetailOptions{Base: base, Limit: maxPushCommits})
	if err != nil {
		return nil, nil, err
	}
	newest, err := one(ctx, g, u.New)
	if err != nil {
		return nil, nil, err
	}
	touched, err := g.Touched(ctx, append([]git.Detail{newest}, details...))
	if err != nil {
		return nil, nil, err
	}
	list = make([]obj, 0, len(details))
	for i := len(details) - 1; i >= 0; i-- {
		list = append(list, a.pushedCommit(ctx, at, details[i], touched))
	}
	return list, a.pushedCommit(ctx, at, newest, touched), nil
}

func (a *API) pushedCommit(ctx context.Context, at string, d git.Detail, touched map[string]git.Touched) obj {
	by := func(s git.Signature) obj {
		o := obj{"name": s.Name, "email": s.Email, "date": s.When.Format(time.RFC3339)}
		if u, err := a.store.AccountByEmail(ctx, s.Email); err == nil {
			o["username"] = u.Login
		}
		return o
	}
	t := touched[d.ID]
	paths := func(list []string) []string { return append([]string{}, list...) } // null is no list
	return obj{"id": d.ID, "tree_id": d.Tree, "distinct": true, "message": d.Message, "timestamp": d.Committer.When.Format(time.RFC3339),
		"url": a.htmlOf(at) + "/commit/" + d.ID, "author": by(d.Author), "committer": by(d.Committer),
		"added": paths(t.Added), "removed": paths(t.Removed), "modified": paths(t.Modified)}
}
