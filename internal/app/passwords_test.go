package app

import (
	"os"
	"strings"
	"testing"
)

// logsIn wants a password file to open the forge's first account, or not to.
func (w *world) logsIn(file string, want bool) {
	w.t.Helper()
	password, err := os.ReadFile(file)
	w.ok(err)
	_, err = w.process.local.host.Store.Login(w.t.Context(), adminLogin, strings.TrimSpace(string(password)))
	if (err == nil) != want {
		w.t.Errorf("%s opens the forge: %v (%v), want %v", file, err == nil, err, want)
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
	admin, err := w.process.local.host.Store.AccountByLogin(t.Context(), adminLogin)
	w.ok(err)
	before := func() {
		w.ok(w.process.local.host.Store.SetPassword(t.Context(), admin.ID, strings.TrimSpace(string(shared))))
	}
	before()
	w.stop()
	w.ok(os.Remove(w.paths.ForgePassword))
	w.start()
	w.logsIn(w.paths.ForgePassword, true)
	w.logsIn(w.paths.Password, false)

	// A copy of the one in the place of the other is not believed either.
	before()
	w.stop()
	w.ok(os.WriteFile(w.paths.ForgePassword, shared, 0o600))
	w.start()
	w.logsIn(w.paths.ForgePassword, true)
	w.logsIn(w.paths.Password, false)

	// What the person has chosen stays.
	w.ok(w.process.local.host.Store.SetPassword(t.Context(), admin.ID, "a password of my own"))
	w.stop()
	w.start()
	if _, err := w.process.local.host.Store.Login(t.Context(), adminLogin, "a password of my own"); err != nil {
		t.Error(err)
	}
}
