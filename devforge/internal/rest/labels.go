package rest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
)

func label(at string, l store.Label) obj {
	return obj{"id": l.ID, "node_id": nodeID("Label", l.ID), "url": at + "/labels/" + escape(l.Name), "name": l.Name, "color": l.Color, "default": false, "description": orNull(l.Description)}
}

// addLabels puts labels on a pull request; those that are new are made.
func (c *call) addLabels() error {
	names, err := c.readLabels()
	if err != nil {
		return err
	}
	return c.changeLabels(func(p store.Pull, _ []store.Label) error {
		for _, name := range names {
			l, err := c.store.EnsureLabel(c.ctx, c.repo.ID, name)
			if err == nil {
				err = c.store.AddPullLabel(c.ctx, p.ID, l.ID)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// removeLabel takes a label off a pull request.
func (c *call) removeLabel() error {
	name := c.r.PathValue("name")
	return c.changeLabels(func(p store.Pull, carried []store.Label) error {
		if !slices.ContainsFunc(carried, func(l store.Label) bool { return strings.EqualFold(l.Name, name) }) {
			return &httpError{status: http.StatusNotFound, message: "Label does not exist"}
		}
		return c.store.RemovePullLabel(c.ctx, p.ID, name)
	})
}

// changeLabels changes the labels of the pull request of the path, tells which it
// got and lost, and answers with those that it carries then.
func (c *call) changeLabels(change func(p store.Pull, carried []store.Label) error) error {
	n, err := c.number("number")
	if err != nil {
		return err
	}
	p, err := c.store.Pull(c.ctx, c.repo.ID, n)
	if err != nil {
		return err
	}
	before, err := c.store.PullLabels(c.ctx, p.ID)
	if err != nil {
		return err
	}
	if err := change(p, before); err != nil {
		return err
	}
	after, err := c.store.PullLabels(c.ctx, p.ID)
	if err != nil {
		return err
	}
	if p, err = c.store.Pull(c.ctx, c.repo.ID, n); err != nil {
		return err
	}
	for action, lists := range map[string][2][]store.Label{"labeled": {after, before}, "unlabeled": {before, after}} {
		for _, l := range lists[0] {
			if !slices.Contains(lists[1], l) {
				c.host.Publish(c.ctx, host.Event{Name: "pull_request", Action: action, Repo: c.repo, Sender: c.who, Pull: &p, Label: &l})
			}
		}
	}
	return showPage(c, after, func(at string, l store.Label) (obj, error) { return label(at, l), nil })
}

// readLabels reads {"labels": [...]} or the list alone.
func (c *call) readLabels() ([]string, error) {
	var raw json.RawMessage
	if err := c.read(&raw); err != nil {
		return nil, err
	}
	var names []string
	if json.Unmarshal(raw, &names) != nil {
		var whole struct {
			Labels []string `json:"labels"`
		}
		if json.Unmarshal(raw, &whole) != nil {
			return nil, invalid("Label", "labels", "invalid", "")
		}
		names = whole.Labels
	}
	if len(names) > 100 {
		return nil, invalid("Label", "labels", "invalid", "")
	}
	for _, name := range names {
		if strings.TrimSpace(name) == "" || len([]rune(name)) > 50 {
			return nil, invalid("Label", "name", "invalid", "")
		}
	}
	return names, nil
}
