package host

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// writers are what moves references: methods of git.Repo and commands of git.
// Host.move alone may use MoveRefs, and nothing in the forge the others; but for
// the making of a repository, and what a push leaves below its own prefix.
var writers = map[string][]string{
	"MoveRefs":     {"host/door.go move"},
	"DropIncoming": {"host/host.go Git", "gitserver/bring.go bring"},
	"Fork":         {"host/host.go Fork", "rest/repositories.go fork", "rest/events.go payload", "authority/routes.go Refuses"}, // of git.Repo; of Host, which asks it; fields
	"Init":         {"host/host.go CreateRepository"},
	"SetRef":       nil, "DeleteRef": nil, "SetBranch": nil, "CommitFiles": nil, "Fetch": nil, "Push": {}, "RevertCommit": nil, "KeepObjects": nil,
	// Programs are started for the path of git and for http-backend alone.
	"Command": {"gitserver/server.go New"}, "CommandContext": nil, "StartProcess": nil,
}

// No reference moves but by Host.move: nothing else in the forge calls what
// moves one.
func TestOneDoor(t *testing.T) {
	root := ".."
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "forgetest") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			name := "(outside of a function)"
			if ok {
				name = fn.Name.Name
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				allowed, writes := writers[sel.Sel.Name]
				if !writes {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && sel.Sel.Name == "Push" && x.Name == "h" { // Host.Push, which asks move
					return true
				}
				at := filepath.ToSlash(rel) + " " + name
				seen[sel.Sel.Name+" "+at] = true
				for _, a := range allowed {
					if a == at {
						return true
					}
				}
				t.Errorf("%s uses %s: references move by Host.move alone", at, sel.Sel.Name)
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !seen["MoveRefs host/door.go move"] {
		t.Error("Host.move does not move references: this test looks at nothing")
	}
}
