package serve

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/store"
)

// Accounts of the admin socket, beyond what the command line asks for.
func TestAdminMakesOrganizationsAndRepositories(t *testing.T) {
	w := newWorld(t)
	w.start()
	post := func(path, body string) (int, string) {
		t.Helper()
		return w.ask(w.s.AdminSocket, http.MethodPost, path, body, byHeader, "ada")
	}
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/api/v1/accounts", `{"login":"class","kind":"organization"}`, http.StatusCreated, `"organization":true`},
		{"/api/v1/accounts", `{"login":"class"}`, http.StatusConflict, `already exists","hint":"change it with`},
		{"/api/v1/accounts", `{"login":"x","kind":"robot"}`, http.StatusBadRequest, `"code":2`},
		{"/api/v1/accounts", `{"login":"x","colour":"red"}`, http.StatusBadRequest, `"hint":`},
		{"/api/v1/accounts", `{"login":"carl","email":"carl@example.org"}`, http.StatusCreated, `"role":"contributor"`},
		{"/api/v1/accounts/class/token", `{"scopes":["repo"]}`, http.StatusBadRequest, `is an organization`},
		{"/api/v1/accounts/hubship/role", `{"role":"contributor"}`, http.StatusBadRequest, `hubship's own`},
		{"/api/v1/accounts/nobody/password", `{"password":"0123456789"}`, http.StatusNotFound, `does not exist`},
		{"/api/v1/accounts/carl/token", `{"scopes":["repo"],"expires":-1}`, http.StatusBadRequest, `cannot have expired`},
		{"/api/v1/accounts/carl/disabled", `{"disabled":true}`, http.StatusOK, `"disabled":true`},
		{"/api/v1/accounts/carl/token", `{"scopes":["repo"]}`, http.StatusInternalServerError, `hubship account enable carl`},
		{"/api/v1/repositories", `{"owner":"class","name":"hubs","defaultBranch":"trunk"}`, http.StatusCreated, `"defaultBranch":"trunk"`},
		{"/api/v1/repositories", `{"owner":"class","name":"hubs"}`, http.StatusConflict, `already exists`},
		{"/api/v1/repositories", `{"owner":"nobody","name":"hubs"}`, http.StatusNotFound, `does not exist`},
		{"/api/v1/repositories", `{"owner":"class","name":"../x"}`, http.StatusBadRequest, `"code":2`},
		{"/api/v1/else", `{}`, http.StatusNotFound, `not found`},
	} {
		if status, body := post(c.path, c.body); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("POST %s %s: %d %s, want %d and %q", c.path, c.body, status, body, c.status, c.says)
		}
	}
	if !strings.Contains(w.log.String(), `msg="account: locked or let in" login=carl by=ada`) {
		t.Errorf("the log does not say who locked carl out:\n%s", w.log)
	}
	w.ok(w.stop())
	s, err := store.Open(t.Context(), w.s.Database)
	w.ok(err)
	defer func() { _ = s.Close() }()
	if a, err := s.AccountByLogin(t.Context(), "carl"); err != nil || a.Email != "carl@example.org" || !a.Disabled {
		t.Errorf("carl is %+v, %v", a, err)
	}
	if _, err := s.RepositoryByName(t.Context(), "class", "hubs"); err != nil {
		t.Error(err)
	}
}
