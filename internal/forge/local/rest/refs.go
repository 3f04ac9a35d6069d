package rest

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/git"
)

func (c *call) ref(at string, r git.Ref) obj {
	return obj{
		"ref": r.Name, "node_id": nodeID("Ref", r.Name), "url": at + "/git/" + escape(r.Name),
		"object": obj{"type": r.Kind, "sha": r.ID, "url": at + "/git/" + r.Kind + "s/" + r.ID},
	}
}

// visible says whether a reference is one that the API shows.
func visible(name string) bool {
	return strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") || strings.HasPrefix(name, "refs/pull/")
}

func (c *call) getRef() error {
	g, err := c.git()
	if err != nil {
		return err
	}
	name := "refs/" + strings.TrimPrefix(c.r.PathValue("ref"), "refs/")
	if git.CheckRefName(name) != nil || !visible(name) {
		return notFound()
	}
	r, err := g.Ref(c.ctx, name)
	if err != nil {
		return err
	}
	return c.answerRef(http.StatusOK, r)
}

func (c *call) answerRef(status int, r git.Ref) error {
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	return c.answer(status, c.ref(at, r))
}

func (c *call) matchingRefs() error {
	g, err := c.git()
	if err != nil {
		return err
	}
	refs, err := g.Refs(c.ctx, "refs/"+strings.TrimPrefix(c.r.PathValue("ref"), "refs/"))
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	list := []obj{}
	for _, r := range refs {
		if visible(r.Name) {
			list = append(list, c.ref(at, r))
		}
	}
	return c.answer(http.StatusOK, cut(c, list))
}

func (c *call) createRef() error {
	var in struct {
		Ref string `json:"ref"`
		SHA string `json:"sha"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	return c.moveRef(in.Ref, in.SHA, false, true)
}

func (c *call) updateRef() error {
	var in struct {
		SHA   string `json:"sha"`
		Force bool   `json:"force"`
	}
	if err := c.read(&in); err != nil {
		return err
	}
	return c.moveRef("refs/"+c.r.PathValue("ref"), in.SHA, in.Force, false)
}

func (c *call) deleteRef() error {
	name := "refs/" + c.r.PathValue("ref")
	if git.CheckRefName(name) != nil {
		return plain("Reference does not exist")
	}
	err := c.host.MoveRef(c.ctx, c.repo, c.who, host.RefMove{Ref: name, New: forge.ZeroID}, false)
	if errors.Is(err, git.ErrNotFound) {
		return plain("Reference does not exist")
	} else if errors.Is(err, host.ErrForbidden) {
		return plain(err.Error())
	} else if err != nil {
		return err
	}
	return c.none()
}

func (c *call) moveRef(name, sha string, force, create bool) error {
	g, err := c.git()
	if err != nil {
		return err
	}
	if git.CheckRefName(name) != nil {
		return plain("Reference name is not valid: it is of the form refs/heads/NAME or refs/tags/NAME")
	}
	if id, err := g.Resolve(c.ctx, sha); err != nil || id != sha {
		return plain("Object does not exist")
	}
	old, err := g.Ref(c.ctx, name)
	switch {
	case err == nil && create:
		return plain("Reference already exists")
	case errors.Is(err, git.ErrNotFound) && !create:
		return plain("Reference does not exist")
	case err != nil && !errors.Is(err, git.ErrNotFound):
		return err
	}
	err = c.host.MoveRef(c.ctx, c.repo, c.who, host.RefMove{Ref: name, Old: old.ID, New: sha}, force)
	if errors.Is(err, host.ErrInvalid) || errors.Is(err, host.ErrForbidden) {
		return plain(err.Error())
	} else if err != nil {
		return err
	}
	status := http.StatusOK
	if create {
		status = http.StatusCreated
	}
	return c.answerRef(status, git.Ref{Name: name, ID: sha, Kind: "commit"})
}
