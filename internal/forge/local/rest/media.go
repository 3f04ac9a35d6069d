package rest

import (
	"net/http"
	"net/url"
	"regexp"

	"github.com/hubship/hubship/internal/forge/local/markdown"
	"github.com/hubship/hubship/internal/git"
)

// media are GitHub's representations of what people write: beside the source,
// which stays, without markup, rendered, or both.
var media = regexp.MustCompile(`application/vnd\.github\.(?:v3\.)?(text|html|full)\+json`)

// maxDiffText bounds a difference that is sent as text, in bytes.
const maxDiffText = 16 << 20

var diffMedia = regexp.MustCompile(`application/vnd\.github\.(?:v3\.)?(diff|patch)\b`)

// wantsDiff says whether a difference is asked for as text.
func (c *call) wantsDiff() bool { return diffMedia.MatchString(c.r.Header.Get("Accept")) }

// answerDiff answers what wantsDiff: one diff of the trees from and head, or a
// patch for each commit that head has and base has not.
func (c *call) answerDiff(g *git.Repo, from, base, head string) error {
	how := diffMedia.FindStringSubmatch(c.r.Header.Get("Accept"))[1]
	var text []byte
	var err error
	if how == "patch" {
		text, err = g.Patches(c.ctx, base, head, maxDiffText)
	} else {
		text, err = g.Diff(c.ctx, from, head, maxDiffText)
	}
	if err != nil {
		return err
	}
	if len(text) == maxDiffText {
		return &httpError{status: http.StatusNotAcceptable, message: "Sorry, the diff exceeded the maximum number of bytes."}
	}
	c.w.Header().Set("Content-Type", "application/vnd.github."+how+"; charset=utf-8")
	_, _ = c.w.Write(text)
	return nil
}

// represent adds what the Accept header asks for to everything with a body.
func (c *call) represent(v any) error {
	m := media.FindStringSubmatch(c.r.Header.Get("Accept"))
	if m == nil || c.repo.ID == 0 {
		return nil
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	page, err := url.Parse(c.htmlOf(at))
	if err != nil {
		return err
	}
	c.representAll(v, m[1], page.Path)
	return nil
}

func (c *call) representAll(v any, how, page string) {
	switch v := v.(type) {
	case []obj:
		for _, o := range v {
			c.representAll(o, how, page)
		}
	case obj:
		for _, below := range v {
			c.representAll(below, how, page)
		}
		body, ok := v["body"]
		if _, written := v["html_url"]; !ok || !written {
			return
		}
		source, _ := body.(string)
		rendered := markdown.HTML(page, page+"/blob/"+escape(c.repo.DefaultBranch), source)
		if how != "html" {
			v["body_text"] = markdown.Text(rendered)
		}
		if how != "text" {
			v["body_html"] = string(rendered)
		}
	}
}
