package buildkit

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// scratch is the name of the image that is none.
const scratch = "scratch"

// baseRefs returns the images that a build of the Dockerfile's last stage
// needs, as they are written there, with build arguments at their defaults:
// those of FROM, COPY --from and RUN --mount=from. Stages that the last one
// does not need do not count, as BuildKit skips them too.
func baseRefs(dockerfile []byte, platform string) ([]string, error) {
	ast, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, err
	}
	stages, args, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return nil, err
	}
	if len(stages) == 0 {
		return nil, fmt.Errorf("it has no FROM instruction")
	}
	lex := shell.NewLex(ast.EscapeToken)
	env, err := globalArgs(lex, args, platform)
	if err != nil {
		return nil, err
	}
	g := graph{stages: stages, lex: lex, env: env, seen: map[int]bool{}, refs: map[string]bool{}}
	if err := g.visit(len(stages) - 1); err != nil {
		return nil, err
	}
	out := make([]string, 0, len(g.refs))
	for ref := range g.refs {
		out = append(out, ref)
	}
	slices.Sort(out)
	return out, nil
}

// globalArgs are the arguments that a FROM line may use: those of the platform
// and those declared before the first stage.
func globalArgs(lex *shell.Lex, args []instructions.ArgCommand, platform string) ([]string, error) {
	os, arch, _ := strings.Cut(platform, "/")
	arch, variant, _ := strings.Cut(arch, "/")
	var env []string
	for _, side := range []string{"BUILD", "TARGET"} {
		env = append(env, side+"PLATFORM="+platform, side+"OS="+os, side+"ARCH="+arch, side+"VARIANT="+variant)
	}
	env = append(env, "TARGETSTAGE=default")
	for _, cmd := range args {
		for _, arg := range cmd.Args {
			if arg.Value == nil {
				continue // keeps a platform argument; another one is unset
			}
			value, _, err := lex.ProcessWord(*arg.Value, shell.EnvsFromSlice(env))
			if err != nil {
				return nil, fmt.Errorf("line %d: ARG %s: %w", line(cmd.Location()), arg.Key, err)
			}
			env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, arg.Key+"=") })
			env = append(env, arg.Key+"="+value)
		}
	}
	return env, nil
}

// graph walks what a stage depends on.
type graph struct {
	stages []instructions.Stage
	lex    *shell.Lex
	env    []string
	seen   map[int]bool
	refs   map[string]bool
}

func (g *graph) visit(i int) error {
	if g.seen[i] {
		return nil
	}
	g.seen[i] = true
	st := g.stages[i]
	base, _, err := g.lex.ProcessWord(st.BaseName, shell.EnvsFromSlice(g.env))
	if err != nil {
		return fmt.Errorf("line %d: FROM %s: %w", line(st.Location), st.BaseName, err)
	}
	if base == "" {
		return fmt.Errorf("line %d: FROM %s: the image name is empty, because an ARG in it has no default", line(st.Location), st.BaseName)
	}
	// A stage can only start from one that stands before it.
	if j, ok := named(g.stages[:i], base); ok {
		err = g.visit(j)
	} else {
		g.image(base)
	}
	if err != nil {
		return err
	}
	for _, cmd := range st.Commands {
		if err := g.command(cmd); err != nil {
			return err
		}
	}
	return nil
}

func (g *graph) command(cmd instructions.Command) error {
	switch c := cmd.(type) {
	case *instructions.CopyCommand:
		if c.From == "" {
			return nil
		}
		if n, err := strconv.Atoi(c.From); err == nil {
			if n < 0 || n >= len(g.stages) {
				return fmt.Errorf("line %d: COPY --from=%d: there is no such stage", line(c.Location()), n)
			}
			return g.visit(n)
		}
		return g.source(c.From)
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			if m.From == "" {
				continue
			}
			if err := g.source(m.From); err != nil {
				return err
			}
		}
	}
	return nil
}

// source is a stage by its name, or else an image.
func (g *graph) source(name string) error {
	if i, ok := named(g.stages, name); ok {
		return g.visit(i)
	}
	g.image(name)
	return nil
}

func (g *graph) image(ref string) {
	if ref != scratch {
		g.refs[ref] = true
	}
}

// named finds the last stage of that name, as BuildKit does.
func named(stages []instructions.Stage, name string) (int, bool) {
	for i := len(stages) - 1; i >= 0; i-- {
		if stages[i].Name != "" && strings.EqualFold(stages[i].Name, name) {
			return i, true
		}
	}
	return 0, false
}

func line(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}
