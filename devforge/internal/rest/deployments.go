package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
)

// maxPayload bounds what a deployment carries for its tools, in bytes of JSON.
const maxPayload = 64 << 10

var deploymentStates = []string{"error", "failure", store.Inactive, "in_progress", "queued", "pending", "success"}

func (a *API) deploymentRoutes() {
	const deployments = " /repos/{owner}/{repo}/deployments"
	a.handle("GET"+deployments, (*call).listDeployments)
	a.handle("POST"+deployments, (*call).createDeployment)
	a.handle("GET"+deployments+"/{id}/statuses", (*call).listDeploymentStatuses)
	a.handle("POST"+deployments+"/{id}/statuses", (*call).createDeploymentStatus)
}

func (a *API) deployment(ctx context.Context, at string, d store.Deployment) (obj, error) {
	creator, err := a.userByID(ctx, &d.Creator)
	self := fmt.Sprintf("%s/deployments/%d", at, d.ID)
	return obj{
		"id": d.ID, "node_id": nodeID("Deployment", d.ID), "url": self, "statuses_url": self + "/statuses", "repository_url": at, "sha": d.SHA, "ref": d.Ref,
		"task": d.Task, "payload": json.RawMessage(d.Payload), "original_environment": d.Environment, "environment": d.Environment,
		"transient_environment": d.Transient, "production_environment": d.Production, "description": orNull(d.Description), "creator": creator,
		"created_at": stamp(d.Created), "updated_at": stamp(d.Updated), "performed_via_github_app": nil,
	}, err
}

func (a *API) deploymentStatus(ctx context.Context, at string, s store.DeploymentStatus) (obj, error) {
	creator, err := a.userByID(ctx, &s.Creator)
	of := fmt.Sprintf("%s/deployments/%d", at, s.Deployment)
	return obj{
		"id": s.ID, "node_id": nodeID("DeploymentStatus", s.ID), "url": fmt.Sprintf("%s/statuses/%d", of, s.ID), "state": s.State, "creator": creator,
		"description": s.Description, "environment": s.Environment, "environment_url": s.EnvironmentURL, "log_url": s.Log, "target_url": s.Log,
		"deployment_url": of, "repository_url": at, "created_at": stamp(s.Created), "updated_at": stamp(s.Created), "performed_via_github_app": nil,
	}, err
}

func (c *call) listDeployments() error {
	p, q := c.page(), c.r.URL.Query()
	f := store.DeploymentFilter{Repository: c.repo.ID, SHA: q.Get("sha"), Ref: q.Get("ref"), Task: q.Get("task"), Environment: q.Get("environment"), Limit: p.size, Offset: p.offset()}
	found, total, err := c.store.Deployments(c.ctx, f)
	if err != nil {
		return err
	}
	c.link(p, total)
	return showEach(c, found, func(at string, d store.Deployment) (obj, error) { return c.deployment(c.ctx, at, d) })
}

type deploymentInput struct {
	Ref         string          `json:"ref"`
	Task        *string         `json:"task"`
	AutoMerge   *bool           `json:"auto_merge"`
	Contexts    *[]string       `json:"required_contexts"`
	Payload     json.RawMessage `json:"payload"`
	Environment *string         `json:"environment"`
	Description *string         `json:"description"`
	Transient   bool            `json:"transient_environment"`
	Production  *bool           `json:"production_environment"`
}

// deployment is what is asked for, without its commit.
func (in deploymentInput) deployment() (store.Deployment, error) {
	d := store.Deployment{Ref: in.Ref, Task: "deploy", Environment: "production", Payload: "{}", Transient: in.Transient}
	set(&d.Task, in.Task)
	set(&d.Environment, in.Environment)
	set(&d.Description, in.Description)
	d.Production = d.Environment == "production"
	set(&d.Production, in.Production)
	if payload := strings.TrimSpace(string(in.Payload)); payload != "" && payload != "null" {
		d.Payload = payload
	}
	switch {
	case in.Ref == "":
		return d, invalid("Deployment", "ref", "missing_field", "")
	case in.AutoMerge == nil || *in.AutoMerge:
		return d, invalid("Deployment", "auto_merge", "custom", "merging is not supported here: send auto_merge false")
	case in.Contexts == nil || len(*in.Contexts) > 0:
		return d, invalid("Deployment", "required_contexts", "custom", "required statuses are not supported here: send required_contexts []")
	case badName(d.Environment):
		return d, invalid("Deployment", "environment", "invalid", "")
	case badName(d.Task):
		return d, invalid("Deployment", "task", "invalid", "")
	case len([]rune(d.Description)) > 140:
		return d, invalid("Deployment", "description", "custom", "description is too long (maximum is 140 characters)")
	case len(d.Payload) > maxPayload || !strings.ContainsRune(`{"`, rune(d.Payload[0])):
		return d, invalid("Deployment", "payload", "custom", fmt.Sprintf("payload must be an object or a string of up to %d bytes", maxPayload))
	}
	return d, nil
}

// badName says that a text is no name for people to read.
func badName(s string) bool { return s == "" || len([]rune(s)) > 255 || host.OneLine(s) != s }

func (c *call) createDeployment() error {
	var in deploymentInput
	if err := c.read(&in); err != nil {
		return err
	}
	d, err := in.deployment()
	if err != nil {
		return err
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	if d.SHA, err = c.resolve(g, d.Ref); err != nil {
		return invalid("Deployment", "ref", "custom", "No ref found for: "+d.Ref)
	}
	d.Repository, d.Creator = c.repo.ID, c.who.ID
	if err := c.store.AddDeployment(c.ctx, &d); err != nil {
		return err
	}
	c.host.Publish(c.ctx, host.Event{Name: "deployment", Action: "created", Repo: c.repo, Sender: c.who, Deployment: &d})
	return c.show(http.StatusCreated, func(at string) (obj, error) { return c.deployment(c.ctx, at, d) })
}

func (c *call) deploymentOf() (store.Deployment, error) {
	id, err := c.number("id")
	if err != nil {
		return store.Deployment{}, err
	}
	return c.store.Deployment(c.ctx, c.repo.ID, id)
}

func (c *call) listDeploymentStatuses() error {
	d, err := c.deploymentOf()
	if err != nil {
		return err
	}
	all, err := c.store.DeploymentStatuses(c.ctx, d.ID)
	if err != nil {
		return err
	}
	return showPage(c, all, func(at string, s store.DeploymentStatus) (obj, error) { return c.deploymentStatus(c.ctx, at, s) })
}

func (c *call) createDeploymentStatus() error {
	var in struct {
		State          string  `json:"state"`
		Target         *string `json:"target_url"`
		Log            *string `json:"log_url"`
		Description    *string `json:"description"`
		Environment    *string `json:"environment"`
		EnvironmentURL *string `json:"environment_url"`
		AutoInactive   *bool   `json:"auto_inactive"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	d, err := c.deploymentOf()
	if err != nil {
		return err
	}
	s := store.DeploymentStatus{Deployment: d.ID, State: in.State, Environment: d.Environment, Creator: c.who.ID}
	set(&s.Log, in.Target)
	set(&s.Log, in.Log)
	set(&s.Description, in.Description)
	set(&s.Environment, in.Environment)
	set(&s.EnvironmentURL, in.EnvironmentURL)
	switch {
	case !slices.Contains(deploymentStates, s.State):
		return invalid("DeploymentStatus", "state", "invalid", "")
	case !webAddress(s.Log):
		return invalid("DeploymentStatus", "log_url", "custom", "log_url must use http(s) scheme")
	case !webAddress(s.EnvironmentURL):
		return invalid("DeploymentStatus", "environment_url", "custom", "environment_url must use http(s) scheme")
	case badName(s.Environment):
		return invalid("DeploymentStatus", "environment", "invalid", "")
	case len([]rune(s.Description)) > 140:
		return invalid("DeploymentStatus", "description", "custom", "description is too long (maximum is 140 characters)")
	}
	if err := c.store.AddDeploymentStatus(c.ctx, &s, s.State == "success" && (in.AutoInactive == nil || *in.AutoInactive)); err != nil {
		return err
	}
	if s.State != store.Inactive { // of which GitHub tells nobody
		c.host.Publish(c.ctx, host.Event{Name: "deployment_status", Action: "created", Repo: c.repo, Sender: c.who, Deployment: &d, DeploymentStatus: &s})
	}
	return c.show(http.StatusCreated, func(at string) (obj, error) { return c.deploymentStatus(c.ctx, at, s) })
}
