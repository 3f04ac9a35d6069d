package markdown

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestMarkdown(t *testing.T) {
	for source, want := range map[string]string{
		"#7 and a#8":                    `<a href="/forge/h/d/pull/7" rel="nofollow noreferrer">#7</a> and a#8`,
		"see (#12)":                     `(<a href="/forge/h/d/pull/12"`,
		"`#7`":                          `<code>#7</code>`,
		"- [x] done":                    `<input checked="" disabled="" type="checkbox"`,
		"| a |\n|---|\n| 1 |":           `<td>1</td>`,
		"<details><summary>s</summary>": `<details><summary>s</summary>`,
		"https://example.org":           `href="https://example.org"`,
		"![a picture](https://x/y.png)": `<a href="https://x/y.png" rel="nofollow noreferrer">a picture</a>`,
		"[x](a.md#top) [y](../b.md)":    `<a href="/forge/h/d/blob/staging/docs/a.md#top"`,
		"[y](../b.md)":                  `href="/forge/h/d/blob/staging/b.md"`,
		"[y](/z) [a](#b)":               `href="/z"`,
		"[a](#b)":                       `href="#b"`,
		"one\ntwo":                      "one<br>\ntwo",
	} {
		if got := string(HTML("/forge/h/d", "/forge/h/d/blob/staging/docs", source)); !strings.Contains(got, want) {
			t.Errorf("%q becomes %q, expected %q in it", source, got, want)
		}
	}
}

// Whatever somebody writes, nothing of it runs, loads, sends or hides.
func TestHostileMarkdown(t *testing.T) {
	for _, source := range []string{
		`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `[x](javascript:alert(1))`, `<a href="data:text/html,<script>1</script>">x</a>`,
		`<form action=/forge/-/signout method=post><button>x</button></form>`, `<p style="position:fixed">x</p>`, `<style>body{display:none}</style>`,
		`<iframe src=//evil></iframe>`, `<svg onload=alert(1)><script>1</script></svg>`, `<math><mtext></p><img src=x onerror=1></math>`,
		`<input name=form value=x>`, `<input type=password name=p>`, `<base href=//evil>`, `<meta http-equiv=refresh content="0;url=//evil">`, `<link rel=stylesheet href=//evil>`,
		"<img alt='\"><script>alert(1)</script>' src=\"javascript:1\">", "![\"onload=\"alert(1)](https://x/\"onerror=\"1)", "<table><tr><td><table><script>1</script>",
		strings.Repeat("<div>", 300) + "<script>1</script>", strings.Repeat("> ", 300) + "<script>1</script>", strings.Repeat("[", 3000) + "](javascript:1)",
		`<div id="live-merge">Everything is there</div>`, `<p title="x > y" id=log dir=ltr lang=en>x</p>`, "<h2 ID='offline'>x</h2>", "## x {#live-state}", "<p id=a id=b dir=ltr id=c>x</p><map name=x id=x></map>",
		"<a href='vbscript:x' onclick=x target=_top>x</a>", "<scr<script>ipt>alert(1)</scr</script>ipt>", "\u202e<script\x00>alert(1)</script>",
	} {
		got := string(HTML("/forge/h/d", "/forge/h/d/blob/staging/docs", source))
		doc, err := html.Parse(strings.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			switch n.Data {
			case "script", "style", "iframe", "form", "svg", "math", "base", "meta", "link", "object", "embed", "button", "img":
				t.Errorf("%.60q leaves <%s>: %.200q", source, n.Data, got)
			}
			for _, a := range n.Attr {
				value := strings.ToLower(strings.TrimSpace(a.Val))
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "target" || a.Key == "id" || a.Key == "name" ||
					strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:") || strings.HasPrefix(value, "vbscript:") {
					t.Errorf("%.60q leaves %s=%q", source, a.Key, a.Val)
				}
			}
		}
	}
}
