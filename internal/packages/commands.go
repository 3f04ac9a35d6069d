package packages

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	pipProgram    = regexp.MustCompile(`^pip[0-9.]*$`)
	pythonProgram = regexp.MustCompile(`^(python|pypy)[0-9.]*$`)
	assignment    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// command follows one program with its arguments. It returns what the program
// writes.
func (s *script) command(words []word, in output) output {
	for len(words) > 0 && assignment.MatchString(words[0].text) {
		words = words[1:]
	}
	if len(words) == 0 {
		return output{}
	}
	name, args := path.Base(words[0].text), words[1:]
	switch {
	case pipProgram.MatchString(name):
		s.pip(args)
	case pythonProgram.MatchString(name):
		if i := optionAt(args, "-m"); i >= 0 && i+1 < len(args) && args[i+1].text == "pip" {
			s.pip(args[i+2:])
		}
	case name == "uv":
		if rest := skipOptions(args, "--directory", "--project", "--cache-dir", "--config-file"); len(rest) > 0 && rest[0].text == "pip" {
			s.pip(rest[1:])
		}
	case name == "conda" || name == "mamba" || name == "micromamba":
		return s.conda(args, in)
	case name == "apt-get" || name == "apt" || name == "aptitude":
		s.apt(args)
	case name == "install2.r" || name == "install.r" || name == "installBioc.r" || name == "installGithub.r":
		s.littler(name, args)
	case name == "R" || name == "Rscript" || name == "r" || name == "Rscript.exe":
		s.rProgram(name, args, in)
	default:
		return s.general(words[0], name, args, in)
	}
	return output{}
}

// general follows programs that run others, write or filter, and scripts.
func (s *script) general(first word, name string, args []word, in output) output {
	switch name {
	case "echo", "printf":
		return written(name, args, first.line)
	case "cat", "grep", "egrep", "fgrep", "sed", "awk", "tr", "sort", "uniq", "cut", "head", "tail", "tac", "envsubst", "paste", "tee":
		return s.filtered(args, in)
	case "bash", "sh", "dash", "zsh", "ash":
		s.shellProgram(args, in)
	case "source", ".":
		if len(args) > 0 {
			s.scriptNamed(args[0].text)
		}
	case "eval":
		s.nested(joinWords(args), first.line-1)
	case "xargs":
		return s.xargs(args, in)
	case "cd":
		if len(args) == 1 && !strings.Contains(args[0].text, "$") {
			s.b.workdir = under(s.b.workdir, args[0].text)
		}
	case "su":
		if i := optionAt(args, "-c", "--command"); i >= 0 && i+1 < len(args) {
			s.nested(args[i+1].text, args[i+1].line-1)
		}
	default:
		if rest, ok := wrapped(name, args); ok {
			return s.command(rest, in)
		}
		if file, ok := s.b.program(first.text); ok {
			s.b.runScript(file)
		}
	}
	return output{}
}

func under(dir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

// wrappers are programs that run the command behind their options. Listed are
// those options that take a value, and words that come before the command.
var wrappers = map[string]struct {
	values []string
	words  int
}{
	"sudo":    {values: []string{"-u", "--user", "-g", "--group", "-C", "-D", "-h", "-p", "-r", "-t", "-U"}},
	"env":     {values: []string{"-u", "--unset", "-C", "--chdir"}},
	"time":    {values: []string{"-f", "--format", "-o", "--output"}},
	"nice":    {values: []string{"-n", "--adjustment"}},
	"ionice":  {values: []string{"-c", "-n"}},
	"timeout": {values: []string{"-k", "--kill-after", "-s", "--signal"}, words: 1},
	"stdbuf":  {values: []string{"-i", "-o", "-e"}},
	"exec":    {values: []string{"-a"}},
	"command": {}, "nohup": {}, "builtin": {}, "eatmydata": {},
	"gosu":     {words: 1},
	"su-exec":  {words: 1},
	"chroot":   {words: 1},
	"runuser":  {values: []string{"-u", "-g"}},
	"xvfb-run": {values: []string{"-s", "-n", "-e", "-f", "-p", "-w"}},
}

func wrapped(name string, args []word) ([]word, bool) {
	w, ok := wrappers[name]
	if !ok {
		return nil, false
	}
	rest := skipOptions(args, w.values...)
	for len(rest) > 0 && assignment.MatchString(rest[0].text) {
		rest = rest[1:]
	}
	if len(rest) <= w.words {
		return nil, false
	}
	return rest[w.words:], true
}

// skipOptions returns the arguments from the first that is no option and no
// option's value.
func skipOptions(args []word, withValue ...string) []word {
	for len(args) > 0 && strings.HasPrefix(args[0].text, "-") && args[0].text != "-" {
		option := args[0].text
		args = args[1:]
		if option == "--" {
			break
		}
		if slices.Contains(withValue, option) && len(args) > 0 {
			args = args[1:]
		}
	}
	return args
}

// optionAt is the place of the first of these options before the first
// argument that is none.
func optionAt(args []word, names ...string) int {
	return slices.IndexFunc(args, func(w word) bool { return slices.Contains(names, w.text) })
}

func joinWords(args []word) string {
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = a.text
	}
	return strings.Join(texts, " ")
}

// written is what echo and printf write.
func written(name string, args []word, line int) output {
	out := output{known: true, line: line - 1}
	escapes := name == "printf"
	for name == "echo" && len(args) > 0 && (args[0].text == "-e" || args[0].text == "-n" || args[0].text == "-ne" || args[0].text == "-en") {
		escapes = escapes || strings.Contains(args[0].text, "e")
		args = args[1:]
	}
	for _, a := range args {
		out.files = append(out.files, a.files...)
	}
	out.text = joinWords(args)
	if escapes {
		out.text = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(out.text)
	}
	if name == "printf" && strings.HasPrefix(out.text, "%s") {
		_, out.text, _ = strings.Cut(out.text, " ")
	}
	return out
}

// filtered is what passes through a filter: the files that it is given, or
// what it reads.
func (s *script) filtered(args []word, in output) output {
	var out output
	for _, a := range args {
		if strings.HasPrefix(a.text, "-") || a.text == "" {
			continue
		}
		if file, ok := s.b.found(a.text); ok {
			out.files = append(out.files, file)
		}
	}
	if len(out.files) > 0 {
		return out
	}
	return in
}

// shellProgram follows bash: a command, a script, or what it reads.
func (s *script) shellProgram(args []word, in output) {
	for i := 0; i < len(args); i++ {
		a := args[i].text
		switch {
		case a == "-o" || a == "+o" || a == "-O" || a == "--rcfile" || a == "--init-file":
			i++
		case strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "c"):
			for i++; i < len(args) && strings.HasPrefix(args[i].text, "-"); i++ {
				continue
			}
			if i < len(args) {
				s.nested(args[i].text, args[i].line-1)
			}
			return
		case strings.HasPrefix(a, "-"):
		default:
			s.scriptNamed(a)
			return
		}
	}
	for _, file := range in.files {
		s.b.runScript(file)
	}
	if in.known {
		s.nested(in.text, in.line)
	}
}

// nested follows a text as a script of its own, with the variables of this
// one. Line is that before its first.
func (s *script) nested(src string, line int) {
	if src == "" || len(src) > maxScript {
		return
	}
	before := *s
	s.line = line
	s.run(src)
	s.line, s.src = before.line, before.src
}

func (s *script) scriptNamed(name string) {
	if file, ok := s.b.found(name); ok {
		s.b.runScript(file)
	}
}

// xargs runs a command with what it reads.
func (s *script) xargs(args []word, in output) output {
	if i := optionAt(args, "-a", "--arg-file"); i >= 0 && i+1 < len(args) {
		if file, ok := s.b.found(args[i+1].text); ok {
			in = output{files: []string{file}}
		}
	}
	rest := slices.Clone(skipOptions(args, "-a", "--arg-file", "-n", "--max-args", "-L", "-P", "--max-procs", "-I", "-d", "--delimiter", "-s", "-E"))
	if len(rest) == 0 {
		return in
	}
	line := rest[len(rest)-1].line
	for _, file := range in.files {
		rest = append(rest, word{line: line, files: []string{file}})
	}
	if in.known {
		for field := range strings.FieldsSeq(in.text) {
			rest = append(rest, word{text: field, line: line})
		}
	}
	return s.command(rest, output{})
}

// runScript follows a script of the tree, in the language that it is in.
func (b *build) runScript(file string) {
	if first, err := b.once("script", file); !first || err != nil {
		return
	}
	data, err := b.read(file)
	if err != nil {
		return // the build says so
	}
	src := text(data)
	switch language(file, src) {
	case "shell":
		b.depth++
		if b.depth <= maxDepth {
			b.shellScript(file, 0, src)
		}
		b.depth--
	case "r":
		b.rScript(file, 0, src)
	}
}

var shellName = regexp.MustCompile(`\b(ba|da|z|a)?sh\b`)

// language is that of a script: "shell", "r", or "" for any other.
func language(file, src string) string {
	if first, _, _ := strings.Cut(src, "\n"); strings.HasPrefix(first, "#!") {
		fields := strings.Fields(strings.TrimPrefix(first, "#!"))
		for _, f := range fields {
			switch program := path.Base(f); {
			case program == "env" || strings.HasPrefix(f, "-"):
			case program == "Rscript" || program == "r" || program == "R":
				return "r"
			case shellName.MatchString(program):
				return "shell"
			default:
				return ""
			}
		}
	}
	switch strings.ToLower(path.Ext(file)) {
	case ".r":
		return "r"
	case ".sh", ".bash", "":
		return "shell"
	}
	return ""
}
