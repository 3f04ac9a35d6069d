package rest

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/hubship/hubship/internal/git"
)

// maxEntries bounds the entries of a tree that is read with all below it.
const maxEntries = 100_000

func (c *call) getTree() error {
	g, err := c.git()
	if err != nil {
		return err
	}
	id, err := c.resolve(g, c.r.PathValue("sha"))
	if err != nil {
		return err
	}
	tree, err := g.Tree(c.ctx, id)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	all, truncated := c.r.URL.Query().Get("recursive") != "", false
	list := []obj{}
	err = tree.Below(".", func(e git.Entry) error {
		if !all && strings.Contains(e.Path, "/") {
			return nil
		}
		if truncated = len(list) >= maxEntries; !truncated {
			list = append(list, treeEntry(at, e))
		}
		return nil
	})
	if err != nil {
		return err
	}
	root, err := g.TreeOf(c.ctx, id)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, obj{"sha": root, "url": at + "/git/trees/" + root, "tree": list, "truncated": truncated})
}

func treeEntry(at string, e git.Entry) obj {
	kind, mode := "blob", map[uint32]string{git.ModeDir: "040000", git.ModeFile: "100644", git.ModeExecutable: "100755", git.ModeSymlink: "120000", git.ModeSubmodule: "160000"}[e.Mode]
	switch e.Mode {
	case git.ModeDir:
		kind = "tree"
	case git.ModeSubmodule:
		return obj{"path": e.Path, "mode": mode, "type": "commit", "sha": e.ID}
	}
	return obj{"path": e.Path, "mode": mode, "type": kind, "sha": e.ID, "url": at + "/git/" + kind + "s/" + e.ID}
}

func (c *call) getBlob() error {
	g, err := c.git()
	if err != nil {
		return err
	}
	sha := c.r.PathValue("sha")
	data, err := g.Blob(c.ctx, sha)
	if err != nil {
		return notFound()
	}
	if len(data) > 100<<20 {
		return &httpError{status: http.StatusForbidden, message: "This API returns blobs up to 100 MB in size."}
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, obj{"sha": sha, "node_id": nodeID("Blob", sha), "url": at + "/git/blobs/" + sha, "size": len(data), "encoding": "base64", "content": base64.StdEncoding.EncodeToString(data)})
}

func (c *call) listTags() error {
	g, err := c.git()
	if err != nil {
		return err
	}
	refs, err := g.Refs(c.ctx, "refs/tags/")
	if err != nil {
		return err
	}
	return showPage(c, refs, func(at string, r git.Ref) (obj, error) {
		id, name := r.ID, strings.TrimPrefix(r.Name, "refs/tags/")
		if r.Kind == "tag" { // the commit that it is about
			if id, err = c.resolve(g, "tags/"+name); err != nil {
				return nil, err
			}
		}
		html := c.htmlOf(at)
		return obj{"name": name, "node_id": nodeID("Ref", r.Name), "commit": obj{"sha": id, "url": at + "/commits/" + id},
			"zipball_url": html + "/zipball/" + escape(r.Name), "tarball_url": html + "/tarball/" + escape(r.Name)}, nil
	})
}
