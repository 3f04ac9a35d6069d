package server_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os/user"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
)

// Nothing about accounts is served to the HTTP port, which pages in a browser
// can reach.
func TestAccountsAtTheSocketOnly(t *testing.T) {
	r := serve(t, server.Options{Service: newService(t)})
	for _, c := range [][2]string{
		{http.MethodGet, ""}, {http.MethodPost, ""}, {http.MethodPost, "/carl/token"}, {http.MethodPost, "/carl/password"},
		{http.MethodPost, "/carl/role"}, {http.MethodPost, "/carl/disabled"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c[0], "http://"+r.addr+api.Prefix+"/accounts"+c[1], strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s over the HTTP port: %s", c[0], c[1], res.Status)
		}
	}
	_, err := r.client.AddAccount(t.Context(), model.NewAccount{Login: "carl"})
	if model.ExitCodeOf(err) != model.ExitUsage || model.HintOf(err) == "" || errors.Is(err, fs.ErrExist) {
		t.Errorf("without an embedded forge: %v", err)
	}
}

// Who serves the accounts is told who asks, and not by who asks.
func TestAccountsArePassedOnWithTheirUser(t *testing.T) {
	var by []string
	r := serve(t, server.Options{Service: newService(t), Accounts: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by = r.Header.Values(server.ByHeader)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[]"))
	})})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://hubship"+api.Prefix+"/accounts", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header[server.ByHeader] = []string{"somebody", "else"}
	res, err := (&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || len(by) != 1 || by[0] != me.Username {
		t.Errorf("%s, asked by %q, want %q", res.Status, by, me.Username)
	}
}
