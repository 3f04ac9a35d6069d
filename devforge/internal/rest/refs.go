package rest

import (
	"errors"
	"net/http"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/internal/git"
)

// createRef makes a branch or a tag of a commit that is there.
func (c *call) createRef() error {
	var in struct {
		Ref string `json:"ref"`
		SHA string `json:"sha"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	if git.CheckRefName(in.Ref) != nil {
		return plain("Reference name is not valid: it must have the form refs/heads/NAME or refs/tags/NAME")
	}
	if id, err := g.Resolve(c.ctx, in.SHA); err != nil || id != in.SHA {
		return plain("Object does not exist")
	}
	if _, err := g.Ref(c.ctx, in.Ref); err == nil {
		return plain("Reference already exists")
	} else if !errors.Is(err, git.ErrNotFound) {
		return err
	}
	err = c.host.MakeRef(c.ctx, c.repo, c.who, in.Ref, in.SHA)
	if errors.Is(err, host.ErrInvalid) || errors.Is(err, host.ErrForbidden) {
		return plain(err.Error())
	} else if err != nil {
		return err
	}
	return c.show(http.StatusCreated, func(at string) (obj, error) {
		return obj{"ref": in.Ref, "node_id": nodeID("Ref", in.Ref), "url": at + "/git/" + escape(in.Ref),
			"object": obj{"type": "commit", "sha": in.SHA, "url": at + "/git/commits/" + in.SHA}}, nil
	})
}
