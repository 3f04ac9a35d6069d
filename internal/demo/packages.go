package demo

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// candidates are small packages of pure Python, with versions to go through.
var candidates = []struct {
	name     string
	versions []string
}{
	{"emoji", []string{"2.14.0", "2.14.1"}},
	{"cowsay", []string{"6.0", "6.1"}},
	{"humanize", []string{"4.12.2", "4.12.3"}},
	{"inflection", []string{"0.5.1"}},
	{"pyfiglet", []string{"1.0.2", "1.0.3"}},
	{"art", []string{"6.4", "6.5"}},
	{"roman", []string{"5.0"}},
}

// next chooses what to add to a requirements file: a package that it does not
// list, or else another version of one that it does, so that the demo can be
// played again and again. It returns the file with that line.
func next(requirements string) (name, version, changed string) {
	for _, c := range candidates {
		if _, listed := pinned(requirements, c.name); !listed {
			line := c.name + "==" + c.versions[len(c.versions)-1]
			return c.name, c.versions[len(c.versions)-1], strings.TrimRight(requirements, "\n") + "\n" + line + "\n"
		}
	}
	for _, c := range candidates {
		now, _ := pinned(requirements, c.name)
		for _, v := range c.versions {
			if v != now && len(c.versions) > 1 {
				return c.name, v, pin(c.name).ReplaceAllString(requirements, c.name+"=="+v)
			}
		}
	}
	return "", "", requirements
}

// pin matches the line of a package, whatever its version; the first group is
// the version that it is pinned to.
func pin(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?mi)^` + regexp.QuoteMeta(name) + `(?:[ \t]*==[ \t]*([^\s;#,]+)|[<>=!~\[;# \t]|$).*$`)
}

func pinned(requirements, name string) (version string, listed bool) {
	m := pin(name).FindStringSubmatch(requirements)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// What `hubship demo --broken` adds. A local version never comes from a
// package index.
const (
	brokenName    = "hubship-demo-broken"
	brokenModule  = "hubship_demo_broken"
	brokenMessage = "this package installs but cannot be imported"
)

// wheel is a version of that package: pip installs it without complaint.
type wheel struct{ version, code string }

// brokenWheels are one that raises wherever it is imported, and one that does
// in a server that the hub has started, which no check of an image can know.
var brokenWheels = [2]wheel{
	{"0.1+demo", "raise ImportError(\"" + brokenMessage + "\")\n"},
	{"0.2+demo", "import os\nif \"JUPYTERHUB_API_TOKEN\" in os.environ:\n    raise ImportError(\"" + brokenMessage + "\")\n"},
}

// file returns the wheel's name and content, always the same.
func (w wheel) file() (name string, data []byte, err error) {
	info := brokenModule + "-" + w.version + ".dist-info/"
	files := []struct{ name, text string }{
		{brokenModule + ".py", w.code},
		{info + "METADATA", "Metadata-Version: 2.1\nName: " + brokenName + "\nVersion: " + w.version + "\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: hubship\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "top_level.txt", brokenModule + "\n"},
	}
	var record strings.Builder
	for _, f := range files {
		sum := sha256.Sum256([]byte(f.text))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", f.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.text))
	}
	record.WriteString(info + "RECORD,,\n")
	files = append(files, struct{ name, text string }{info + "RECORD", record.String()})

	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, f := range files {
		out, err := z.Create(f.name)
		if err == nil {
			_, err = out.Write([]byte(f.text))
		}
		if err != nil {
			return "", nil, fmt.Errorf("create the broken package: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return "", nil, fmt.Errorf("create the broken package: %w", err)
	}
	return brokenModule + "-" + w.version + "-py3-none-any.whl", buf.Bytes(), nil
}

// listed is a requirements file with this version of the package, from a folder
// beside it, in place of another one.
func (w wheel) listed(requirements string) string {
	line := brokenName + "==" + w.version
	if _, there := pinned(requirements, brokenName); there {
		return pin(brokenName).ReplaceAllString(requirements, line)
	}
	return strings.TrimRight(requirements, "\n") + "\n--find-links ./packages\n" + line + "\n"
}
