package server_test

import (
	"errors"
	"io/fs"
	"net/http"
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
