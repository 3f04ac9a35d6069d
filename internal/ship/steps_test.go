package ship_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
)

// A run that an older process left unfinished resumes by the names and the order of
// its steps. Where this test has to change, workflowVersion has to as well.
func TestStepsOfWorkflows(t *testing.T) {
	dir := t.TempDir()
	w, e := live(t, dir)
	w.set(func() {
		w.elsewhere = map[string]string{"quay.io/x:1": "sha256:one"}
		w.tests = []model.Test{{Name: "lint", Command: []string{"lint"}}}
	})
	id := w.commit("staging", "next", map[string]string{"names/all": "quay.io/x:1", "image/requirements.txt": "numpy==2\nemoji==2\n"})
	push(t, e, "staging", id)
	check := checked(t, e, pull(w, map[string]string{"image/requirements.txt": "numpy==2\nother==2\n"}))
	rollback, err := e.Start(t.Context(), model.RunRequest{Kind: model.Rollback, Environment: "staging", Hubs: []string{"data"}, By: "tester"})
	if err != nil {
		t.Fatal(err)
	}
	deploy := "" // by the push, or by a reconcile pass that saw the commit first
	for _, r := range settle(t, e) {
		if r.Commit == id && r.Kind == model.Deploy && r.State == model.Done {
			deploy = r.ID
		}
	}
	if err := e.Stop(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	records, err := dbos.NewClient(t.Context(), dbos.ClientConfig{DatabaseURL: "sqlite:" + filepath.Join(dir, "workflows.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dbos.Shutdown(records, time.Second) }()
	for _, c := range []struct{ id, workflow, steps string }{
		{deploy, "run", "begin, plan, image user, resolve bio@staging, resolve data@staging, release, release, DBOS.getResult, DBOS.getResult, finish"},
		{deploy + "/data", "release", "upgrade data@staging, verify data@staging, record data@staging"},
		{rollback.ID, "run", "begin, plan, release, DBOS.getResult, finish"},
		{rollback.ID + "/data", "release", "halt data@staging, rollback data@staging, verify data@staging"},
		{check.ID, "check", "begin, policy, plan, test lint, image user, finish"},
	} {
		found, err := dbos.ListWorkflows(records, dbos.WithFilterWorkflowIDs(c.id))
		if err != nil || len(found) != 1 || found[0].Name != c.workflow || found[0].ApplicationVersion != "3" {
			t.Fatalf("%s %s: %+v, %v", c.workflow, c.id, found, err)
		}
		steps, err := dbos.GetWorkflowSteps(records, c.id)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range steps {
			names = append(names, s.StepName)
		}
		if got := strings.Join(names, ", "); got != c.steps {
			t.Errorf("%s took the steps %s, want %s", c.workflow, got, c.steps)
		}
	}
}
