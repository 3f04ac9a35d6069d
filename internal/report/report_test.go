package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
