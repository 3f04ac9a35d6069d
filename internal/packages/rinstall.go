package packages

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

var (
	rPackageName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.]*$`)
	rRequirement = regexp.MustCompile(`^(==|>=|<=|>|<|!=)\s*[0-9]`)
	rArchive     = regexp.MustCompile(`([A-Za-z][A-Za-z0-9.]*)_([0-9][0-9.-]*)\.(tar\.gz|tgz|zip)$`)
)

// install takes a call if it is one of those that install packages.
func (i *rInterpreter) install(qualifier, name string, args rArgs, n *rNode) bool {
	i.calling = n
	switch name {
	case "install.packages", "install_cran", "install_bioc", "biocLite", "install.github":
		i.installPlain(name, args, n)
	case "install_version":
		i.installVersion(args, n)
	case "install_github", "install_gitlab", "install_bitbucket":
		i.installRepository(strings.TrimPrefix(name, "install_"), args, n)
	case "install_git", "install_url":
		i.installAddress(args, n)
	case "pkg_install", "pak":
		v, _ := args.pick(0, "pkg")
		i.each(v, n, i.reference)
	case "install":
		if qualifier != "BiocManager" && qualifier != "renv" {
			return qualifier != "" // devtools::install builds a folder
		}
		if v, ok := args.pick(0, "pkgs", "packages"); ok {
			i.each(v, n, i.reference)
		}
	case "install_local", "install_deps", "install_dev", "install_svn":
		// What they install is not known before the build.
	default:
		return i.helper(name, args, n)
	}
	return true
}

// each gives every text of a value to a function. A value that is not known is
// told.
func (i *rInterpreter) each(v rValue, n *rNode, take func(rItem)) {
	if !v.known {
		i.unknown(n)
		return
	}
	all := v.flat(0)
	i.b.rSteps += len(all)
	for _, it := range all {
		take(it)
	}
}

func (i *rInterpreter) unknown(n *rNode) {
	name := ""
	if len(n.kids) > 0 {
		name = n.kids[0].text
	}
	i.b.report(plan.Notice, n.file, n.line, model.WithHint(fmt.Errorf("which packages %s installs is not known before the build", abbreviate(name)),
		"give it their names as they are, or in a vector"))
}

// take adds a package, or says that there is none of that name.
func (i *rInterpreter) take(p Package, it rItem) {
	if p.Name == "" {
		p = i.at(p, it)
		i.b.report(plan.Warning, p.File, p.Line, fmt.Errorf("%q is not the name of an R package", abbreviate(it.text)))
		return
	}
	i.b.add(i.at(p, it))
}

// at gives a package the place of its name, or else that of the call.
func (i *rInterpreter) at(p Package, it rItem) Package {
	p.File, p.Line = it.file, it.line
	if it.file == "" && i.calling != nil {
		p.File, p.Line = i.calling.file, i.calling.line
	}
	return p
}

func (i *rInterpreter) plain(it rItem)     { i.take(plainPackage(it.text), it) }
func (i *rInterpreter) reference(it rItem) { i.take(referencePackage(it.text), it) }

func (i *rInterpreter) installPlain(name string, args rArgs, n *rNode) {
	v, ok := args.pick(0, "pkgs")
	if !ok {
		return
	}
	i.each(v, n, i.plain)
	for _, a := range args {
		if a.name == "version" && name == "install.packages" {
			i.b.report(plan.Warning, n.file, n.line, model.WithHint(errors.New("install.packages takes no version: it installs the newest"), "use remotes::install_version"))
		}
	}
}

// installVersion takes names, and as many versions.
func (i *rInterpreter) installVersion(args rArgs, n *rNode) {
	names, _ := args.pick(0, "package")
	place := 1
	for _, a := range args {
		if a.name == "package" {
			place = 0
		}
	}
	versions, _ := args.pick(place, "version")
	if !names.known {
		i.unknown(n)
		return
	}
	all, given := names.flat(0), versions.flat(0)
	for k, it := range all {
		p := plainPackage(it.text)
		if k < len(given) {
			p.Spec = versionSpec(given[k].text)
		}
		i.take(p, it)
	}
}

// versionSpec is a version of R's as a specification.
func versionSpec(version string) string {
	version = strings.TrimSpace(version)
	if version == "" || version == "NA" || rRequirement.MatchString(version) {
		return strings.TrimPrefix(version, "NA")
	}
	return "==" + version
}

func (i *rInterpreter) installRepository(host string, args rArgs, n *rNode) {
	repos, _ := args.pick(0, "repo", "repos")
	refs, _ := args.pick(1, "ref")
	if !repos.known {
		i.unknown(n)
		return
	}
	given := refs.flat(0)
	for k, it := range repos.flat(0) {
		ref := ""
		if k < len(given) {
			ref = given[k].text
		} else if len(given) == 1 {
			ref = given[0].text
		}
		i.take(githubPackage(host, it.text, ref), it)
	}
}

func (i *rInterpreter) installAddress(args rArgs, n *rNode) {
	v, _ := args.pick(0, "url")
	ref, _ := args.pick(-1, "ref", "branch", "tag")
	i.each(v, n, func(it rItem) {
		p := addressPackage(it.text)
		if len(ref.items) == 1 && p.Name != "" {
			p.Spec += "@" + ref.items[0].text
		}
		i.take(p, it)
	})
}

// helper takes a call of a function that is not known, whose name says that it
// installs: with names and versions, or repositories and commits, in turn.
func (i *rInterpreter) helper(name string, args rArgs, n *rNode) bool {
	byVersion := strings.Contains(name, "install_version")
	if !byVersion && !strings.Contains(name, "install_github") && !strings.Contains(name, "install_class_libs") {
		return false
	}
	var list []rItem
	for _, a := range args {
		if items := a.value.flat(0); a.value.known && len(items) > len(list) {
			list = items
		}
	}
	if len(list) < 2 || len(list)%2 != 0 {
		i.unknown(n)
		return true
	}
	for k := 0; k+1 < len(list); k += 2 {
		p := githubPackage("github", list[k].text, list[k+1].text)
		if byVersion {
			p = plainPackage(list[k].text)
			p.Spec = versionSpec(list[k+1].text)
		}
		i.take(p, list[k])
	}
	return true
}

// rNames reads a list of names of R packages, one or several a line.
func (r *reader) rNames(name string) error {
	if first, err := r.once(R, name); !first {
		return err
	}
	data, err := r.read(name)
	if err != nil {
		return fmt.Errorf("read list of packages: %w", err)
	}
	for i, line := range strings.Split(text(data), "\n") {
		for word := range strings.FieldsSeq(comment.ReplaceAllString(line, "")) {
			p := plainPackage(word)
			if p.Name == "" {
				r.report(plan.Warning, name, i+1, fmt.Errorf("%q is not the name of an R package", abbreviate(word)))
				continue
			}
			p.File, p.Line = name, i+1
			r.add(p)
		}
	}
	return nil
}

// plainPackage reads what install.packages takes: a name, or the address of a
// source archive. The name is empty when it is neither.
func plainPackage(text string) Package {
	text = strings.TrimSpace(text)
	if rPackageName.MatchString(text) {
		return Package{Ecosystem: R, Name: text}
	}
	if strings.Contains(text, "/") || archive.MatchString(text) {
		if strings.Count(text, "/") == 1 && !archive.MatchString(text) {
			return githubPackage("github", text, "")
		}
		return addressPackage(text)
	}
	return Package{}
}

// githubPackage reads "owner/repo", "name=owner/repo/folder@ref".
func githubPackage(host, repo, ref string) Package {
	repo = strings.TrimSpace(repo)
	if strings.Contains(repo, "://") || strings.HasPrefix(repo, "git@") {
		p := addressPackage(repo)
		if ref != "" && p.Name != "" {
			p.Spec += "@" + ref
		}
		return p
	}
	given, rest, named := strings.Cut(repo, "=")
	if !named {
		given, rest = "", repo
	}
	if bare, at, ok := strings.Cut(rest, "@"); ok {
		rest, ref = bare, at
	} else if bare, pull, ok := strings.Cut(rest, "#"); ok {
		rest, ref = bare, "#"+pull
	}
	name := given
	if name == "" {
		name = path.Base(rest)
	}
	if strings.Count(rest, "/") < 1 || strings.ContainsAny(rest, " \t\"'") || !validRepository(name) {
		return Package{}
	}
	spec := "@ " + host + "::" + rest
	if ref != "" {
		spec += "@" + ref
	}
	return Package{Ecosystem: R, Name: name, Spec: spec}
}

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func validRepository(name string) bool { return repositoryName.MatchString(name) }

// addressPackage names what is at an address after its last part.
func addressPackage(address string) Package {
	shown := "@ " + withoutUser(address)
	bare, _, _ := strings.Cut(address, "?")
	bare, _, _ = strings.Cut(bare, "#")
	if m := rArchive.FindStringSubmatch(bare); m != nil {
		return Package{Ecosystem: R, Name: m[1], Spec: shown}
	}
	name := strings.TrimSuffix(archive.ReplaceAllString(path.Base(bare), ""), ".git")
	if !strings.Contains(address, "/") && !archive.MatchString(address) || !validRepository(name) {
		return Package{}
	}
	if parts := strings.Split(bare, "/"); strings.Contains(bare, "/archive/") && len(parts) > 4 {
		// ".../owner/repo/archive/ref.tar.gz"
		for k, part := range parts {
			if part == "archive" && k > 0 && validRepository(parts[k-1]) {
				name = parts[k-1]
			}
		}
	}
	return Package{Ecosystem: R, Name: name, Spec: shown}
}

// referencePackage reads what pak, renv and BiocManager take: "name",
// "name@1.2.3", "bioc::name", "owner/repo@ref", "url::https://…".
func referencePackage(text string) Package {
	text = strings.TrimSpace(text)
	kind, rest, ok := strings.Cut(text, "::")
	if !ok {
		kind, rest = "", text
	}
	switch kind {
	case "", "cran", "bioc", "any", "standard":
		name, version, versioned := strings.Cut(rest, "@")
		if rPackageName.MatchString(name) {
			p := Package{Ecosystem: R, Name: name}
			if versioned && version != "current" && version != "last" {
				p.Spec = versionSpec(version)
			}
			return p
		}
		return githubOrAddress(rest)
	case "github", "gitlab", "bitbucket":
		return githubPackage(kind, rest, "")
	case "url", "git":
		return addressPackage(rest)
	case "local", "deps":
		return Package{}
	}
	return Package{}
}

func githubOrAddress(text string) Package {
	if strings.Contains(text, "://") {
		return addressPackage(text)
	}
	return githubPackage("github", text, "")
}
