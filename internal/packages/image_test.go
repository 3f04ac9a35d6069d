package packages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hubship/hubship/internal/plan"
)

// files makes a tree of texts.
func files(texts map[string]string) fstest.MapFS {
	tree := fstest.MapFS{}
	for name, text := range texts {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree
}

// told words packages as "ecosystem name spec @file:line", without the folder.
func told(list []Package) string {
	var lines []string
	for _, p := range list {
		lines = append(lines, fmt.Sprintf("%s %s %s@%s:%d", p.Ecosystem, p.Name, p.Spec, strings.TrimPrefix(p.File, "image/"), p.Line))
	}
	return strings.Join(lines, "\n")
}

func toldProblems(list []plan.Problem) string {
	var lines []string
	for _, p := range list {
		lines = append(lines, fmt.Sprintf("%s %s:%d %s", p.Severity, strings.TrimPrefix(p.File, "image/"), p.Line, p.Message))
	}
	return strings.Join(lines, "\n")
}

// check compares what an image's files install and what is wrong with them.
func check(t *testing.T, tree fs.FS, dockerfile, want, problems string) []Package {
	t.Helper()
	list, found := Image(tree, "image", dockerfile)
	if got := told(list); got != strings.TrimSpace(want) {
		t.Errorf("packages\n%s\nwant\n%s", got, strings.TrimSpace(want))
	}
	if got := toldProblems(found); got != strings.TrimSpace(problems) {
		t.Errorf("problems\n%s\nwant\n%s", got, strings.TrimSpace(problems))
	}
	for _, p := range found {
		if p.Check != "packages" || p.Message == "" {
			t.Errorf("problem %+v", p)
		}
	}
	return list
}

func TestEnvironment(t *testing.T) {
	for name, tc := range map[string]struct{ text, want, problems string }{
		"notations": {text: `
name: class
channels: [conda-forge]
dependencies:
  - python=3.11.*
  - numpy==1.26.4
  - pandas >=2,<3
  - scipy = 1.11.4
  - xarray 2024.1.0 py_0
  - conda-forge::git=2.45=h123_0
  - cudatoolkit[version='>=11', build=foo]
  - libblas=*=*mkl
  - nodejs
  - https://conda.example.org/linux-64/tree-2.1.3-h1_0.conda
`, want: `
conda python =3.11.*@environment.yml:5
conda numpy ==1.26.4@environment.yml:6
conda pandas >=2,<3@environment.yml:7
conda scipy = 1.11.4@environment.yml:8
conda xarray 2024.1.0 py_0@environment.yml:9
conda git =2.45=h123_0[channel=conda-forge]@environment.yml:10
conda cudatoolkit [version='>=11', build=foo]@environment.yml:11
conda libblas =*=*mkl@environment.yml:12
conda nodejs @environment.yml:13
conda tree @ https://conda.example.org/linux-64/tree-2.1.3-h1_0.conda@environment.yml:14`},
		"pip": {text: `
dependencies:
- pip
- pip:
  - requests==2.31.0  # why
  - nbconvert[webpdf]
  - -r infra.txt
  - git+https://token@git.example.org/team/widgets.git@0123abc
  - --extra-index-url https://user:secret@index.example.org
`, want: `
conda pip @environment.yml:3
pip requests ==2.31.0@environment.yml:5
pip nbconvert [webpdf]@environment.yml:6
pip jupyterhub ==5.0.0@infra.txt:2
pip widgets @ git+https://git.example.org/team/widgets.git@0123abc@environment.yml:8`},
		"wrong": {text: `
dependencies:
- numpy=>1
- dask[complete]
- [a]
- ok
-
- pip:
  - a=1
  - -r gone.txt
- npm: [left-pad]
`, want: `conda dask @environment.yml:4
conda ok @environment.yml:6`, problems: `
error environment.yml:3 "numpy=>1" is not a conda package
warning environment.yml:4 conda has no extras: [complete] of "dask[complete]" adds nothing
error environment.yml:5 an entry of ` + "`dependencies` is a package, or `pip`" + ` with a list
error environment.yml:7 an entry of ` + "`dependencies`" + ` is empty
error environment.yml:9 "a=1" is not a requirement
error environment.yml:10 include gone.txt: read requirements: open image/gone.txt: file does not exist
warning environment.yml:11 packages of "npm" are not read`},
		"not YAML":   {text: "dependencies:\n- a\n b: c", problems: "error environment.yml:3 not YAML: mapping values are not allowed in this context"},
		"no list":    {text: "dependencies: numpy", problems: "error environment.yml:1 `dependencies` is a list"},
		"no mapping": {text: "- a", problems: "error environment.yml:1 an environment is a mapping with `dependencies`"},
		"empty":      {},
		"aliases":    {text: "x: &l [a=1.2.3, b]\ndependencies: *l", want: "conda a =1.2.3@environment.yml:1\nconda b @environment.yml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, files(map[string]string{"image/environment.yml": tc.text, "image/infra.txt": "# shared\njupyterhub==5.0.0\n"}), "", tc.want, tc.problems)
		})
	}
}

func TestRepo2docker(t *testing.T) {
	check(t, files(map[string]string{
		"image/README.md":          "",
		"image/apt.txt":            "decoy",
		"image/binder/apt.txt":     "# tools\nvim  less # more\nr-base=4.1.2-1\nBad_Name\n",
		"image/binder/runtime.txt": "r-4.1-2022-01-31\n",
		"image/binder/install.R":   `install.packages("plm")`,
		"image/binder/postBuild":   "#!/bin/bash\nset -e\npip install --no-cache-dir \\\n  nbgitpuller==1.2.0\n",
	}), "", `
runtime r =4.1 of 2022-01-31@binder/runtime.txt:1
apt vim @binder/apt.txt:2
apt less @binder/apt.txt:2
apt r-base =4.1.2-1@binder/apt.txt:3
r plm @binder/install.R:1
pip nbgitpuller ==1.2.0@binder/postBuild:4`, `warning binder/apt.txt:4 "Bad_Name" is not the name of a Debian package`)

	check(t, files(map[string]string{
		"image/runtime.txt": "python-3.11", "image/requirements.txt": "numpy==1.26.4", "image/environment.yaml": "dependencies: [a]",
	}), "", "runtime python =3.11@runtime.txt:1\npip numpy ==1.26.4@requirements.txt:1", "warning environment.yaml:0 repo2docker does not read this file")

	check(t, files(map[string]string{
		"image/requirements.txt": "numpy", "image/environment.yml": "dependencies: [a]", "image/runtime.txt": "latest",
	}), "", "conda a @environment.yml:1", `
warning runtime.txt:1 "latest" is not a runtime
notice requirements.txt:0 is not installed: repo2docker takes environment.yml alone`)

	check(t, files(map[string]string{"image/binder/apt.txt": "a1", "image/.binder/apt.txt": "b1"}), "", "", "error .binder:0 there are both binder and .binder: repo2docker refuses that")
	check(t, files(map[string]string{"image/binder/Dockerfile": "FROM x\nRUN pip install q==1", "image/apt.txt": "vim"}), "", "pip q ==1@binder/Dockerfile:2", "")
}

func TestTwice(t *testing.T) {
	check(t, files(map[string]string{
		"image/environment.yml": "dependencies:\n- numpy=1.26.*\n- scipy=1.11.1\n- graphviz=2\n- pip:\n  - numpy==1.26.4\n  - scipy==1.12.0\n  - graphviz==0.20\n  - requests==2.0\n  - requests\n  - Requests==2.1\n  - a==1; python_version<'3.11'\n  - a==2; python_version>='3.11'\n",
	}), "", `
conda numpy =1.26.*@environment.yml:2
conda scipy =1.11.1@environment.yml:3
conda graphviz =2@environment.yml:4
pip numpy ==1.26.4@environment.yml:6
pip scipy ==1.12.0@environment.yml:7
pip graphviz ==0.20@environment.yml:8
pip requests ==2.0@environment.yml:9
pip requests @environment.yml:10
pip Requests ==2.1@environment.yml:11
pip a ==1@environment.yml:12
pip a ==2@environment.yml:13`, `
warning environment.yml:11 Requests is listed twice: ==2.1 here, ==2.0 in image/environment.yml
notice environment.yml:7 pip installs scipy ==1.12.0 over conda's =1.11.1`)
}

// Nothing outside of the tree is read, whatever names it.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.txt")
	root := filepath.Join(dir, "repo")
	for name, text := range map[string]string{
		secret: "topsecret==1\n",
		filepath.Join(root, "image", "Dockerfile"): "FROM x\nCOPY linked.txt /tmp/\nRUN pip install -r /tmp/linked.txt -r ../../secret.txt -r /secret.txt -r a.txt\n",
		filepath.Join(root, "image", "a.txt"):      "-r ../../secret.txt\n-r " + secret + "\n-r linked.txt\nfine\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"image/linked.txt": "../../secret.txt", "image/environment.yml": secret, "up": "..", "image/loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dockerfile := range []string{"image/Dockerfile", "", "up/secret.txt", "image/loop"} {
		list, problems := Image(os.DirFS(root), "image", dockerfile)
		for _, p := range list {
			if p.Name != "fine" {
				t.Errorf("read %+v", p)
			}
		}
		if len(problems) == 0 && dockerfile != "" {
			t.Errorf("%s: no problem", dockerfile)
		}
		for _, p := range problems {
			if strings.Contains(p.Message, "topsecret") {
				t.Errorf("problem %+v", p)
			}
		}
	}
}

// Sizes and depths that would cost much are refused, and say so.
func TestBounds(t *testing.T) {
	deep := "dependencies:\n- &a0 x\n"
	for i := 1; i < 40; i++ {
		deep += fmt.Sprintf("- &a%d [%s]\n", i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	for name, tc := range map[string]struct{ file, text, want string }{
		"large":       {"requirements.txt", strings.Repeat("# words\n", 1<<20), "larger than 4 MiB"},
		"YAML bomb":   {"environment.yml", deep, "is a package"},
		"many":        {"environment.yml", "x: &x a\ndependencies:\n- pip:\n" + strings.Repeat("  - *x\n", 30_000), "too large"},
		"deep YAML":   {"environment.yml", "dependencies: " + strings.Repeat("[", 20_000), "not YAML"},
		"deep shell":  {"postBuild", "#!/bin/sh\n" + strings.Repeat("( ", 5000), "nested more than"},
		"deep shell2": {"postBuild", "#!/bin/sh\n" + strings.Repeat("if ", 5000), "nested more than"},
		"long shell":  {"postBuild", "#!/bin/sh\n" + strings.Repeat("echo a\n", 50_000), "longer than"},
		"doubled":     {"postBuild", "#!/bin/sh\nx='a b'\n" + strings.Repeat("x=\"$x $x\"\n", 1000) + strings.Repeat("pip install $x\n", 5000), "too many commands"},
		"doubled R":   {"install.R", "x <- c('a', 'b')\n" + strings.Repeat("x <- c(x, x)\n", 1000) + strings.Repeat("install.packages(x)\n", 5000), "too many commands"},
		"loops":       {"postBuild", "#!/bin/sh\n" + strings.Repeat("for i in 1 2 3 4 5 6 7 8 9; do ", 8) + "pip install a$i;" + strings.Repeat(" done;", 8), "too many commands"},
		"recursive":   {"install.R", "f <- function(x) { f(x); f(x); f(x) }\nf('a')", "too many commands"},
		"deep R":      {"install.R", strings.Repeat("c(", 100_000), "too deep"},
		"open string": {"install.R", `install.packages("x`, "a string has no end"},
	} {
		t.Run(name, func(t *testing.T) {
			list, problems := Image(files(map[string]string{"image/" + tc.file: tc.text}), "image", "")
			if len(list) > maxPackages || !strings.Contains(toldProblems(problems), tc.want) {
				t.Errorf("%d packages, problems %s, want %s", len(list), toldProblems(problems), tc.want)
			}
		})
	}
}
