package packages

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// pipValues are the options of pip and uv that take a value, besides those
// that say what is installed.
var pipValues = strings.Fields(`-c --constraint --constraints -t --target --prefix --root --python-version --platform
	--implementation --abi -i --index-url --extra-index-url -f --find-links --no-binary --only-binary --src
	--cache-dir --log --proxy --retries --timeout --cert --client-cert --trusted-host --exists-action
	--upgrade-strategy --progress-bar --report -C --config-settings --config-setting --global-option --install-option
	--build-option --use-feature --use-deprecated --hash -p --python --index --default-index --keyring-provider
	--index-strategy --link-mode --override --overrides --group --extra --exclude-newer --resolution --prerelease
	--python-platform -b --build-constraint --refresh-package --upgrade-package -P --torch-backend --dependency-groups`)

// option is an argument of a program: a name with its value, or an operand
// without a name.
type option struct {
	name  string
	value word
}

// options divides arguments as most programs do. Short options stand together
// ("-qr file"), a value follows in the same argument or the next.
func options(args []word, withValue []string) []option {
	var out []option
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a.text == "--":
			for _, rest := range args[i+1:] {
				out = append(out, option{value: rest})
			}
			return out
		case strings.HasPrefix(a.text, "--"):
			name, value, inline := strings.Cut(a.text, "=")
			o := option{name: name, value: word{text: value, line: a.line}}
			if !inline && slices.Contains(withValue, name) && i+1 < len(args) {
				i++
				o.value = args[i]
			}
			out = append(out, o)
		case strings.HasPrefix(a.text, "-") && len(a.text) > 1:
			used := false
			for j := 1; j < len(a.text) && !used; j++ {
				o := option{name: "-" + a.text[j:j+1], value: word{line: a.line}}
				if slices.Contains(withValue, o.name) {
					used = true
					if j+1 < len(a.text) {
						o.value.text = strings.TrimPrefix(a.text[j+1:], "=")
					} else if i+1 < len(args) {
						i++
						o.value = args[i]
					}
				}
				out = append(out, o)
			}
		default:
			out = append(out, option{value: a})
		}
	}
	return out
}

// pip follows "pip install" and "uv pip sync".
func (s *script) pip(args []word) {
	rest := skipOptions(args, pipValues...)
	if len(rest) == 0 || rest[0].text != "install" && rest[0].text != "sync" {
		return
	}
	values := slices.Concat(pipValues, []string{"-r", "--requirement", "--requirements", "-e", "--editable"})
	for _, o := range options(rest[1:], values) {
		for _, file := range o.value.files {
			s.b.list(s.file, o.value.line, s.b.requirements(file))
		}
		if len(o.value.files) > 0 {
			continue
		}
		switch o.name {
		case "-r", "--requirement", "--requirements":
			s.listed(o.value, s.b.requirements)
		case "-e", "--editable":
			s.requirementWord("-e "+o.value.text, o.value.line)
		case "":
			if rest[0].text == "sync" {
				s.listed(o.value, s.b.requirements)
			} else {
				s.requirementWord(o.value.text, o.value.line)
			}
		}
	}
}

// requirementWord takes a requirement that is an argument of pip.
func (s *script) requirementWord(requirement string, line int) {
	if requirement == "" {
		return
	}
	if unknownWords(requirement) {
		s.b.report(plan.Notice, s.file, line, unknownBefore(requirement))
		return
	}
	before := len(s.b.problems)
	if err := s.b.requirement(s.file, line, requirement); err != nil {
		s.b.report(plan.Warning, s.file, line, err)
	}
	for i := before; i < len(s.b.problems); i++ {
		s.b.problems[i].Severity = plan.Warning // a shell may still make it right
	}
}

// unknownWords says that an argument is a variable or a command whose value is
// not known, rather than a name with such a version.
func unknownWords(text string) bool {
	return strings.HasPrefix(text, "$") || strings.HasPrefix(text, "`") || strings.Contains(text, "$(")
}

func unknownBefore(text string) error {
	return model.WithHint(fmt.Errorf("what %s installs is not known before the build", abbreviate(text)),
		"name the packages in the file, or in a list that the build copies")
}

// listed reads a list that a command names.
func (s *script) listed(name word, read func(string) error) {
	if name.text == "" || name.text == "-" || strings.Contains(name.text, "://") {
		return
	}
	file, ok := s.b.found(name.text)
	if !ok {
		s.b.report(plan.Notice, s.file, name.line, fmt.Errorf("%s is not in the image's folder: what it installs is not known before the build", abbreviate(name.text)))
		return
	}
	s.b.list(s.file, name.line, read(file))
}

// list reports the error of reading a list where it was asked for.
func (b *build) list(file string, line int, err error) {
	if err != nil {
		b.report(plan.Error, file, line, err)
	}
}

var condaValues = strings.Fields(`-n --name -p --prefix -c --channel --file -f --solver --platform --subdir
	--repodata-fn --revision --clone --experimental --override-channels-file -r --root-prefix --rc-file --category --cwd`)

// conda follows "conda install", "conda create", "conda env update" and
// "conda run".
func (s *script) conda(args []word, in output) output {
	rest := skipOptions(args, "-r", "--root-prefix", "--rc-file", "-n", "--name", "-p", "--prefix")
	if len(rest) == 0 {
		return output{}
	}
	verb := rest[0].text
	rest = rest[1:]
	env := false
	switch verb {
	case "run":
		before := s.b.scope
		s.b.scope = inEnvironment(before, options(rest[:len(rest)-len(skipOptions(rest, condaValues...))], condaValues))
		out := s.command(skipOptions(rest, condaValues...), in)
		s.b.scope = before
		return out
	case "env":
		rest = skipOptions(rest)
		if len(rest) == 0 || rest[0].text != "create" && rest[0].text != "update" {
			return output{}
		}
		env, rest = true, rest[1:]
	case "install", "create", "env-create", "env-update":
	default:
		return output{}
	}
	all := options(rest, condaValues)
	before := s.b.scope
	s.b.scope = inEnvironment(before, all)
	s.condaOperands(all, env)
	s.b.scope = before
	return output{}
}

// condaOperands takes the packages and files of one conda command.
func (s *script) condaOperands(all []option, env bool) {
	file := false
	for _, o := range all {
		switch {
		case o.name == "--file" || o.name == "-f":
			if o.value.text != "" {
				file = true
				s.listed(o.value, s.b.condaList)
			}
		case o.name != "" || env && o.value.text == "":
		case len(o.value.files) > 0:
			for _, f := range o.value.files {
				s.b.list(s.file, o.value.line, s.b.condaList(f))
			}
		case env:
		case unknownWords(o.value.text):
			s.b.report(plan.Notice, s.file, o.value.line, unknownBefore(o.value.text))
		default:
			s.condaWord(o.value)
		}
	}
	if env && !file {
		if name, ok := s.b.found("environment.yml"); ok {
			s.b.list(s.file, 0, s.b.environment(name))
		}
	}
}

func (s *script) condaWord(w word) {
	p, ok := parseMatch(w.text)
	if !ok {
		s.b.report(plan.Warning, s.file, w.line, fmt.Errorf("%q is not a conda package", abbreviate(w.text)))
		return
	}
	p.File, p.Line = s.file, w.line
	s.b.add(p)
}

// inEnvironment is the scope of packages that go into another environment
// than the image's own.
func inEnvironment(scope string, all []option) string {
	for _, o := range all {
		if o.name == "-n" || o.name == "--name" || o.name == "-p" || o.name == "--prefix" {
			switch name := path.Base(o.value.text); name {
			case "base", "root", "conda", "${CONDA_DIR}", "$CONDA_DIR", "${NB_PYTHON_PREFIX}", "notebook":
			default:
				return scope + " in " + name
			}
		}
	}
	return scope
}

// condaList reads a file that conda is given: an environment, or a list of
// packages.
func (r *reader) condaList(name string) error {
	if ext := strings.ToLower(path.Ext(name)); ext == ".yml" || ext == ".yaml" {
		return r.environment(name)
	}
	if first, err := r.once(Conda, name); !first {
		return err
	}
	data, err := r.read(name)
	if err != nil {
		return fmt.Errorf("read list of packages: %w", err)
	}
	for i, line := range strings.Split(text(data), "\n") {
		line = strings.TrimSpace(comment.ReplaceAllString(line, ""))
		if line == "" || strings.HasPrefix(line, "@") {
			continue
		}
		p, ok := parseMatch(line)
		if !ok {
			r.report(plan.Warning, name, i+1, fmt.Errorf("%q is not a conda package", abbreviate(line)))
			continue
		}
		p.File, p.Line = name, i+1
		r.add(p)
	}
	return nil
}

// apt follows "apt-get install".
func (s *script) apt(args []word) {
	values := []string{"-o", "--option", "-t", "--target-release", "--default-release", "-c", "--config-file"}
	rest := skipOptions(args, values...)
	if len(rest) == 0 || rest[0].text != "install" {
		return
	}
	for _, o := range options(rest[1:], values) {
		if o.name != "" {
			continue
		}
		for _, file := range o.value.files {
			s.b.list(s.file, o.value.line, s.b.aptList(file))
		}
		word := o.value.text
		switch {
		case len(o.value.files) > 0, word == "", strings.Contains(word, ".deb"), strings.HasSuffix(word, "-"):
			// Package files have no name before they are read; "name-" removes.
		case strings.Contains(strings.SplitN(word, "=", 2)[0], "/") && strings.IndexAny(word, "/.$") == 0:
		case unknownWords(word):
			s.b.report(plan.Notice, s.file, o.value.line, unknownBefore(word))
		default:
			p, ok := parseApt(word)
			if !ok {
				s.b.report(plan.Warning, s.file, o.value.line, fmt.Errorf("%q is not the name of a Debian package", abbreviate(word)))
				continue
			}
			p.File, p.Line = s.file, o.value.line
			s.b.add(p)
		}
	}
}

// littler follows the programs that come with R's littler.
func (s *script) littler(program string, args []word) {
	values := []string{"-l", "--libloc", "-n", "--ncpus", "-r", "--repos", "-m", "--method", "-t", "--type", "-d", "--deps", "--token", "-a", "--auth"}
	for _, o := range options(args, values) {
		for _, file := range o.value.files {
			s.b.list(s.file, o.value.line, s.b.rNames(file))
		}
		word := o.value.text
		switch {
		case o.name != "" || word == "" || len(o.value.files) > 0:
		case unknownWords(word):
			s.b.report(plan.Notice, s.file, o.value.line, unknownBefore(word))
		case program == "installGithub.r":
			s.rWord(githubPackage("github", word, ""), o.value)
		default:
			s.rWord(plainPackage(word), o.value)
		}
	}
}

func (s *script) rWord(p Package, w word) {
	if p.Name == "" {
		s.b.report(plan.Warning, s.file, w.line, fmt.Errorf("%q is not the name of an R package", abbreviate(w.text)))
		return
	}
	p.File, p.Line = s.file, w.line
	s.b.add(p)
}

// rProgram follows R and Rscript: code, a script, or what it reads.
func (s *script) rProgram(program string, args []word, in output) {
	code, next := false, false
	for i := 0; i < len(args); i++ {
		a := args[i].text
		switch {
		case (a == "-e" || a == "-E") && i+1 < len(args):
			i++
			code = true
			s.b.rScript(s.file, args[i].line-1, args[i].text)
		case (a == "-f" || a == "BATCH") && i+1 < len(args):
			i++
			code = true
			s.scriptNamed(args[i].text)
		case strings.HasPrefix(a, "--file="):
			code = true
			s.scriptNamed(strings.TrimPrefix(a, "--file="))
		case strings.HasPrefix(a, "-"), program == "R" && (a == "CMD" || code), next:
		default:
			// The script; what follows are its arguments.
			if program != "R" && !code {
				s.scriptNamed(a)
			}
			next = true
		}
	}
	if code || next {
		return
	}
	for _, file := range in.files {
		s.b.runR(file)
	}
	if in.known {
		s.b.rScript(s.file, in.line, in.text)
	}
}
