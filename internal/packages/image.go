package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// Image reads everything that a build context installs, in the order of the
// build. Context is the folder that is built, dockerfile the build file, both
// from the root of the tree; without a build file the context is read as
// repo2docker reads it. Nothing is run: of a script, every branch of a
// condition counts. A file that is wrong is a problem, and the rest is still
// read; so is a package that is listed twice with different versions.
// Problems have no Releases.
func Image(tree fs.FS, context, dockerfile string) ([]Package, []plan.Problem) {
	b := newBuild(tree, path.Clean(context))
	if dockerfile != "" {
		b.dockerfile(path.Clean(dockerfile))
	} else {
		b.repo2docker()
	}
	b.settle()
	b.twice()
	if b.steps > maxSteps || b.rSteps > maxRSteps {
		b.report(plan.Warning, b.name(dockerfile), 0, model.WithHint(errors.New("there are too many commands: not all are read"), "list the packages in files that the build installs from"))
	}
	return b.packages, b.problems
}

// name is the file that a problem of the whole image is shown at.
func (b *build) name(dockerfile string) string {
	if dockerfile != "" {
		return dockerfile
	}
	return b.context
}

// repo2docker reads the files that repo2docker builds an image of, in the
// order in which it installs.
func (b *build) repo2docker() {
	folder, ok := b.binderFolder()
	if !ok {
		return
	}
	file := func(name string) (string, bool) {
		name = path.Join(folder, name)
		return name, b.exists(name)
	}
	for _, name := range []string{".", "binder", ".binder"} {
		if dockerfile := path.Join(b.context, name, "Dockerfile"); path.Join(b.context, name) == folder && b.exists(dockerfile) {
			b.dockerfile(dockerfile)
			return
		}
	}
	language := ""
	if name, ok := file("runtime.txt"); ok {
		language = b.runtime(name)
	}
	if name, ok := file("apt.txt"); ok {
		b.list(name, 0, b.aptList(name))
	}
	environment, hasEnvironment := file("environment.yml")
	if hasEnvironment {
		b.list(environment, 0, b.environment(environment))
	} else if name, ok := file("environment.yaml"); ok {
		b.report(plan.Warning, name, 0, model.WithHint(errors.New("repo2docker does not read this file"), "name it environment.yml"))
	}
	installR, hasR := file("install.R")
	if name, ok := file("requirements.txt"); ok {
		if hasEnvironment && !hasR && language != "r" {
			b.report(plan.Notice, name, 0, model.WithHint(errors.New("is not installed: repo2docker takes environment.yml alone"), "list its packages below `pip:` in environment.yml"))
		} else {
			b.list(name, 0, b.requirements(name))
		}
	}
	if hasR {
		b.runR(installR)
	}
	b.workdir = "/" // scripts find files by their names
	if name, ok := file("postBuild"); ok {
		b.runScript(name)
	}
}

// binderFolder is where repo2docker looks: binder, .binder, or the context.
func (b *build) binderFolder() (string, bool) {
	var found []string
	for _, name := range []string{"binder", ".binder"} {
		dir := path.Join(b.context, name)
		if resolved, err := resolve(b.tree, dir); err == nil {
			if info, err := fs.Stat(b.tree, resolved); err == nil && info.IsDir() {
				found = append(found, dir)
			}
		}
	}
	switch len(found) {
	case 0:
		return b.context, true
	case 1:
		return found[0], true
	}
	b.report(plan.Error, found[1], 0, errors.New("there are both binder and .binder: repo2docker refuses that"))
	return "", false
}

var runtimeName = regexp.MustCompile(`^(python|r|julia)-(?:([0-9]+(?:\.[0-9]+)*)-?)?([0-9]{4}-[0-9]{2}-[0-9]{2})?$`)

// runtime reads runtime.txt: "python-3.11", "r-4.1-2022-01-31". It returns the
// language.
func (b *build) runtime(name string) string {
	data, err := b.read(name)
	if err != nil {
		b.list(name, 0, fmt.Errorf("read runtime: %w", err))
		return ""
	}
	line := strings.TrimSpace(text(data))
	m := runtimeName.FindStringSubmatch(line)
	if m == nil || m[2] == "" && m[3] == "" {
		b.report(plan.Warning, name, 1, model.WithHint(fmt.Errorf("%q is not a runtime", abbreviate(line)), `write it as repo2docker reads it, for example "python-3.11"`))
		return ""
	}
	spec := ""
	if m[2] != "" {
		spec = "=" + m[2]
	}
	if m[3] != "" {
		spec = strings.TrimSpace(spec + " of " + m[3])
	}
	b.add(Package{Ecosystem: Runtime, Name: m[1], Spec: spec, File: name, Line: 1})
	return m[1]
}
