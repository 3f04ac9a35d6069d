package report

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/hubship/hubship/internal/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got\n%s", path, got)
	}
}

func written(t *testing.T, write func(io.Writer, plan.Plan, Options) error, p plan.Plan, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, p, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestText(t *testing.T) {
	for name, p := range plans() {
		t.Run(name, func(t *testing.T) {
			got := written(t, Text, p, Options{})
			golden(t, name+".txt", got)
			if bytes.Contains(got, []byte("hidden")) {
				t.Error("a secret is written")
			}
			if bytes.ContainsAny(got, "\x1b\u202e") {
				t.Error("control characters reach the terminal")
			}
			if n := bytes.Count(got, []byte("\n")); n > 120 {
				t.Errorf("%d lines", n)
			}
		})
	}
}

func TestTextColourIsOnlyPaint(t *testing.T) {
	for name, p := range plans() {
		plain, painted := string(written(t, Text, p, Options{})), string(written(t, Text, p, Options{Colour: true}))
		var b strings.Builder
		for i, part := range strings.Split(painted, "\x1b[") {
			if i > 0 {
				_, part, _ = strings.Cut(part, "m")
			}
			b.WriteString(part)
		}
		if b.String() != plain {
			t.Errorf("%s: the colours change the text", name)
		}
		if !strings.Contains(painted, "\x1b[") {
			t.Errorf("%s: no colour", name)
		}
	}
}

func TestTextFitsTheTerminal(t *testing.T) {
	for _, width := range []int{40, 60, 100} {
		for l := range strings.Lines(string(written(t, Text, chartBump(), Options{Width: width}))) {
			if n := len([]rune(strings.TrimRight(l, "\n"))); n > width && strings.Contains(strings.TrimSpace(l), " ") && width > 60 {
				t.Errorf("width %d, a line of %d: %s", width, n, l)
			}
		}
	}
}

func TestMarkdown(t *testing.T) {
	for name, p := range plans() {
		t.Run(name, func(t *testing.T) {
			got := written(t, Markdown, p, Options{})
			golden(t, name+".md", got)
			if bytes.Contains(got, []byte("hidden")) {
				t.Error("a secret is written")
			}
			if bytes.ContainsAny(got, "\x1b\u202e") {
				t.Error("control characters are written")
			}
			checkMarkdown(t, string(got))
		})
	}
}

// checkMarkdown looks for what the plan's own texts must not become.
func checkMarkdown(t *testing.T, text string) {
	t.Helper()
	if n := utf8.RuneCountInString(text); n > markdownLimit {
		t.Errorf("%d characters", n)
	}
	// What is left without code and fences is obeyed.
	var open []string
	fence := ""
	for l := range strings.Lines(text) {
		mark := strings.TrimLeft(strings.TrimSpace(l), " ")
		ticks := len(mark) - len(strings.TrimLeft(mark, "`"))
		if ticks >= 3 && fence == "" {
			fence = mark[:ticks]
			continue
		}
		if fence != "" {
			if ticks >= len(fence) && strings.Trim(mark, "`") == "" {
				fence = ""
			}
			continue
		}
		l = codeSpan.ReplaceAllString(l, "")
		for _, tag := range htmlTag.FindAllString(l, -1) {
			switch tag {
			case "<details>", "<summary>", "<b>":
				open = append(open, tag)
			case "</details>", "</summary>", "</b>":
				if len(open) == 0 || open[len(open)-1] != strings.Replace(tag, "/", "", 1) {
					t.Fatalf("%s does not close what is open, %v: %s", tag, open, l)
				}
				open = open[:len(open)-1]
			case "<br>":
			default:
				t.Errorf("a tag of the plan's text: %s", tag)
			}
		}
		if strings.Contains(l, "@everyone") || strings.Contains(l, "#1 ") || strings.Contains(strings.ReplaceAll(l, `\]`, ""), "](") {
			t.Errorf("a link of the plan's text: %s", l)
		}
	}
	if len(open) > 0 || fence != "" {
		t.Errorf("left open: %v %q", open, fence)
	}
}

var (
	codeSpan = regexp.MustCompile("````[^\n]*?````|`[^`\n]+`")
	htmlTag  = regexp.MustCompile(`</?[A-Za-z][^>]*>`)
)

// What a comment has no room for is left out, whole section by section.
func TestMarkdownFitsAComment(t *testing.T) {
	p := chartBump()
	for i := range p.Releases {
		for n := range 30 {
			f := plan.Field{Path: "data.file", Lines: []string{"+" + strings.Repeat("x", 200), "-" + p.Releases[i].Hub}}
			p.Releases[i].Changes = append(p.Releases[i].Changes, object("ConfigMap", strings.Repeat("c", n+1), "", f))
		}
	}
	got := string(written(t, Markdown, p, Options{}))
	checkMarkdown(t, got)
	if !strings.Contains(got, "left out to keep this comment within its limit") || !strings.Contains(got, "all 27 hubs, staging and prod") {
		t.Error("nothing is said of what is left out")
	}
	if n := utf8.RuneCountInString(got); n < markdownLimit/2 {
		t.Errorf("only %d characters are used", n)
	}
}

func TestHTML(t *testing.T) {
	for name, p := range plans() {
		t.Run(name, func(t *testing.T) {
			got := written(t, HTML, p, Options{Title: "Change"})
			golden(t, name+".html", got)
			if bytes.Contains(got, []byte("hidden-")) {
				t.Error("a secret is written")
			}
			doc, err := html.Parse(bytes.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			checkPage(t, doc)
		})
	}
}

// checkPage looks for what a page of its own must not have, and for what whoever
// does not see it needs.
func checkPage(t *testing.T, doc *html.Node) {
	t.Helper()
	headings := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "img", "link", "iframe", "base", "form":
			t.Errorf("a %s element", n.Data)
		case "h1":
			headings++
		case "table":
			if n.FirstChild == nil || n.FirstChild.Data != "caption" {
				t.Error("a table without a caption")
			}
		case "details":
			if n.FirstChild == nil || n.FirstChild.Data != "summary" {
				t.Error("details without a summary")
			}
		case "th":
			if !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "scope" }) {
				t.Error("a heading of a table without a scope")
			}
		}
		for _, a := range n.Attr {
			if a.Key == "src" || a.Key == "href" || a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
			}
		}
	}
	if headings != 1 {
		t.Errorf("%d headings of the first level", headings)
	}
}

// BenchmarkText shows that the cost grows linearly in hubs.
func BenchmarkText(b *testing.B) {
	for _, hubs := range []int{27, 270, 1000} {
		p := chartBump()
		one := p.Releases[:2]
		p.Releases, p.Fleet = nil, nil
		for i := range hubs {
			for _, r := range one {
				r.Hub = fmt.Sprintf("hub%04d", i)
				r.Namespace, r.Release = r.Hub+"-"+r.Environment, r.Hub+"-"+r.Environment
				p.Releases, p.Fleet = append(p.Releases, r), append(p.Fleet, r.Key())
			}
		}
		b.Run(fmt.Sprint(hubs), func(b *testing.B) {
			for b.Loop() {
				if err := Text(io.Discard, p, Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(hubs), "µs/hub")
		})
	}
}

func TestPairShowsWhatDiffers(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, tt := range []struct{ a, b, before, after string }{
		{"a", "b", "a", "b"},
		{long + ":1", long + ":2", "…xxxxxxxxxxx:1", "…xxxxxxxxxxx:2"},
		{"a" + long, "b", "a" + long[:29] + "…", "b"},
		{long, long + "y", "…xxxxxxxxxxxx", "…xxxxxxxxxxxxy"},
	} {
		if before, after := pair(tt.a, tt.b, 30); before != tt.before || after != tt.after {
			t.Errorf("%s, %s: got %s, %s", tt.a, tt.b, before, after)
		}
	}
}
