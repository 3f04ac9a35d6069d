package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hubship/hubship/internal/model"
)

// listed words packages as "name spec (file:line)".
func listed(packages []Package) string {
	lines := make([]string, 0, len(packages))
	for _, p := range packages {
		lines = append(lines, fmt.Sprintf("%s|%s|%s:%d", p.Name, p.Spec, p.File, p.Line))
	}
	return strings.Join(lines, "\n")
}

func TestPackages(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"plain":             {"numpy\n", "numpy||r.txt:1"},
		"pinned":            {"scikit-learn==1.7.2", "scikit-learn|==1.7.2|r.txt:1"},
		"comments":          {"# all\n\nnumpy # why\n  # more\npandas\n", "numpy||r.txt:3\npandas||r.txt:5"},
		"several clauses":   {"a >= 1.0, != 1.5 ,<2", "a|>= 1.0, != 1.5 ,<2|r.txt:1"},
		"other operators":   {"a~=1.4.2\nb===1.0-x\nc<=2\nd>0.1\ne==1.*", "a|~=1.4.2|r.txt:1\nb|===1.0-x|r.txt:2\nc|<=2|r.txt:3\nd|>0.1|r.txt:4\ne|==1.*|r.txt:5"},
		"parentheses":       {"a (>=1,<2)", "a|>=1,<2|r.txt:1"},
		"extras":            {"dask[array, dataframe] ==2024.1\nb[]", "dask|[array,dataframe]==2024.1|r.txt:1\nb|[]|r.txt:2"},
		"direct reference":  {"nb @ https://example.org/nb-1.0-py3-none-any.whl#sha256=ab\nb @ git+https://example.org/b.git@v1#egg=b", "nb|@ https://example.org/nb-1.0-py3-none-any.whl#sha256=ab|r.txt:1\nb|@ git+https://example.org/b.git@v1#egg=b|r.txt:2"},
		"credentials":       {"a @ https://user:secret@example.org/a.zip\n-e git+https://token@example.org/c#egg=c", "a|@ https://example.org/a.zip|r.txt:1\nc|@ git+https://example.org/c#egg=c|r.txt:2"},
		"editable":          {"-e git+https://example.org/c.git@main#egg=pack_c&subdirectory=x\n-e .\n--editable=./here", "pack_c|@ git+https://example.org/c.git@main#egg=pack_c&subdirectory=x|r.txt:1"},
		"hashes":            {"a==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nb==2 --hash sha256:cc", "a|==1|r.txt:1\nb|==2|r.txt:4"},
		"continued":         {"a \\\n>=1\\\n,<2\nb", "a|>=1,<2|r.txt:1\nb||r.txt:4"},
		"comment ends it":   {"a==1 \\\n# comment\nb", "a|==1|r.txt:1\nb||r.txt:3"},
		"options":           {"--index-url https://example.org/simple\n-i https://x\n--extra-index-url=https://y\n-f links\n--no-binary :all:\n-c constraints.txt\n--pre\na", "a||r.txt:8"},
		"local":             {"./packages/broken\n../up\npkg/dir\nthing-1.0.tar.gz\nhttps://example.org/x.whl\nfile:///x\n.\na", "a||r.txt:8"},
		"line ends":         {"\ufeffa==1\r\nb\rc", "a|==1|r.txt:1\nb||r.txt:2\nc||r.txt:3"},
		"marker other OS":   {"a; sys_platform == 'win32'\nb ; platform_system != \"Windows\"\nc;os_name=='nt' or python_version<'3'", "b||r.txt:2"},
		"marker python":     {"a; python_version < '3.8'\nb; python_version >= '3.8'\nc; python_version < '3.11'\nd; '3' > python_version", "b||r.txt:2\nc||r.txt:3"},
		"marker in":         {"a; sys_platform in 'linux darwin'\nb; sys_platform not in 'linux, darwin'", "a||r.txt:1"},
		"marker nested":     {"a; (python_version >= '3' and (sys_platform == 'linux')) and platform_machine == 'x'\nb; extra == 'test'", "a||r.txt:1"},
		"marker nonsense":   {"a; what is this\nb; (((\nc; python_version < 'x'", "a||r.txt:1\nb||r.txt:2\nc||r.txt:3"},
		"marker reference":  {"a @ https://example.org/a;b.zip ; sys_platform == 'win32'\nb @ https://example.org/a;b.zip", "b|@ https://example.org/a;b.zip|r.txt:2"},
		"odd names":         {"A.b_c-D==1\nx2", "A.b_c-D|==1|r.txt:1\nx2||r.txt:2"},
		"hash in address":   {"a @ https://example.org/a.zip#sha256=1", "a|@ https://example.org/a.zip#sha256=1|r.txt:1"},
		"nothing":           {"\n\n# only words\n", ""},
		"twice":             {"a==1; python_version<'3.11'\na==2; python_version>='3.11'", "a|==1|r.txt:1\na|==2|r.txt:2"},
		"environment value": {"--index-url https://${USER}:${TOKEN}@example.org\na", "a||r.txt:2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Requirements(fstest.MapFS{"r.txt": {Data: []byte(tc.text)}}, "r.txt")
			if err != nil || listed(got) != tc.want {
				t.Errorf("packages\n%s\nwant\n%s\nerror %v", listed(got), tc.want, err)
			}
		})
	}
}

func TestIncludes(t *testing.T) {
	files := fstest.MapFS{
		"image/requirements.txt": {Data: []byte("a==1\n-r more/b.txt\n--requirement=../shared/c.txt\n-rmore/b.txt\n-c constraints.txt\nz\n")},
		"image/more/b.txt":       {Data: []byte("b\n-r ../requirements.txt\n")},
		"shared/c.txt":           {Data: []byte("c\n-r https://example.org/remote.txt\n")},
	}
	got, err := Requirements(files, "image/requirements.txt")
	want := "a|==1|image/requirements.txt:1\nb||image/more/b.txt:1\nc||shared/c.txt:1\nz||image/requirements.txt:6"
	if err != nil || listed(got) != want {
		t.Errorf("packages\n%s\nwant\n%s\nerror %v", listed(got), want, err)
	}
}

func TestRequirementErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		text, want string
		is         error
		hint       bool
	}{
		"nonsense":         {text: "a\n\n???", want: `r.txt:3: "???" is not a requirement`, hint: true},
		"bad specifier":    {text: "a=1", want: `r.txt:1: "a=1" is not a requirement`, hint: true},
		"two on a line":    {text: "a b", want: `r.txt:1: "a b" is not a requirement`, hint: true},
		"empty address":    {text: "a @ ", want: `r.txt:1: "a @" is not a requirement`, hint: true},
		"missing include":  {text: "a\n-r gone.txt", want: "r.txt:2: include gone.txt", is: fs.ErrNotExist, hint: true},
		"include outside":  {text: "-r ../x.txt", want: `r.txt:1: "../x.txt" is outside the repository`},
		"absolute include": {text: "-r /etc/passwd", want: "is outside the repository"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Requirements(fstest.MapFS{"r.txt": {Data: []byte(tc.text)}}, "r.txt")
			if err == nil || !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) || tc.hint != (model.HintOf(err) != "") {
				t.Errorf("error %v with hint %q, want %s", err, model.HintOf(err), tc.want)
			}
		})
	}
	if _, err := Requirements(fstest.MapFS{}, "r.txt"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestManyIncludes(t *testing.T) {
	files := fstest.MapFS{}
	for i := range maxIncludes + 1 {
		files[fmt.Sprintf("%d.txt", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "-r %d.txt", i+1)}
	}
	if _, err := Requirements(files, "0.txt"); err == nil || !strings.Contains(err.Error(), "include each other") {
		t.Errorf("error %v", err)
	}
}

func TestChanged(t *testing.T) {
	parse := func(text string) []Package {
		p, err := Requirements(fstest.MapFS{"r.txt": {Data: []byte(text)}}, "r.txt")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, tc := range map[string]struct{ base, head, want string }{
		"nothing":         {"a==1\nb", "b\na==1\n# words", ""},
		"added":           {"a==1", "a==1\nemoji==2.14.0", "emoji"},
		"altered":         {"a==1\nb==1", "a==2\nb==1", "a"},
		"removed":         {"a==1\nb==1", "b==1", ""},
		"first":           {"", "a\nb\na", "a b"},
		"other spelling":  {"Scikit_Learn==1", "scikit-learn == 1", ""},
		"extra":           {"dask==1", "dask[array]==1", "dask"},
		"unpinned":        {"a==1", "a", "a"},
		"one of two":      {"a==1; python_version<'3.11'\na==2; python_version>='3.11'", "a==1; python_version<'3.11'\na==3; python_version>='3.11'", "a"},
		"reference moved": {"a @ git+https://example.org/a@1", "a @ git+https://example.org/a@2", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range Changed(parse(tc.base), parse(tc.head)) {
				got = append(got, p.Name)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("changed %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzPackages looks for input that ends the program, and for packages whose
// names pip could not have.
func FuzzPackages(f *testing.F) {
	f.Add("a[b]>=1,<2 ; python_version < '3' # c\n-r r.txt\n")
	f.Add("a==1 \\\n --hash=sha256:00\n-e git+https://x@y/z#egg=q\n")
	f.Add("a @ https://u:p@h/x ; (os_name == 'nt' or 'x' in y) and z not in 'w'")
	f.Fuzz(func(t *testing.T, text string) {
		packages, err := Requirements(fstest.MapFS{"r.txt": {Data: []byte(text)}}, "r.txt")
		if err != nil {
			return
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		for _, p := range packages {
			if m := requirementName.FindString(p.Name); m != p.Name || p.Name == "" {
				t.Errorf("name %q", p.Name)
			}
			if p.Line < 1 || p.Line > lines || p.File != "r.txt" {
				t.Errorf("package %+v of %d lines", p, lines)
			}
		}
		if changed := Changed(packages, packages); len(changed) > 0 {
			t.Errorf("nothing changed, but %v", changed)
		}
	})
}
