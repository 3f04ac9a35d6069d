package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/term"
)

// withAccounts is a server with the accounts of a real embedded forge: an
// organization, hubship's own account, and nobody else. log is the server's.
func withAccounts(t *testing.T) (data string, f *process.Forge, log *bytes.Buffer) {
	t.Helper()
	data, err := os.MkdirTemp("", "hs") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	f = process.Start(t, process.Options{})
	log = &bytes.Buffer{}
	to := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	srv, err := server.New(server.Options{
		Socket: install.At(data).Socket, Service: &world{}, Accounts: devforge.Accounts(f.Settings.AdminSocket, to), Log: to,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return data, f, log
}

// logsIn says whether a password opens an account on the pages.
func logsIn(t *testing.T, f *process.Forge, login, password string) bool {
	t.Helper()
	res, err := http.PostForm(f.URL+"/forge/-/signin", url.Values{"login": {login}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// bearer is what the API says of a token: whose it is, "" for nobody's, and its
// scopes.
func bearer(t *testing.T, f *process.Forge, token string) (login, scopes string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.URL+"/api/v3/user", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var who struct{ Login string }
	if err := json.NewDecoder(res.Body).Decode(&who); err != nil {
		t.Fatal(err)
	}
	return who.Login, res.Header.Get("X-OAuth-Scopes")
}

func TestAccounts(t *testing.T) {
	data, forge, own := withAccounts(t)
	run := func(args ...string) (out, errs string) {
		t.Helper()
		code, out, errs := hubship(t, data, args...)
		if code != model.ExitDone {
			t.Fatalf("%v: code %d\n%s", args, code, errs)
		}
		return out, errs
	}

	// What is generated stands alone on standard output, and opens the door.
	out, errs := run("account", "add", "carl", "--name", "Carl Lind")
	password := strings.TrimSuffix(out, "\n")
	if !logsIn(t, forge, "carl", password) {
		t.Fatalf("%q does not open the account", out)
	}
	contains(t, errs, "added account carl as contributor", "not shown again")
	secrets := []string{password}

	// A given one is printed nowhere.
	const given = "such as four words"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(given+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs = run("account", "add", "rita", "--role", "reviewer", "--password-file", file)
	if !logsIn(t, forge, "rita", given) || out != "" || strings.Contains(errs, given) {
		t.Fatalf("printed %q and %q", out, errs)
	}
	secrets = append(secrets, given)

	out, _ = run("account", "add", "mia", "--role", "maintainer", "-o", "json")
	var made struct{ Login, Role, Password string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Login != "mia" || made.Role != "maintainer" {
		t.Fatalf("%s: %v", out, err)
	}
	secrets = append(secrets, made.Password)

	out, errs = run("account", "token", "carl")
	token := strings.TrimSuffix(out, "\n")
	if login, scopes := bearer(t, forge, token); login != "carl" || scopes != "repo" {
		t.Fatalf("token %q: of %q with %q", out, login, scopes)
	}
	contains(t, errs, "token for account carl", "scopes repo; it expires ")
	secrets = append(secrets, token)

	out, _ = run("account", "token", "carl", "-o", "json")
	var usual struct {
		Token   string
		Expires time.Time
	}
	if err := json.Unmarshal([]byte(out), &usual); err != nil || time.Until(usual.Expires).Round(time.Hour) != 90*24*time.Hour {
		t.Fatalf("%s: %v", out, err)
	}
	secrets = append(secrets, usual.Token)

	out, _ = run("account", "token", "rita", "--scope", "repo:status,admin:repo_hook", "--expires", "never", "-o", "json")
	var answer struct {
		Token   string
		Expires *time.Time
		Scopes  []string
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Expires != nil || len(answer.Scopes) != 2 {
		t.Fatalf("%s: %v", out, err)
	}
	if login, scopes := bearer(t, forge, answer.Token); login != "rita" || scopes != "repo:status, admin:repo_hook" {
		t.Fatalf("a token of %q with %q", login, scopes)
	}
	secrets = append(secrets, answer.Token)

	out, _ = run("account", "password", "carl")
	if logsIn(t, forge, "carl", password) {
		t.Error("the old password still opens the door")
	}
	if !logsIn(t, forge, "carl", strings.TrimSpace(out)) {
		t.Error("the new password does not open the door")
	}
	secrets = append(secrets, strings.TrimSpace(out))

	out, _ = run("account", "role", "carl", "reviewer")
	contains(t, out, "carl: reviewer")
	out, _ = run("account", "disable", "carl")
	contains(t, out, "carl: reviewer, disabled")
	if login, _ := bearer(t, forge, token); login != "" {
		t.Error("a token of a disabled account still works")
	}
	out, _ = run("account", "list")
	contains(t, out, "LOGIN", "hubs", "organization", "hubship", "maintainer", "carl", "Carl Lind", "reviewer", "disabled", "rita", "active")
	out, _ = run("account", "enable", "carl")
	contains(t, out, "carl: reviewer")
	if login, _ := bearer(t, forge, token); login != "" {
		t.Error("a token that ended with the account's disabling opens the door again")
	}

	out, _ = run("account", "list", "-o", "json")
	var all []model.Account
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 5 || !all[0].Organization || all[0].Role != "" || all[2].Login != "carl" {
		t.Errorf("list %+v: %v", all, err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	log := forge.Log()
	for _, what := range []string{"added", "token made", "password set", "role set", "locked or let in"} {
		if !regexp.MustCompile(`msg="account: ` + what + `" login=\S+ by=` + me.Username + `\b`).MatchString(log) {
			t.Errorf("the log does not have %q by %s:\n%s", what, me.Username, log)
		}
	}
	for _, secret := range secrets {
		if len(secret) < 10 || strings.Contains(log+own.String(), secret) {
			t.Errorf("a log has the secret %q, or it is none:\n%s%s", secret, log, own)
		}
	}
}

// What the command line says of a token's end is what the forge holds it to.
func TestTokensEndAsTheyShould(t *testing.T) {
	data, forge, _ := withAccounts(t)
	forge.AddAccount(model.NewAccount{Login: "carl", Name: "Carl Lind", Password: "such as four words"}, "")
	for _, args := range []string{"", " --expires never", " --expires 5d"} {
		if code, _, errs := hubship(t, data, strings.Fields("account token carl"+args)...); code != model.ExitDone {
			t.Fatalf("%q: code %d\n%s", args, code, errs)
		}
	}
	res, err := forge.SignIn("carl", "such as four words").Get(forge.URL + "/forge/-/settings")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	var got []time.Duration // until the end of each, in their order; 0 for none
	for _, token := range regexp.MustCompile(`(?U)<b>hubship account token</b>.*</li>`).FindAllString(string(page), -1) {
		var left time.Duration
		if end := regexp.MustCompile(`expires ([-0-9]+ [:0-9]+ UTC)`).FindStringSubmatch(token); end != nil {
			at, err := time.Parse("2006-01-02 15:04:05 MST", end[1])
			if err != nil {
				t.Fatal(err)
			}
			left = time.Until(at).Round(time.Hour)
		}
		got = append(got, left)
	}
	if want := []time.Duration{90 * 24 * time.Hour, 0, 5 * 24 * time.Hour}; !slices.Equal(got, want) {
		t.Errorf("tokens end in %v, want %v:\n%s", got, want, page)
	}
}

func TestAccountsRefuse(t *testing.T) {
	data, _, _ := withAccounts(t)
	if code, _, errs := hubship(t, data, "account", "add", "carl"); code != model.ExitDone {
		t.Fatal(errs)
	}
	client := api.New(install.At(data).Socket)
	defer client.Close()
	if _, err := client.AddAccount(t.Context(), model.NewAccount{Login: "carl"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the same account again: %v", err)
	}
	if _, err := client.AccountToken(t.Context(), "eve", []string{"repo"}, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a token of nobody: %v", err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"add carl", model.ExitFailed, "account carl already exists"},
		{"add Carl", model.ExitUsage, `"Carl" is not a valid login`},
		{"add ../carl", model.ExitUsage, "is not a valid login"},
		{"add eve --role king", model.ExitUsage, `"king" is not a role`},
		{"add eve --password-file " + short, model.ExitUsage, "a password must have 10 to 1024 bytes"},
		{"add eve --password-file -", model.ExitUsage, "the password file is empty"},
		{"add eve --password-file " + short + "er", model.ExitUsage, "no such file"},
		{"add", model.ExitUsage, "accepts 1 arg"},
		{"token eve", model.ExitFailed, `account "eve" does not exist`},
		{"token ..", model.ExitFailed, ""},
		{"token carl --scope all", model.ExitUsage, `"all" is not a token scope`},
		{"token carl --expires yesterday", model.ExitUsage, `"yesterday" is not a time`},
		{"token carl --expires -5d", model.ExitUsage, `"-5d" is not a time`},
		{"token carl --expires 99999999999d", model.ExitUsage, "is not a time"},
		{"token hubs", model.ExitUsage, "hubs is an organization"},
		{"token hubship", model.ExitUsage, "hubship's own"},
		{"disable HUBSHIP", model.ExitUsage, "hubship's own"},
		{"password eve", model.ExitFailed, `account "eve" does not exist`},
		{"role carl king", model.ExitUsage, `"king" is not a role`},
		{"role carl", model.ExitUsage, "accepts 2 arg"},
		{"fly", model.ExitUsage, `unknown command "fly"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errs := hubship(t, data, append([]string{"account"}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("code %d, want %d and %q, printed %q, got:\n%s", code, c.code, c.want, out, errs)
			}
			if c.want != "" && !strings.Contains(errs, "hint:") {
				t.Errorf("no hint:\n%s", errs)
			}
			if strings.Contains(errs, "short\n") {
				t.Errorf("the password is printed:\n%s", errs)
			}
		})
	}
}

// A password comes over standard input as well.
func TestPasswordFromInput(t *testing.T) {
	data, forge, _ := withAccounts(t)
	var out, errs bytes.Buffer
	code := Run(t.Context(), term.Streams{In: strings.NewReader("from a pipe, in words\r\n"), Out: &out, Err: &errs},
		[]string{"--data", data, "account", "add", "pia", "--password-file", "-"})
	if code != model.ExitDone || out.Len() > 0 {
		t.Fatalf("code %d, %s %s", code, &out, &errs)
	}
	if !logsIn(t, forge, "pia", "from a pipe, in words") {
		t.Error("it does not open the account")
	}
}

// Where the forge is GitHub, people are GitHub's.
func TestAccountsOfGitHub(t *testing.T) {
	data := (&world{status: twoStages()}).serve(t)
	for _, args := range []string{"list", "add carl", "token carl"} {
		code, out, errs := hubship(t, data, append([]string{"account"}, strings.Fields(args)...)...)
		if code != model.ExitUsage || out != "" || !strings.Contains(errs, "the accounts are GitHub's") || !strings.Contains(errs, "Collaborators") {
			t.Errorf("%s: code %d\n%s%s", args, code, out, errs)
		}
	}
}

func TestAccountsComplete(t *testing.T) {
	data, _, _ := withAccounts(t)
	for args, want := range map[string]string{
		"token ":           "hubship\n",
		"role hubship ":    "contributor\nreviewer\nmaintainer\n",
		"add x --role ":    "contributor\nreviewer\nmaintainer\n",
		"token hubship ":   "",
		"token x --scope ": "repo\nrepo:status\nadmin:repo_hook\nread\n",
	} {
		words := strings.Split("__complete account "+args, " ")
		code, out, errs := hubship(t, data, words...)
		if got, _, _ := strings.Cut(out, ":4\n"); code != 0 || got != want {
			t.Errorf("%q: %d %q, want %q\n%s", args, code, out, want, errs)
		}
	}
}
