package packages

import (
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/plan"
)

// image reads one file of an image and holds what is found to what any input
// must give.
func image(t *testing.T, file, text string) {
	tree := files(map[string]string{
		"image/" + file:         text,
		"image/requirements.in": "numpy==1\n", "image/apt.in": "vim", "image/class.R": "f <- function(x) install.packages(x)",
	})
	dockerfile := ""
	if file == "Dockerfile" {
		dockerfile = "image/Dockerfile"
	}
	start := time.Now()
	list, problems := Image(tree, "image", dockerfile)
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
	if changes := Compare(list, list); len(changes) > 0 {
		t.Errorf("nothing changed, but %v", changes)
	}
	known := map[string]bool{Pip: true, Conda: true, Apt: true, R: true, Runtime: true}
	for _, p := range list {
		_ = p.Pinned()
		if data, ok := tree[p.File]; p.Name == "" || strings.ContainsAny(p.Name, "\n ") || !known[p.Ecosystem] || !ok || p.Line < 1 || p.Line > lines(string(data.Data)) {
			t.Errorf("package %+v of %d lines", p, lines(text))
		}
	}
	for _, p := range problems {
		if p.Message == "" || p.Line < 0 || p.Line > lines(text)+1 || p.Severity != plan.Error && p.Severity != plan.Warning && p.Severity != plan.Notice {
			t.Errorf("problem %+v of %d lines", p, lines(text))
		}
	}
}

func lines(text string) int { return strings.Count(text, "\n") + strings.Count(text, "\r") + 1 }

func FuzzEnvironment(f *testing.F) {
	f.Add("dependencies:\n- numpy=1.2=b\n- c::a >=1,<2|3\n- pip:\n  - -r requirements.in\n  - x==1\n")
	f.Add("x: &x [a, *x]\ndependencies: *x")
	f.Add("dependencies: [a[version='>=1',build=x], 'https://h/a-1-0.conda', {npm: b}]")
	f.Fuzz(func(t *testing.T, text string) { image(t, "environment.yml", text) })
}

func FuzzApt(f *testing.F) {
	f.Add("vim less=1 # c\n\tr-base/stable\r\n")
	f.Fuzz(func(t *testing.T, text string) { image(t, "apt.txt", text) })
}

func FuzzR(f *testing.F) {
	f.Add("source('class.R'); f(c('a', \"b\")[-1])\nfor (i in seq(1, 9, 2)) remotes::install_version(x[i], x[[i+1]])\n")
	f.Add("x <- list(a=c('p','1'), b=function(y, ...) y$z)\nMap(install_version, names(x), x) |> lapply(\\(k) k)")
	f.Add("if (a) { 1:1e9 } else r\"--(raw)--\"; `q` %in% -2^3; install.packages(strsplit('a b', ' ')[[1]])")
	f.Add("f <- function(x) f(f(x)); f(f)\npak::pak(c('a@1','o/r@x','url::https://u:p@h/x_1.tar.gz'))")
	f.Fuzz(func(t *testing.T, text string) { image(t, "install.R", text) })
}

func FuzzShell(f *testing.F) {
	f.Add("#!/bin/bash\nf() { pip install \"$@\" -qr requirements.in; }; f a==1 && for x in $(cat apt.in); do apt-get install $x; done\n")
	f.Add("cat <<E | bash\nconda install -n x 'a>=1'\nE\nx=(a b); x+=(c); pip install ${x[@]} ${y:-z} $((1+2)) `echo q`")
	f.Add("echo \"R -e 'install.packages(1)'\" | sh; sudo -u a env B=c xargs -a apt.in -n1 apt install < x; eval \"pip install e\"")
	f.Fuzz(func(t *testing.T, text string) { image(t, "postBuild", text) })
}

func FuzzDockerfile(f *testing.F) {
	f.Add("# escape=`\nFROM a AS b\nRUN pip install `\n  c\n")
	f.Add("ARG V=1\nFROM x\nARG V\nENV A=\"b c\" D=$V\nCOPY requirements.in /r\nRUN --mount=type=bind,target=/m \\\n # c\n\n pip install -r /r $A \"d==${D}\"\n")
	f.Add("FROM x\nRUN <<A <<B\npip install a\nA\nb\nB\nCOPY <<-C /x.R\n\tinstall.packages('p')\nC\nRUN Rscript /x.R\nRUN [\"sh\", \"-c\", \"apt install q\"]")
	f.Fuzz(func(t *testing.T, text string) { image(t, "Dockerfile", text) })
}
