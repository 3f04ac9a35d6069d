package images

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func aptDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDebianSources(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"stanzas, without other vendors and disabled ones": {
			files: map[string]string{
				"sources.list.d/debian.sources": "# A comment\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nEnabled: no\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n",
				"sources.list.d/vendor.sources": "Types: deb\nURIs: https://packages.example/x\nSuites: nodistro\nComponents: main\n",
			},
			want: "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n",
		},
		"lines": {
			files: map[string]string{
				"sources.list":             "# deb http://old.example/debian bookworm main\ndeb http://mirror.example/debian bookworm main\ndeb-src http://mirror.example/debian bookworm main\n",
				"sources.list.d/more.list": "deb http://mirror.example/debian-security bookworm-security main\ndeb https://packages.example/x stable main\n",
			},
			want: "deb http://mirror.example/debian bookworm main\ndeb http://mirror.example/debian-security bookworm-security main\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := debianSources(aptDir(t, test.files))
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got:\n%q\nwant:\n%q", got, test.want)
			}
		})
	}
}

func TestDebianSourcesMissing(t *testing.T) {
	_, err := debianSources(aptDir(t, map[string]string{"sources.list": "deb http://mirror.example/ubuntu noble main\n"}))
	if err == nil || !strings.Contains(err.Error(), "sources.list") {
		t.Errorf("got error %v, want one that says what to add", err)
	}
}
