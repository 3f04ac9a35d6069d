package ship_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Assessor: a file "secret" is a credential, one that is called "wrong" an
// error, and "conflict" does not go together with anything.

func (w *world) Credentials(_ context.Context, base, head string) ([]model.Remark, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at(head).files["secret"] != w.at(base).files["secret"] {
		return []model.Remark{{Path: "secret", Line: 1, Message: "a credential"}}, nil
	}
	return nil, nil
}

func (w *world) Assess(_ context.Context, q model.AssessRequest) (model.Assessment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	base, head := w.at(q.Base).files, w.at(q.Head).files
	a := model.Assessment{Process: w.proposal, Merged: q.Head, Summary: "1 hub changes", Packages: map[string][]model.Package{}}
	for name, text := range head {
		if base[name] != text {
			a.Changed = append(a.Changed, name)
		}
	}
	for line := range strings.Lines(head["image/requirements.txt"]) {
		if !strings.Contains(base["image/requirements.txt"], line) {
			name, spec, _ := strings.Cut(strings.TrimSpace(line), "==")
			a.Packages["user"] = append(a.Packages["user"], model.Package{Name: name, Spec: "==" + spec})
		}
	}
	if head["wrong"] != "" {
		a.Errors, a.Summary = 1, "1 error"
	}
	if head["conflict"] != "" {
		a.Conflict, a.Merged, a.Summary = true, "", "conflicts"
	}
	return a, nil
}

// sandbox runs tests by their commands: "fail" fails, everything else passes;
// and no image can import "broken".
type sandbox struct{ w *world }

func (s sandbox) TestKey(_ context.Context, test model.Test, files string) (string, error) {
	return sum(append([]string{test.Image, files}, test.Command...)...), nil
}

func (s sandbox) Test(ctx context.Context, dir string, test model.Test, log io.Writer) (model.TestResult, error) {
	var seen []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			seen = append(seen, rel)
		}
		return err
	})
	if err != nil {
		return model.TestResult{}, err
	}
	s.w.mu.Lock()
	s.w.tested[test.Name] = append(s.w.tested[test.Name], strings.Join(seen, " "))
	held, holding := s.w.held, s.w.holding
	s.w.mu.Unlock()
	if held != nil {
		holding <- struct{}{}
		select {
		case <-held:
		case <-ctx.Done():
			return model.TestResult{}, context.Cause(ctx)
		}
	}
	fmt.Fprintln(log, "testing")
	if test.Command[0] == "fail" {
		return model.TestResult{Reason: "exit code 2", Log: "testing"}, nil
	}
	return model.TestResult{Passed: true}, nil
}

func (s sandbox) Smoke(_ context.Context, built model.Built, q model.SmokeRequest, _ io.Writer) (model.SmokeResult, error) {
	r := model.SmokeResult{Passed: built.Digest != ""}
	for _, p := range q.Packages {
		c := model.Check{Name: "import " + p.Name, Passed: p.Name != "broken", Detail: p.Spec}
		r.Checks = append(r.Checks, c)
		if !c.Passed {
			r.Passed, r.Reason = false, c.Name+" failed"
		}
	}
	return r, nil
}
