package rest

import (
	"net/http"
	"regexp"

	"github.com/hubship/hubship/internal/git"
)

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
