package github

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
)

// SetCheck implements forge.Checks.
func (c *Client) SetCheck(ctx context.Context, check forge.Check) (forge.Check, error) {
	what := fmt.Sprintf("report check %s on commit %.12s of %s", check.Name, check.Commit, c.repo)
	if err := validCheck(check); err != nil {
		return forge.Check{}, invalid(what, err)
	}
	rest := check.Annotations
	first := rest[:min(len(rest), forge.MaxAnnotations)]
	rest = rest[len(first):]
	var done *gh.CheckRun
	var err error
	if check.ID == 0 {
		done, err = call(ctx, c, once, what, func(ctx context.Context) (*gh.CheckRun, *gh.Response, error) {
			return c.api.Checks.CreateCheckRun(ctx, c.repo.Owner, c.repo.Name, gh.CreateCheckRunOptions{
				Name: check.Name, HeadSHA: check.Commit, DetailsURL: optional(check.URL), ExternalID: optional(check.ExternalID),
				Status: &check.State, Conclusion: optional(check.Conclusion), StartedAt: stamp(check.Started), CompletedAt: stamp(check.Completed),
				Output: output(check, first),
			})
		})
	} else {
		done, err = c.updateCheck(ctx, what, check, first)
	}
	for err == nil && len(rest) > 0 {
		more := rest[:min(len(rest), forge.MaxAnnotations)]
		rest = rest[len(more):]
		check.ID = done.GetID()
		done, err = c.updateCheck(ctx, what, check, more)
	}
	if err != nil {
		return forge.Check{}, err
	}
	return checkRun(done), nil
}

// updateCheck is not sent twice when it has annotations, which add up.
func (c *Client) updateCheck(ctx context.Context, what string, check forge.Check, annotations []forge.Annotation) (*gh.CheckRun, error) {
	does := repeatable
	if len(annotations) > 0 {
		does = once
	}
	return call(ctx, c, does, what, func(ctx context.Context) (*gh.CheckRun, *gh.Response, error) {
		return c.api.Checks.UpdateCheckRun(ctx, c.repo.Owner, c.repo.Name, check.ID, gh.UpdateCheckRunOptions{
			Name: check.Name, DetailsURL: optional(check.URL), ExternalID: optional(check.ExternalID),
			Status: &check.State, Conclusion: optional(check.Conclusion), CompletedAt: stamp(check.Completed),
			Output: output(check, annotations),
		})
	})
}

func validCheck(check forge.Check) error {
	completed := check.State == forge.CheckCompleted
	switch {
	case check.Name == "":
		return fmt.Errorf("%w: it has no name", forge.ErrInvalid)
	case !slices.Contains([]string{forge.CheckQueued, forge.CheckInProgress, forge.CheckCompleted}, check.State):
		return fmt.Errorf("%w: unknown state %q", forge.ErrInvalid, check.State)
	case completed != (check.Conclusion != ""):
		return fmt.Errorf("%w: a check has a conclusion when it is completed, and only then", forge.ErrInvalid)
	case (check.Title == "") != (check.Summary == ""), check.Title == "" && (check.Text != "" || len(check.Annotations) > 0):
		return fmt.Errorf("%w: a report needs a title and a summary", forge.ErrInvalid)
	}
	return firstOf(forge.CheckCommit(check.Commit), forge.CheckLength("the summary", check.Summary, forge.MaxCheckText),
		forge.CheckLength("the text", check.Text, forge.MaxCheckText))
}

func output(check forge.Check, annotations []forge.Annotation) *gh.CheckRunOutput {
	if check.Title == "" {
		return nil
	}
	return &gh.CheckRunOutput{Title: &check.Title, Summary: &check.Summary, Text: optional(check.Text),
		Annotations: converted(annotations, func(a forge.Annotation) *gh.CheckRunAnnotation {
			end := max(a.End, a.Start)
			return &gh.CheckRunAnnotation{Path: &a.Path, StartLine: &a.Start, EndLine: &end, AnnotationLevel: &a.Level, Title: optional(a.Title), Message: &a.Message}
		})}
}

func stamp(t time.Time) *gh.Timestamp {
	if t.IsZero() {
		return nil
	}
	return &gh.Timestamp{Time: t.UTC().Truncate(time.Second)}
}

func checkRun(r *gh.CheckRun) forge.Check {
	return forge.Check{ID: r.GetID(), Name: r.GetName(), Commit: r.GetHeadSHA(), ExternalID: r.GetExternalID(), URL: r.GetDetailsURL(),
		State: r.GetStatus(), Conclusion: r.GetConclusion(), Title: r.GetOutput().GetTitle(), Summary: r.GetOutput().GetSummary(),
		Text: r.GetOutput().GetText(), Started: r.GetStartedAt().Time, Completed: r.GetCompletedAt().Time}
}

// CheckRuns implements forge.Checks.
func (c *Client) CheckRuns(ctx context.Context, commit string) ([]forge.Check, error) {
	what := fmt.Sprintf("list the checks of commit %.12s of %s", commit, c.repo)
	if err := forge.CheckCommit(commit); err != nil {
		return nil, invalid(what, err)
	}
	items, err := list(ctx, c, what, 0, func(ctx context.Context, page gh.ListOptions) ([]*gh.CheckRun, *gh.Response, error) {
		found, resp, err := c.api.Checks.ListCheckRunsForRef(ctx, c.repo.Owner, c.repo.Name, commit, &gh.ListCheckRunsOptions{ListOptions: page})
		if err != nil {
			return nil, resp, err
		}
		return found.CheckRuns, resp, nil
	})
	if err != nil {
		return nil, err
	}
	return converted(items, checkRun), nil
}

// Annotations implements forge.Checks.
func (c *Client) Annotations(ctx context.Context, id int64) ([]forge.Annotation, error) {
	what := fmt.Sprintf("list the annotations of check %d of %s", id, c.repo)
	items, err := list(ctx, c, what, 0, func(ctx context.Context, page gh.ListOptions) ([]*gh.CheckRunAnnotation, *gh.Response, error) {
		return c.api.Checks.ListCheckRunAnnotations(ctx, c.repo.Owner, c.repo.Name, id, &page)
	})
	if err != nil {
		return nil, err
	}
	return converted(items, func(a *gh.CheckRunAnnotation) forge.Annotation {
		return forge.Annotation{Path: a.GetPath(), Start: a.GetStartLine(), End: a.GetEndLine(), Level: a.GetAnnotationLevel(), Title: a.GetTitle(), Message: a.GetMessage()}
	}), nil
}

// StartDeployment implements forge.Deployments. The statuses that GitHub would
// ask for are hubship's own to judge.
func (c *Client) StartDeployment(ctx context.Context, d forge.Deployment) (int64, error) {
	what := fmt.Sprintf("record the deployment of commit %.12s of %s to %s", d.Commit, c.repo, d.Environment)
	if err := forge.CheckCommit(d.Commit); err != nil {
		return 0, invalid(what, err)
	}
	done, err := call(ctx, c, once, what, func(ctx context.Context) (*gh.Deployment, *gh.Response, error) {
		return c.api.Repositories.CreateDeployment(ctx, c.repo.Owner, c.repo.Name, gh.DeploymentRequest{
			Ref: d.Commit, Environment: optional(d.Environment), Description: optional(forge.Shorten(d.Description, forge.MaxDescription)),
			AutoMerge: gh.Ptr(false), RequiredContexts: []string{}, ProductionEnvironment: &d.Production,
		})
	})
	if err != nil {
		return 0, err
	}
	return done.GetID(), nil
}

// SetDeployment implements forge.Deployments.
func (c *Client) SetDeployment(ctx context.Context, id int64, s forge.DeploymentStatus) error {
	what := fmt.Sprintf("set the status of deployment %d of %s", id, c.repo)
	_, err := call(ctx, c, repeatable, what, func(ctx context.Context) (*gh.DeploymentStatus, *gh.Response, error) {
		return c.api.Repositories.CreateDeploymentStatus(ctx, c.repo.Owner, c.repo.Name, id, gh.DeploymentStatusRequest{
			State: s.State, Description: optional(forge.Shorten(s.Description, forge.MaxDescription)), LogURL: optional(s.URL), EnvironmentURL: optional(s.Site),
		})
	})
	return err
}

// AddLabels implements forge.Labels.
func (c *Client) AddLabels(ctx context.Context, number int, labels ...string) error {
	_, err := call(ctx, c, repeatable, c.pull("label", number), func(ctx context.Context) ([]*gh.Label, *gh.Response, error) {
		return c.api.Issues.AddLabelsToIssue(ctx, c.repo.Owner, c.repo.Name, number, labels)
	})
	return err
}

// RemoveLabel implements forge.Labels.
func (c *Client) RemoveLabel(ctx context.Context, number int, label string) error {
	what := c.pull("take label "+label+" from", number)
	if label == "" || label == "." || label == ".." {
		return invalid(what, fmt.Errorf("%w: %q is not a valid label", forge.ErrInvalid, label))
	}
	_, err := call(ctx, c, repeatable, what, func(ctx context.Context) (struct{}, *gh.Response, error) {
		resp, err := c.api.Issues.RemoveLabelForIssue(ctx, c.repo.Owner, c.repo.Name, number, url.PathEscape(label))
		return struct{}{}, resp, err
	})
	if !errors.Is(err, forge.ErrNotFound) {
		return err
	}
	// Either the label is not there, or the pull request.
	_, err = c.PullRequest(ctx, number)
	return err
}

// forkPatience is how long a new fork may take until it has its branches, when
// it has none yet.
const forkPatience = time.Minute

// Fork implements forge.Forks.
func (c *Client) Fork(ctx context.Context, branch string) (forge.Repository, error) {
	what := fmt.Sprintf("fork %s", c.repo)
	made, err := call(ctx, c, repeatable, what, func(ctx context.Context) (*gh.Repository, *gh.Response, error) {
		r, resp, err := c.api.Repositories.CreateFork(ctx, c.repo.Owner, c.repo.Name, &gh.RepositoryCreateForkOptions{})
		var accepted *gh.AcceptedError // it is being made
		if errors.As(err, &accepted) {
			err = nil
		}
		return r, resp, err
	})
	if err != nil {
		return forge.Repository{}, err
	}
	fork := forge.Repository{Owner: login(made.Owner), Name: made.GetName()}
	// A branch that the repository itself has not will not come either.
	if _, err := c.Branch(ctx, branch); err != nil {
		return fork, err
	}
	until := time.Now().Add(forkPatience)
	for {
		_, err := call(ctx, c, reads, fmt.Sprintf("read branch %s of %s", branch, fork), func(ctx context.Context) (*gh.Branch, *gh.Response, error) {
			return c.api.Repositories.GetBranch(ctx, fork.Owner, fork.Name, branch, 1)
		})
		if err == nil {
			break
		}
		if !errors.Is(err, forge.ErrNotFound) || time.Now().After(until) {
			return fork, err
		}
		if err := sleep(ctx, time.Second); err != nil {
			return fork, err
		}
	}
	_, err = call(ctx, c, repeatable, fmt.Sprintf("bring branch %s of %s up to date", branch, fork), func(ctx context.Context) (*gh.RepoMergeUpstreamResult, *gh.Response, error) {
		return c.api.Repositories.MergeUpstream(ctx, fork.Owner, fork.Name, &gh.RepoMergeUpstreamRequest{Branch: &branch})
	})
	return fork, err
}
