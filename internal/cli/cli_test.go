package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

func TestWrongUse(t *testing.T) {
	data := (&world{status: twoStages()}).serve(t)
	for _, c := range []struct {
		args string
		want string
	}{
		{"fly", "unknown command"},
		{"deploy", "--env must be given"},
		{"rollback --env prod", "--hub must be given"},
		{"deploy --env staging one two", "at most 1 arg"},
		{"deploy --nonsense", "unknown flag"},
		{"status -o yaml", "not one of text, json"},
		{"deploy --env moon", `environment "moon" does not exist`},
		{"deploy --env prod --hub nohub", `hub "nohub" is not in environment prod`},
		{"up --port 99999", "port 99999"},
		{"up --kubeconfig k", "--context is missing"},
		{"up --context c --bridge b0", "given together"},
		{"logs", "accepts 1 arg"},
		{"status --node --show-password", "none of the others can be"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errs := hubship(t, data, strings.Fields(c.args)...)
			if code != model.ExitUsage || !strings.Contains(errs, c.want) || !strings.Contains(errs, "hint:") {
				t.Fatalf("code %d, want %q, got:\n%s", code, c.want, errs)
			}
			if out != "" {
				t.Fatalf("standard output has %q", out)
			}
		})
	}
}

// A command that writes says where, before it does (incidents I1 and I4).
func TestDeployNamesItsTargets(t *testing.T) {
	w := &world{status: twoStages()}
	code, out, errs := hubship(t, w.serve(t), "deploy", "--env", "prod", "--hub", "datahub", "--force", "f00")
	if code != model.ExitDone {
		t.Fatalf("code %d:\n%s", code, errs)
	}
	contains(t, errs, "deploy to environment prod",
		"hub datahub in prod (cluster local, namespace datahub-prod, release datahub-prod)",
		"plan: 1 release changes", "image datahub/user: RUN pip install")
	contains(t, out, "run run-1: deploy of abcdef0123", "to environment prod: done in 42s")
	got := w.asked[0]
	if got.Kind != model.Deploy || got.Environment != "prod" || got.Rev != "f00" || !got.Force || len(got.Hubs) != 1 || got.By == "" {
		t.Fatalf("asked for %+v", got)
	}
}

func TestRunsEndInExitCodes(t *testing.T) {
	for state, want := range map[model.RunState]int{
		model.Done: model.ExitDone, model.Unchanged: model.ExitDone, model.Refused: model.ExitRefused,
		model.FailedRun: model.ExitFailed, model.Superseded: model.ExitFailed, model.Cancelled: model.ExitFailed,
	} {
		t.Run(string(state), func(t *testing.T) {
			w := &world{status: twoStages(), end: func(r *model.Run) { r.State, r.Reason = state, "because" }}
			code, out, errs := hubship(t, w.serve(t), "verify", "--env", "staging", "-o", "json")
			if code != want {
				t.Fatalf("code %d, want %d:\n%s", code, want, errs)
			}
			var run model.Run
			if err := json.Unmarshal([]byte(out), &run); err != nil || run.State != state {
				t.Fatalf("standard output is not the run: %v\n%s", err, out)
			}
			if want != model.ExitDone {
				contains(t, errs, "run-1", "because", "hint:")
			}
		})
	}
}

func TestPromote(t *testing.T) {
	w := &world{status: twoStages()}
	data := w.serve(t)
	base := model.Promotion{From: "staging", Into: "prod", Head: "abcdef0123456789", Commits: []string{"abcdef0 Add emoji (Ada)"}}

	w.promote = func(req model.PromoteRequest) (model.Promotion, error) {
		p := base
		p.Refused = "datahub may not enter prod: no evidence"
		p.Hubs = []model.HubVerdict{{Hub: "datahub", Reasons: []string{"no evidence"}}}
		return p, model.RefusedBy(errors.New(p.Refused), "test it on staging")
	}
	code, out, errs := hubship(t, data, "promote")
	if code != model.ExitRefused {
		t.Fatalf("code %d\n%s", code, errs)
	}
	contains(t, errs, "promote into environment prod", "namespace datahub-prod", "no evidence", "hint: test it on staging")
	contains(t, out, "from staging into prod: refused", "Add emoji (Ada)", "hub datahub: held back", "no evidence")

	w.promote = func(req model.PromoteRequest) (model.Promotion, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		p := base
		p.Merge = "0123456789abcdef"
		run := w.addLocked(model.RunRequest{Kind: model.Deploy, Environment: "prod"})
		p.Run = &run
		return p, nil
	}
	code, out, errs = hubship(t, data, "promote", "--env", "prod")
	if code != model.ExitDone {
		t.Fatalf("code %d\n%s", code, errs)
	}
	contains(t, out, "merged as 0123456789", "run run-1", "done in 42s")
	contains(t, errs, "Celebrate")

	w.promote = func(req model.PromoteRequest) (model.Promotion, error) {
		return model.Promotion{From: "staging", Into: "prod", Refused: "prod already has everything that staging has"}, nil
	}
	if code, out, _ = hubship(t, data, "promote"); code != model.ExitDone {
		t.Fatalf("nothing to promote: code %d\n%s", code, out)
	}
	contains(t, out, "nothing to do")
}

func TestStatus(t *testing.T) {
	st := twoStages()
	st.Problems = []string{"the cluster is slow"}
	st.Environments[1].Releases[0].Halt = &model.Halt{Reason: "verification failed: import x"}
	st.Environments[1].Releases[0].Observed.Waiting = []string{"Pod hub-1: ImagePullBackOff"}
	data := (&world{status: st}).serve(t)
	code, out, _ := hubship(t, data, "status")
	if code != model.ExitDone {
		t.Fatal(code)
	}
	contains(t, out, "dashboard   http://localhost:8080/", "problem: the cluster is slow",
		"staging  branch staging at abcdef0123", "datahub", "ok", "http://datahub-staging.localhost:8080/",
		"prod  branch prod", "halted", "verification failed: import x", "resume --env prod --hub datahub", "ImagePullBackOff")
	_, out, _ = hubship(t, data, "status", "-o", "json")
	var got model.Status
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Environments) != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestHistoryAndLogs(t *testing.T) {
	w := &world{status: twoStages()}
	data := w.serve(t)
	for _, env := range []string{"staging", "prod"} {
		if code, _, errs := hubship(t, data, "deploy", "--env", env); code != 0 {
			t.Fatal(errs)
		}
	}
	_, out, _ := hubship(t, data, "history")
	contains(t, out, "RUN", "ENVIRONMENT", "run-2", "prod", "run-1", "staging", "Add emoji")
	_, out, _ = hubship(t, data, "history", "--env", "prod")
	if strings.Contains(out, "run-1") {
		t.Fatal("not filtered:\n" + out)
	}
	_, out, _ = hubship(t, data, "logs", "run-1")
	contains(t, out, "plan: 1 release changes", "image datahub/user: RUN pip install")
	_, out, _ = hubship(t, data, "logs", "run-1", "--all=false", "-o", "json")
	var line model.Line
	if err := json.Unmarshal([]byte(out), &line); err != nil || line.Seq != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	code, _, errs := hubship(t, data, "logs", "-f", "run-9")
	if code == model.ExitDone || !strings.Contains(errs, "run-9") {
		t.Fatalf("code %d\n%s", code, errs)
	}
}

func TestResume(t *testing.T) {
	w := &world{status: twoStages()}
	code, out, errs := hubship(t, w.serve(t), "resume", "--env", "staging", "--hub", "datahub")
	if code != 0 || len(w.resumed) != 1 || w.resumed[0] != "staging/datahub" {
		t.Fatalf("code %d, %v\n%s", code, w.resumed, errs)
	}
	contains(t, errs, "clear the halt in environment staging", "namespace datahub-staging")
	contains(t, out, "cleared the halt of hub datahub in environment staging")
}

func TestNothingThere(t *testing.T) {
	for _, args := range []string{"status", "history", "deploy --env prod", "down", "kubeconfig", "demo"} {
		code, _, errs := hubship(t, noData(t), strings.Fields(args)...)
		if code != model.ExitFailed || !strings.Contains(errs, "hubship up") {
			t.Errorf("%s: code %d:\n%s", args, code, errs)
		}
	}
}

// Purging asks; where nobody can be asked it has to be said in so many words.
func TestPurgeAsks(t *testing.T) {
	data := noData(t)
	if err := install.Save(data, install.Default()); err != nil {
		t.Fatal(err)
	}
	code, _, errs := hubship(t, data, "down", "--purge")
	if code != model.ExitUsage || !strings.Contains(errs, "--yes") {
		t.Fatalf("code %d\n%s", code, errs)
	}
	if _, err := install.Load(data); err != nil {
		t.Fatal("removed although nobody agreed")
	}
}

func TestRemoveDataWantsAnInstallation(t *testing.T) {
	dir := t.TempDir()
	if err := removeData(dir); err == nil {
		t.Fatal("removed a directory that holds no installation")
	}
	if err := install.Save(dir, install.Default()); err != nil {
		t.Fatal(err)
	}
	if err := removeData(dir); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsAreKept(t *testing.T) {
	data := noData(t)
	first := install.Default()
	first.Name, first.Port = "kept", 9191
	if err := install.Save(data, first); err != nil {
		t.Fatal(err)
	}
	a := &command{data: data}
	cmd := a.upCommand()
	if err := cmd.ParseFlags([]string{"--port", "9292"}); err != nil {
		t.Fatal(err)
	}
	now, old, err := a.settings(cmd, upFlags{port: 9292, name: "default"})
	if err != nil || old == nil || now.Name != "kept" || now.Port != 9292 || old.Port != 9191 {
		t.Fatalf("%+v %+v %v", now, old, err)
	}
	code, _, errs := hubship(t, data, "up", "--bridge", "other0")
	if code != model.ExitUsage || !strings.Contains(errs, "cannot become") {
		t.Fatalf("code %d\n%s", code, errs)
	}
}

// Every command has a help text that shows how to use it.
func TestHelp(t *testing.T) {
	for _, c := range (&command{}).root().Commands() {
		if c.Short == "" || (c.Example == "" && c.Name() != "version") {
			t.Errorf("%s lacks a description or an example", c.Name())
		}
	}
	code, out, _ := hubship(t, noData(t), "--help")
	if code != 0 {
		t.Fatal(code)
	}
	contains(t, out, "Exit codes: 0 done, 1 failed", "Installation:", "Process:")
}
