// Package markdown renders what people write on the embedded forge, safely: the
// pages show it, and the API on request.
package markdown

import (
	"bytes"
	"html/template"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// maxMarkdown bounds the text that is rendered, in bytes; the rest is left out.
const maxMarkdown = 1 << 18

// policy is what is left of the HTML that people write: no script, no style, no
// form, and of pictures their words alone: the pages load nothing from
// elsewhere.
var policy = func() *bluemonday.Policy {
	p := bluemonday.UGCPolicy()
	p.SkipElementsContent("svg", "math")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^task-list-item$`)).OnElements("li")
	p.AllowAttrs("type").Matching(regexp.MustCompile(`^checkbox$`)).OnElements("input")
	p.AllowAttrs("checked", "disabled").OnElements("input")
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	return p
}()

// HTML renders what people, and hubship, write on a repository's pages. repo is
// the path of the repository's page, below which #7 leads; folder is
// the path of the page of the folder that relative links are about.
func HTML(repo, folder, source string) template.HTML {
	if len(source) > maxMarkdown {
		source = strings.ToValidUTF8(source[:maxMarkdown], "")
	}
	md := goldmark.New(
		goldmark.WithExtensions(extension.GFM),
		goldmark.WithParserOptions(parser.WithInlineParsers(util.Prioritized(numbers{repo}, 500)), parser.WithASTTransformers(util.Prioritized(relative{folder}, 500))),
		// What is unsafe is taken out below, of what people write as HTML and
		// of what comes of Markdown alike.
		goldmark.WithRendererOptions(html.WithUnsafe(), html.WithHardWraps()),
	)
	var b bytes.Buffer
	if err := md.Convert([]byte(source), &b); err != nil {
		return template.HTML("<pre>" + template.HTMLEscapeString(source) + "</pre>")
	}
	// What the policy leaves is well formed, with its attributes quoted.
	left := tags.ReplaceAllStringFunc(string(policy.SanitizeBytes(b.Bytes())), func(tag string) string { return names.ReplaceAllString(tag, "") })
	return template.HTML(pictures.ReplaceAllStringFunc(left, asLink))
}

// Nothing that people write has a name: the script of the pages finds their parts
// by name, and would show what somebody wrote in the place of what hubship says.
var (
	tags  = regexp.MustCompile(`<[^>]*>`)
	names = regexp.MustCompile(` (?:id|name)="[^"]*"`)
)

// pictures are shown as links to them.
var pictures = regexp.MustCompile(`<img[^>]*>`)

// asLink is a link to a picture of another site.
func asLink(img string) string {
	m := address.FindStringSubmatch(img)
	if m == nil {
		return ""
	}
	text := "picture"
	if alt := alternative.FindStringSubmatch(img); alt != nil && alt[1] != "" {
		text = alt[1]
	}
	return `<a href="` + m[1] + `" rel="nofollow noreferrer">` + text + `</a>`
}

var (
	address     = regexp.MustCompile(`\bsrc="([^"]*)"`)
	alternative = regexp.MustCompile(`\balt="([^"]*)"`)
)

// relative leads links to files of the repository to their pages.
type relative struct{ folder string }

// Transform implements parser.ASTTransformer.
func (t relative) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // it returns what the function does: nil
		if link, ok := n.(*ast.Link); ok && entering {
			to, err := url.Parse(string(link.Destination))
			if err == nil && to.Scheme == "" && to.Host == "" && to.Path != "" && !strings.HasPrefix(to.Path, "/") {
				to.Path = path.Join(t.folder, to.Path)
				link.Destination = []byte(to.String())
			}
		}
		return ast.WalkContinue, nil
	})
}

// numbers makes links of #7.
type numbers struct{ repo string }

var number = regexp.MustCompile(`^#([1-9][0-9]{0,8})\b`)

// Trigger implements parser.InlineParser.
func (numbers) Trigger() []byte { return []byte{'#'} }

// Parse implements parser.InlineParser.
func (n numbers) Parse(_ ast.Node, block text.Reader, _ parser.Context) ast.Node {
	before := block.PrecendingCharacter()
	if before != ' ' && before != '\n' && before != '(' && before != '[' && before != ',' && before != '\u200b' {
		return nil
	}
	line, _ := block.PeekLine()
	m := number.FindSubmatch(line)
	if m == nil {
		return nil
	}
	block.Advance(len(m[0]))
	link := ast.NewLink()
	link.Destination = []byte(n.repo + "/pull/" + string(m[1]))
	link.AppendChild(link, ast.NewString(m[0]))
	return link
}
