package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/bootstrap"
	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/pulls"
	"github.com/hubship/hubship/internal/pulls/repository"
	"github.com/hubship/hubship/internal/repo"
	runs "github.com/hubship/hubship/internal/store"
)

var deployment = forge.Repository{Owner: "hubs", Name: "deployment"}

// changeContexts are those of the statuses that a change needs.
var changeContexts = []string{"hubship/images", "hubship/plan", "hubship/policy", "hubship/tests"}

// A change goes all the way: fork, pull request, check, review, merge, and
// back.
func TestChangeByPullRequest(t *testing.T) {
	w := newWorld(t, nil)
	admin, _ := w.account("admin", model.RoleMaintainer, deployment)
	carls, token := w.account("carl", model.RoleContributor, deployment)
	var carl struct{ ID int64 }
	w.ask(http.MethodGet, "/user", token, &carl)
	w.ask(http.MethodPost, "/repos/hubs/deployment/forks", token, &struct{}{})
	w.ok(w.memory.SetReported(t.Context(), pulls.TrustKey(deployment, carl.ID), "merged", "")) // he is known

	clone := filepath.Join(t.TempDir(), "clone")
	w.mustGit(token, "", "clone", "--quiet", "--branch", "staging", fmt.Sprintf("http://localhost:%d/git/carl/deployment.git", w.settings.Port), clone)
	w.mustGit(token, clone, "checkout", "--quiet", "-b", "topic")
	head := w.change(clone, "notes.md", "a note\n")
	w.mustGit(token, clone, "push", "--quiet", "origin", "topic")
	pr, err := carls.Open(t.Context(), forge.NewPullRequest{Title: "Note", Head: "carl:topic", Base: "staging"})
	w.ok(err)

	var check model.Run
	w.until("a check of the pull request", func() bool {
		runs, _ := w.engine.Runs(t.Context(), model.RunFilter{Kind: model.CheckPull, Pull: pr.Number})
		if len(runs) == 0 {
			return false
		}
		check = runs[0]
		return check.Pull.Head == head && check.Pull.Trusted
	})
	if _, err := admin.Merge(t.Context(), pr.Number, forge.Merge{Head: head}); !errors.Is(err, forge.ErrConflict) {
		t.Fatalf("merged before it was checked: %v", err)
	}
	w.engine.pass(check.ID)
	w.until("the statuses", func() bool {
		list, err := admin.Statuses(t.Context(), head)
		green := 0
		for _, s := range list {
			if slices.Contains(changeContexts, s.Context) && s.State == forge.Success {
				green++
			}
		}
		return err == nil && green == len(changeContexts)
	})
	if _, err := admin.Merge(t.Context(), pr.Number, forge.Merge{Head: head}); !errors.Is(err, forge.ErrConflict) {
		t.Fatalf("merged without a review: %v", err)
	}
	_, err = admin.Review(t.Context(), pr.Number, forge.NewReview{Commit: head, State: forge.Approved})
	w.ok(err)
	merge, err := admin.Merge(t.Context(), pr.Number, forge.Merge{Head: head})
	w.ok(err)
	w.until("the deployment of the merge", func() bool { return w.engine.pusher("staging", merge) != "" })
	if by := w.engine.pusher("staging", merge); by != "admin" {
		t.Errorf("the merge is deployed for %q, want admin", by)
	}
	w.until("that no pull request is open", func() bool { s := w.process.status(); return s.Open == 0 && s.Trouble == "" && !s.Polled.IsZero() })

	_, err = admin.Comment(t.Context(), pr.Number, pulls.RevertCommand)
	w.ok(err)
	w.until("the answer to a command", func() bool {
		said, err := admin.Comments(t.Context(), pr.Number)
		return err == nil && slices.ContainsFunc(said, func(c forge.Comment) bool {
			return c.Author == devforge.OwnLogin && strings.Contains(c.Body, fmt.Sprintf("#%d reverts this change.", pr.Number+1))
		})
	})
	made, err := w.process.revert(t.Context(), pr.Number, "tess")
	w.ok(err)
	if want := fmt.Sprintf("http://localhost:%d/forge/hubs/deployment/pull/%d", w.settings.Port, made.Number); made.Pull != pr.Number || made.URL != want {
		t.Fatalf("got %+v, want %s", made, want)
	}
	files, err := admin.Files(t.Context(), made.Number)
	if err != nil || len(files) != 1 || files[0].Path != "notes.md" || files[0].Status != forge.FileRemoved {
		t.Fatalf("the revert changes %+v, %v", files, err)
	}
	if again, err := w.process.revert(t.Context(), pr.Number, "tess"); err != nil || again.Number != made.Number {
		t.Fatalf("asked again: %+v, %v", again, err)
	}
	if _, err := w.process.revert(t.Context(), 999, "tess"); model.ExitCodeOf(err) != model.ExitUsage {
		t.Fatalf("a pull request that there is not: %v", err)
	}
}

// What an installation had before it had a forge goes on to work.
func TestTokenFromBeforeAccounts(t *testing.T) {
	w := newWorld(t, nil)
	token, err := install.ReadSecret(w.paths.GitToken)
	w.ok(err)
	w.moved() // the branches are protected after the first look
	for _, path := range []string{"deployment.git", "hubs/deployment.git"} {
		t.Run(path, func(t *testing.T) {
			clone := filepath.Join(t.TempDir(), "clone")
			at := fmt.Sprintf("http://localhost:%d/git/%s", w.settings.Port, path)
			w.mustGit(token, "", "clone", "--quiet", "--branch", "staging", at, clone)
			head := w.change(clone, "notes.md", path)
			for _, branch := range []string{"staging", "prod"} {
				if out, err := w.git(token, clone, "push", "origin", "HEAD:"+branch); err == nil || !strings.Contains(out, "the branch is protected") {
					t.Errorf("pushed to %s: %v\n%s", branch, err, out)
				}
			}
			name := "topic-" + strings.ReplaceAll(path, "/", "-")
			w.mustGit(token, clone, "push", "--quiet", "origin", "HEAD:"+name)
			if got, _ := w.there().Head(t.Context(), name); got != head {
				t.Errorf("the branch is at %q, want %q", got, head)
			}
			if out, err := w.git(strings.Repeat("x", 40), clone, "fetch", "origin"); err == nil {
				t.Errorf("fetched with a wrong token:\n%s", out)
			}
		})
	}
}

// push: true in hubship.yaml opens its branch, and a broken hubship.yaml does
// not.
func TestProtectionFollowsTheBranch(t *testing.T) {
	w := newWorld(t, nil)
	_, token := w.account("admin", model.RoleMaintainer, deployment)
	clone := filepath.Join(t.TempDir(), "clone")
	w.mustGit(token, "", "clone", "--quiet", "--branch", "staging", fmt.Sprintf("http://localhost:%d/git/hubs/deployment.git", w.settings.Port), clone)
	raw, err := os.ReadFile(filepath.Join(clone, "hubship.yaml"))
	w.ok(err)
	text := string(raw)
	opened := strings.Replace(text, "branch: staging", "push: true\n    branch: staging", 1)
	if strings.Contains(text, "{branch: staging") {
		opened = strings.Replace(text, "{branch: staging", "{push: true, branch: staging", 1)
	}
	// move has the branch say something, behind the forge's back.
	g := w.there()
	move := func(content string) {
		t.Helper()
		head, err := g.Head(t.Context(), "staging")
		w.ok(err)
		_, err = g.CommitFiles(t.Context(), "staging", head, map[string][]byte{"hubship.yaml": []byte(content)}, nil, "Change password", author)
		w.ok(err)
		w.moved()
	}
	pushes := func(when string, want bool) {
		t.Helper()
		w.mustGit(token, clone, "fetch", "--quiet", "origin")
		w.mustGit(token, clone, "reset", "--quiet", "--hard", "origin/staging")
		w.change(clone, "notes.md", when)
		out, err := w.git(token, clone, "push", "origin", "HEAD:staging")
		if (err == nil) != want || !want && !strings.Contains(out, "the branch is protected") {
			t.Errorf("%s: pushed: %v, want %v\n%s", when, err == nil, want, out)
		}
	}
	pushes("from the start", false)
	move(opened)
	pushes("with push: true", true)
	move(text)
	pushes("without it again", false)
	move("version: [\n")
	pushes("with a broken description", false)
}

func TestRestart(t *testing.T) {
	w := newWorld(t, nil)
	token, err := os.ReadFile(w.paths.ForgeToken)
	w.ok(err)
	hooked := func(when string) {
		t.Helper()
		var all []struct{ Config struct{ URL string } }
		w.ask(http.MethodGet, "/repos/hubs/deployment/hooks", w.token("admin", "admin:repo_hook"), &all)
		if len(all) != 1 || all[0].Config.URL != fmt.Sprintf("http://127.0.0.1:%d/hooks/github", w.settings.Port) {
			t.Fatalf("webhooks %s: %+v", when, all)
		}
	}
	hooked("at first")
	for _, file := range []string{w.paths.ForgeToken, w.paths.HookSecret, w.paths.GitToken, w.paths.Password, w.paths.ForgePassword} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	w.stop()
	w.settings.Port = freePort(t)
	w.start()
	hooked("after the port changed")
	if again, _ := os.ReadFile(w.paths.ForgeToken); !bytes.Equal(again, token) {
		t.Error("hubship's token changed")
	}
	// A token that was lost, or ended, is made anew.
	w.stop()
	w.ok(os.WriteFile(w.paths.ForgeToken, []byte(strings.Repeat("x", 43)+"\n"), 0o600))
	w.start()
	w.until("a look at the forge", func() bool { s := w.process.status(); return !s.Polled.IsZero() && s.Trouble == "" })
	// Numbers go on where the database of the forge is lost.
	w.stop()
	g, err := git.Open(w.paths.ForgeRepository)
	w.ok(err)
	head, err := g.Head(t.Context(), "staging")
	w.ok(errors.Join(err, g.SetRef(t.Context(), "refs/pull/7/head", head, "")))
	topic, err := g.CommitFiles(t.Context(), "staging", head, map[string][]byte{"a": nil, "b": []byte("b\n")}, nil, "Add b", author)
	w.ok(errors.Join(err, g.SetBranch(t.Context(), "topic", topic, ""), g.SetBranch(t.Context(), "staging", head, topic), g.Close()))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(w.paths.Forge + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	w.start()
	admin, _ := w.account("admin", model.RoleMaintainer, deployment)
	if pr, err := admin.Open(t.Context(), forge.NewPullRequest{Title: "Again", Head: "topic", Base: "staging"}); err != nil || pr.Number != 8 {
		t.Errorf("the next pull request is #%d, %v; want #8", pr.Number, err)
	}
	// The first person has a password of its own.
	w.logsIn(w.paths.ForgePassword, true)
	w.logsIn(w.paths.Password, false)
}

func TestForgedDelivery(t *testing.T) {
	w := newWorld(t, nil)
	for _, signature := range []string{"", "sha256=" + strings.Repeat("0", 64)} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/hooks/github", w.settings.Port), strings.NewReader("{}"))
		w.ok(err)
		req.Header.Set("X-GitHub-Event", "push")
		req.Header.Set("Content-Type", "application/json")
		if signature != "" {
			req.Header.Set("X-Hub-Signature-256", signature)
		}
		res, err := http.DefaultClient.Do(req)
		w.ok(err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("signature %q: %s", signature, res.Status)
		}
	}
}

// One installation's forge is GitHub for another one, which has a copy.
func TestMirrorOfGitHub(t *testing.T) {
	there := newWorld(t, nil)
	_, token := there.account("bot", model.RoleMaintainer, deployment)
	file := filepath.Join(t.TempDir(), "token")
	there.ok(os.WriteFile(file, []byte(token+"\n"), 0o600))
	here := newWorld(t, func(s *install.Settings) {
		s.GitHub = &install.GitHub{URL: fmt.Sprintf("http://localhost:%d/api/v3/", there.settings.Port), Repository: "hubs/deployment", TokenFile: file}
		there.ok(s.Validate())
	})
	head, err := there.there().Head(t.Context(), "staging")
	there.ok(err)
	g, err := git.Open(here.paths.Repository)
	here.ok(err)
	t.Cleanup(func() { _ = g.Close() })
	at := func(branch string) string { id, _ := g.Head(t.Context(), branch); return id }
	here.until("a copy", func() bool { return at("staging") == head && at("prod") == head })
	here.until("that the engine is asked to look at what came", here.engine.kicked)
	if here.process.hook != nil {
		t.Error("deliveries are taken without a secret")
	}
	// Its own forge is not served.
	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/api/v3/user", here.settings.Port))
	here.ok(err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized { // no page of anything is open
		t.Errorf("the API of an embedded forge: %s", res.Status)
	}
	r := repository.Repository{Repository: repo.New(g, repo.Options{}), Forge: here.process.forge}
	next, err := there.there().CommitFiles(t.Context(), "topic", "", map[string][]byte{"a": []byte("1\n")}, nil, "Add a", author)
	there.ok(err)
	if err := r.Fetch(t.Context()); err != nil || at("topic") != next {
		t.Fatalf("topic is at %q, %v; want %q", at("topic"), err, next)
	}
	if err := r.Fetch(t.Context(), 99); err == nil {
		t.Error("the head of a pull request was fetched that there is not")
	}
	there.stop()
	if err := r.Fetch(t.Context()); !errors.Is(err, forge.ErrUnavailable) && !strings.Contains(fmt.Sprint(err), "unavailable") {
		t.Errorf("the forge is down: %v", err)
	}
}

// A run that was under way when the copy was lost must not find an empty one.
func TestLostCopyOfGitHub(t *testing.T) {
	there := newWorld(t, nil)
	_, token := there.account("bot", model.RoleMaintainer, deployment)
	file := filepath.Join(t.TempDir(), "token")
	there.ok(os.WriteFile(file, []byte(token+"\n"), 0o600))
	here := newWorld(t, func(s *install.Settings) {
		s.GitHub = &install.GitHub{URL: fmt.Sprintf("http://localhost:%d/api/v3/", there.settings.Port), Repository: "hubs/deployment", TokenFile: file}
	})
	here.until("a copy", func() bool { id, _ := here.repository.Head(t.Context(), "staging"); return id != "" })
	here.stop()
	here.ok(os.RemoveAll(here.paths.Repository))
	g, err := bootstrap.Open(t.Context(), here.paths, here.settings)
	here.ok(err)
	t.Cleanup(func() { _ = g.Close() })
	history, err := runs.Open(t.Context(), here.paths.History)
	here.ok(err)
	t.Cleanup(func() { _ = history.Close() })
	process, err := newForgeRuntime(t.Context(), deps{
		paths: here.paths, settings: here.settings, repository: repo.New(g, repo.Options{Process: processOf(g, here.settings)}),
		engine: here.engine, memory: here.memory, keep: history, log: slog.New(slog.DiscardHandler),
	})
	here.ok(err)
	branches := func() int {
		all, err := g.Branches(t.Context())
		here.ok(err)
		return len(all)
	}
	if err := process.fill(t.Context(), history); err != nil || branches() != 0 {
		t.Fatalf("nothing was under way: %v, %d branches", err, branches())
	}
	here.ok(history.Put(t.Context(), model.Run{ID: "r1", Kind: model.Deploy, Environment: "staging", State: model.Running, Created: time.Now()}))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := process.fill(gone, history); err == nil {
		t.Error("went on with an empty copy")
	}
	if err := process.fill(t.Context(), history); err != nil || branches() < 2 {
		t.Errorf("%d branches, %v", branches(), err)
	}
}

// The forge's program is started again when it dies, and the way to it is the
// same. A server that starts later finds it as it is.
func TestForgeIsStartedAgain(t *testing.T) {
	w := newWorld(t, nil)
	admin, _ := w.account("admin", model.RoleMaintainer, deployment)
	before, ok := w.process.local.launcher.Running(t.Context())
	if !ok {
		t.Fatal("the forge does not run")
	}
	w.ok(syscall.Kill(before.PID, syscall.SIGKILL))
	w.until("the forge's answer", func() bool { id, err := admin.Branch(t.Context(), "staging"); return err == nil && id != "" })
	w.until("that nothing is wrong any more", func() bool { return len(w.process.problems()) == 0 })
	after, ok := w.process.local.launcher.Running(t.Context())
	if !ok || after == before {
		t.Fatalf("process %+v after %+v", after, before)
	}
	again, err := openEmbedded(t.Context(), w.paths, w.settings, slog.New(slog.DiscardHandler))
	w.ok(err)
	if found, ok := again.launcher.Running(t.Context()); !ok || found.PID != after.PID {
		t.Errorf("another server has process %+v, want %+v", found, after)
	}
}
