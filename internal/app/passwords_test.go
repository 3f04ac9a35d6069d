package app

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/devforge"
)

// opens says whether a password opens the forge's first account.
func (w *world) opens(password string) bool {
	w.t.Helper()
	res, err := http.PostForm(fmt.Sprintf("http://localhost:%d/forge/-/signin", w.settings.Port), url.Values{"login": {devforge.AdminLogin}, "password": {password}})
	w.ok(err)
	_ = res.Body.Close()
	return res.StatusCode != http.StatusForbidden
}

// logsIn wants a password file to open the forge's first account, or not to.
func (w *world) logsIn(file string, want bool) {
	w.t.Helper()
	password, err := os.ReadFile(file)
	w.ok(err)
	if got := w.opens(strings.TrimSpace(string(password))); got != want {
		w.t.Errorf("%s opens the forge: %v, want %v", file, got, want)
	}
}

// Whoever may use a hub knows its password, and is nobody at the forge.
func TestPasswordsAreApart(t *testing.T) {
	w := newWorld(t, nil)
	w.logsIn(w.paths.ForgePassword, true)
	w.logsIn(w.paths.Password, false)

	// An installation of before: the forge's password was the hubs'.
	shared, err := os.ReadFile(w.paths.Password)
	w.ok(err)
	set := func(password string) {
		w.ok(w.admin().SetAccountPassword(t.Context(), devforge.AdminLogin, password))
	}
	set(strings.TrimSpace(string(shared)))
	w.stop()
	w.ok(os.Remove(w.paths.ForgePassword))
	w.start()
	w.logsIn(w.paths.ForgePassword, true)
	w.logsIn(w.paths.Password, false)

	// A copy of the one in the place of the other is not believed either.
	set(strings.TrimSpace(string(shared)))
	w.stop()
	w.ok(os.WriteFile(w.paths.ForgePassword, shared, 0o600))
	w.start()
	w.logsIn(w.paths.ForgePassword, true)
	w.logsIn(w.paths.Password, false)

	// What the person has chosen stays.
	set("a password of my own")
	w.stop()
	w.start()
	if !w.opens("a password of my own") {
		t.Error("the person's own password opens the forge no longer")
	}
}
