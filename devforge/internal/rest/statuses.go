package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

func (a *API) statusRoutes() {
	const repo = " /repos/{owner}/{repo}"
	a.handle("POST"+repo+"/statuses/{sha}", (*call).createStatus)
	a.handle("POST"+repo+"/check-runs", (*call).createCheck)
	a.handle("PATCH"+repo+"/check-runs/{id}", (*call).updateCheck)
	a.handle("GET"+repo+"/check-runs/{id}/annotations", (*call).annotations)
}

func (a *API) status(at string, s store.Status) obj {
	o := obj{
		"id": s.ID, "node_id": nodeID("StatusContext", s.ID), "url": at + "/statuses/" + s.SHA, "avatar_url": nil, "state": s.State,
		"description": orNull(s.Description), "target_url": orNull(s.Target), "context": s.Context, "created_at": stamp(s.Created), "updated_at": stamp(s.Created),
	}
	if s.BaseRef != "" {
		o["base"] = obj{"ref": s.BaseRef, "sha": s.BaseSHA}
	}
	return o
}

func (a *API) statusWithCreator(ctx context.Context, at string, s store.Status) (obj, error) {
	o := a.status(at, s)
	var err error
	o["creator"], err = a.userByID(ctx, &s.Creator)
	return o, err
}

// webAddress says whether a text is empty or an address for a browser: it
// becomes a link on a page.
func webAddress(s string) bool {
	u, err := url.Parse(s)
	return s == "" || (err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && len(s) <= 2048)
}

var commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)

// commitOf finds a commit that is named by its whole id.
func (c *call) commitOf(sha string) error {
	g, err := c.git()
	if err != nil {
		return err
	}
	if id, err := g.Resolve(c.ctx, sha); err != nil || id != sha {
		return invalid("Status", "sha", "custom", "No commit found for SHA: "+sha)
	}
	return nil
}

func (c *call) createStatus() error {
	var in struct {
		State       string  `json:"state"`
		Target      *string `json:"target_url"`
		Description *string `json:"description"`
		Context     *string `json:"context"`
		// Base is this forge's own: the status is about the merge into a branch,
		// where that is at a commit.
		Base *struct {
			Ref string `json:"ref"`
			SHA string `json:"sha"`
		} `json:"base"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	s := store.Status{Repository: c.repo.ID, SHA: c.r.PathValue("sha"), Context: "default", State: in.State, Creator: c.who.ID}
	set(&s.Target, in.Target)
	set(&s.Description, in.Description)
	set(&s.Context, in.Context)
	if in.Base != nil {
		s.BaseRef, s.BaseSHA = in.Base.Ref, in.Base.SHA
	}
	switch {
	case in.Base != nil && (git.CheckBranchName(s.BaseRef) != nil || !commitID.MatchString(s.BaseSHA)):
		return invalid("Status", "base", "invalid", "base must name a branch and the commit that it is at")
	case !slices.Contains([]string{"error", "failure", "pending", "success"}, s.State):
		return invalid("Status", "state", "invalid", "")
	case !webAddress(s.Target):
		return invalid("Status", "target_url", "custom", "target_url must use http(s) scheme")
	case len([]rune(s.Description)) > 140:
		return invalid("Status", "description", "custom", "description is too long (maximum is 140 characters)")
	case strings.TrimSpace(s.Context) == "" || len([]rune(s.Context)) > 255:
		return invalid("Status", "context", "invalid", "")
	}
	if err := c.mayName(s.Context); err != nil {
		return err
	}
	if err := c.commitOf(s.SHA); err != nil {
		return err
	}
	recorded, err := c.store.AddStatus(c.ctx, &s, c.host.IsOwn(c.who)) // nobody may fill up what hubship says
	if errors.Is(err, store.ErrTooMany) {
		return invalid("Status", "context", "custom", "This SHA has reached the maximum number of contexts.")
	} else if err != nil {
		return err
	}
	if recorded {
		c.host.Publish(c.ctx, host.Event{Name: "status", Repo: c.repo, Sender: c.who, Status: &s})
	}
	return c.show(http.StatusCreated, func(at string) (obj, error) { return c.statusWithCreator(c.ctx, at, s) })
}

// combinedStatus answers with the newest status of each context, and what they
// come to: failure if any failed, pending if any is or there is none.
func (c *call) combinedStatus(sha string) error {
	all, err := c.store.Statuses(c.ctx, c.repo.ID, sha)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	seen, newest, state := map[string]bool{}, []store.Status{}, "success"
	for _, s := range all {
		if seen[s.Context] {
			continue
		}
		seen[s.Context] = true
		newest = append(newest, s)
		switch {
		case s.State == "failure" || s.State == "error":
			state = "failure"
		case s.State == "pending" && state == "success":
			state = "pending"
		}
	}
	if len(newest) == 0 {
		state = "pending"
	}
	repo, err := c.repository(c.ctx, c.repo)
	if err != nil {
		return err
	}
	list, _ := each(cut(c, newest), func(s store.Status) (obj, error) { return c.status(at, s), nil })
	return c.answer(http.StatusOK, obj{"state": state, "statuses": list, "sha": sha, "total_count": len(newest), "repository": repo,
		"commit_url": at + "/commits/" + sha, "url": at + "/commits/" + sha + "/status"})
}

// annotation is one of a check run, as it comes in and as it is kept.
type annotation struct {
	Path        string  `json:"path"`
	StartLine   int     `json:"start_line"`
	EndLine     int     `json:"end_line"`
	StartColumn *int    `json:"start_column"`
	EndColumn   *int    `json:"end_column"`
	Level       string  `json:"annotation_level"`
	Message     string  `json:"message"`
	Title       *string `json:"title"`
	Raw         *string `json:"raw_details"`
}

func (a annotation) valid() bool {
	return a.Path != "" && a.StartLine > 0 && a.EndLine >= a.StartLine && a.Message != "" && len(a.Message) <= 64<<10 &&
		slices.Contains([]string{"notice", "warning", "failure"}, a.Level)
}

// Bounds of annotations: of one request, as on GitHub, and of a check run.
const (
	maxAnnotations    = 50
	maxAllAnnotations = 5000
)

type checkInput struct {
	Name       *string    `json:"name"`
	SHA        string     `json:"head_sha"`
	Details    *string    `json:"details_url"`
	External   *string    `json:"external_id"`
	Status     *string    `json:"status"`
	Started    *time.Time `json:"started_at"`
	Conclusion *string    `json:"conclusion"`
	Completed  *time.Time `json:"completed_at"`
	Output     *struct {
		Title       *string      `json:"title"`
		Summary     *string      `json:"summary"`
		Text        *string      `json:"text"`
		Annotations []annotation `json:"annotations"`
	} `json:"output"`
}

var conclusions = []string{"success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required"}

// apply changes a check run by what came in. Annotations add up.
func (in checkInput) apply(k *store.Check) error {
	set(&k.Name, in.Name)
	set(&k.Details, in.Details)
	set(&k.External, in.External)
	set(&k.Status, in.Status)
	if in.Started != nil {
		k.Started = store.Time{Time: in.Started.UTC()}
	}
	if in.Conclusion != nil {
		k.Conclusion, k.Status = *in.Conclusion, "completed"
	}
	switch {
	case in.Completed != nil:
		k.Completed = store.Time{Time: in.Completed.UTC()}
	case k.Status == "completed" && k.Completed.IsZero():
		k.Completed = store.Now()
	}
	if k.Status != "completed" { // it runs again
		k.Conclusion, k.Completed = "", store.Time{}
	}
	switch {
	case strings.TrimSpace(k.Name) == "" || len([]rune(k.Name)) > 255:
		return invalid("CheckRun", "name", "invalid", "")
	case !slices.Contains([]string{"queued", "in_progress", "completed"}, k.Status):
		return invalid("CheckRun", "status", "invalid", "")
	case k.Status == "completed" && !slices.Contains(conclusions, k.Conclusion):
		return invalid("CheckRun", "conclusion", "invalid", "")
	case !webAddress(k.Details):
		return invalid("CheckRun", "details_url", "invalid", "")
	}
	return in.applyOutput(k)
}

func (in checkInput) applyOutput(k *store.Check) error {
	if in.Output == nil {
		return nil
	}
	set(&k.Title, in.Output.Title)
	set(&k.Summary, in.Output.Summary)
	set(&k.Text, in.Output.Text)
	if len(k.Summary) > 65535 || len(k.Text) > 65535 || len(k.Title) > 1024 {
		return invalid("CheckRun", "output", "custom", "only 65535 characters are allowed")
	}
	if len(in.Output.Annotations) > maxAnnotations {
		return invalid("CheckRun", "annotations", "custom", fmt.Sprintf("at most %d annotations are accepted at once", maxAnnotations))
	}
	all, err := annotationsOf(*k)
	if err != nil {
		return err
	}
	for _, a := range in.Output.Annotations {
		if !a.valid() {
			return invalid("CheckRun", "annotations", "invalid", "")
		}
	}
	if all = append(all, in.Output.Annotations...); len(all) > maxAllAnnotations {
		return invalid("CheckRun", "annotations", "custom", fmt.Sprintf("a check run can have at most %d annotations", maxAllAnnotations))
	}
	raw, err := json.Marshal(all)
	k.Annotations = string(raw)
	return err
}

func annotationsOf(k store.Check) ([]annotation, error) {
	all := []annotation{}
	if k.Annotations == "" {
		return all, nil
	}
	if err := json.Unmarshal([]byte(k.Annotations), &all); err != nil {
		return nil, fmt.Errorf("read annotations of check run %d: %w", k.ID, err)
	}
	return all, nil
}

func (a *API) check(at string, k store.Check) (obj, error) {
	all, err := annotationsOf(k)
	self := fmt.Sprintf("%s/check-runs/%d", at, k.ID)
	return obj{
		"id": k.ID, "node_id": nodeID("CheckRun", k.ID), "head_sha": k.SHA, "name": k.Name, "external_id": k.External, "url": self,
		"html_url": fmt.Sprintf("%s/runs/%d", a.htmlOf(at), k.ID), "details_url": orNull(k.Details), "status": k.Status, "conclusion": orNull(k.Conclusion),
		"started_at": stamp(k.Started), "completed_at": stamp(k.Completed), "check_suite": obj{"id": 1}, "app": nil, "pull_requests": []obj{},
		"output": obj{"title": orNull(k.Title), "summary": orNull(k.Summary), "text": orNull(k.Text), "annotations_count": len(all), "annotations_url": self + "/annotations"},
	}, err
}

func (c *call) answerCheck(status int, k store.Check) error {
	return c.show(status, func(at string) (obj, error) { return c.check(at, k) })
}

func (c *call) createCheck() error {
	var in checkInput
	if err := c.read(&in); err != nil {
		return err
	}
	if err := c.commitOf(in.SHA); err != nil {
		return err
	}
	k := store.Check{Repository: c.repo.ID, SHA: in.SHA, Status: "queued", Started: store.Now(), Creator: c.who.ID}
	if err := in.apply(&k); err != nil {
		return err
	}
	if err := c.mayName(k.Name); err != nil {
		return err
	}
	if err := c.store.AddCheck(c.ctx, &k); err != nil {
		return err
	}
	c.tellCheck("created", k)
	if k.Status == "completed" {
		c.tellCheck("completed", k)
	}
	return c.answerCheck(http.StatusCreated, k)
}

func (c *call) updateCheck() error {
	var in checkInput
	if err := c.read(&in); err != nil {
		return err
	}
	id, err := c.number("id")
	if err != nil {
		return err
	}
	ran := false
	k, err := c.store.EditCheck(c.ctx, c.repo.ID, id, func(k *store.Check) error {
		ran = k.Status != "completed"
		// What it says is said in the name of who made it.
		if k.Creator != c.who.ID {
			return &httpError{status: http.StatusForbidden, message: "The check run belongs to somebody else."}
		}
		if err := in.apply(k); err != nil {
			return err
		}
		return c.mayName(k.Name)
	})
	if err != nil {
		return err
	}
	if ran && k.Status == "completed" {
		c.tellCheck("completed", k)
	}
	return c.answerCheck(http.StatusOK, k)
}

func (c *call) tellCheck(action string, k store.Check) {
	c.host.Publish(c.ctx, host.Event{Name: "check_run", Action: action, Repo: c.repo, Sender: c.who, Check: &k})
}

func (c *call) annotations() error {
	id, err := c.number("id")
	if err != nil {
		return err
	}
	k, err := c.store.Check(c.ctx, c.repo.ID, id)
	if err != nil {
		return err
	}
	all, err := annotationsOf(k)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	list, _ := each(cut(c, all), func(a annotation) (obj, error) {
		return obj{"path": a.Path, "blob_href": c.htmlOf(at) + "/blob/" + k.SHA + "/" + escape(a.Path), "start_line": a.StartLine, "end_line": a.EndLine,
			"start_column": a.StartColumn, "end_column": a.EndColumn, "annotation_level": a.Level, "title": a.Title, "message": a.Message, "raw_details": a.Raw}, nil
	})
	return c.answer(http.StatusOK, list)
}

func (c *call) listChecks(sha string) error {
	all, err := c.store.Checks(c.ctx, c.repo.ID, sha)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	seen, chosen := map[string]bool{}, []store.Check{}
	for _, k := range all { // newest first
		wanted := (q.Get("check_name") == "" || q.Get("check_name") == k.Name) && (q.Get("status") == "" || q.Get("status") == k.Status)
		if (q.Get("filter") == "all" || !seen[k.Name]) && wanted {
			chosen = append(chosen, k)
		}
		seen[k.Name] = true
	}
	list, err := each(cut(c, chosen), func(k store.Check) (obj, error) { return c.check(at, k) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, obj{"total_count": len(chosen), "check_runs": list})
}
