package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/install"
)

// student is a user with a browser's means: a login form, cookies, and the
// requests that JupyterLab makes.
type student struct {
	name string
	base string // "http://datahub-staging.localhost:18080"
	web  *http.Client
}

// login logs a user in at the hub of an environment, with the try-out's
// password.
func (i *installation) login(t *testing.T, env, name string) *student {
	t.Helper()
	raw, err := os.ReadFile(install.At(i.data).Password)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &student{name: name, base: strings.TrimSuffix(i.release(t, env).URL, "/"),
		web: &http.Client{Timeout: i.web.Timeout, Transport: i.web.Transport, Jar: jar}}
	if code, body := s.do(t, http.MethodGet, "/hub/login", nil, ""); code != http.StatusOK {
		t.Fatalf("the login page answers %d: %.300s", code, body)
	}
	form := url.Values{"username": {name}, "password": {strings.TrimSpace(string(raw))}, "_xsrf": {s.xsrf("/hub/")}}
	if code, body := s.do(t, http.MethodPost, "/hub/login", strings.NewReader(form.Encode()), "application/x-www-form-urlencoded"); code != http.StatusOK && code != http.StatusNotFound {
		t.Fatalf("the login answers %d: %.300s", code, body)
	}
	if !s.cookie("/hub/", "jupyterhub-session-id") {
		t.Fatal("the login did not log in")
	}
	return s
}

// cookies are those that a request to the path would carry.
func (s *student) cookies(path string) []*http.Cookie {
	u, err := url.Parse(s.base + path)
	if err != nil {
		return nil
	}
	return s.web.Jar.Cookies(u)
}

func (s *student) cookie(path, name string) bool {
	for _, c := range s.cookies(path) {
		if c.Name == name {
			return true
		}
	}
	return false
}

func (s *student) xsrf(path string) string {
	for _, c := range s.cookies(path) {
		if c.Name == "_xsrf" {
			return c.Value
		}
	}
	return ""
}

// do makes a request and follows redirects, as a browser does.
func (s *student) do(t *testing.T, method, path string, body io.Reader, contentType string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if method != http.MethodGet {
		req.Header.Set("X-XSRFToken", s.xsrf(path))
		req.Header.Set("Referer", s.base+path)
	}
	resp, err := s.web.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(raw)
}

// start starts the user's server and waits until it answers. It returns when
// the server says it began, so that a restart is noticed.
func (s *student) start(t *testing.T) (started string) {
	t.Helper()
	home := "/user/" + s.name
	deadline := time.Now().Add(4 * time.Minute)
	if code, _ := s.do(t, http.MethodGet, "/hub/spawn", nil, ""); code == 0 {
		t.Fatal("the spawn page does not answer")
	}
	for {
		// The page logs in to the server as well as to the hub.
		code, body := s.do(t, http.MethodGet, home+"/lab", nil, "")
		if code == http.StatusOK && strings.Contains(body, "jupyter-config-data") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server of %s does not open JupyterLab: %d %.300s", s.name, code, body)
		}
		time.Sleep(500 * time.Millisecond)
	}
	return s.since(t)
}

// since is when the user's server says that it began.
func (s *student) since(t *testing.T) string {
	t.Helper()
	code, body := s.do(t, http.MethodGet, "/user/"+s.name+"/api/status", nil, "")
	var st struct {
		Started string `json:"started"`
	}
	if err := json.Unmarshal([]byte(body), &st); code != http.StatusOK || err != nil || st.Started == "" {
		t.Fatalf("the server of %s says %d %.300s", s.name, code, body)
	}
	return st.Started
}

// stop stops the user's server and waits until it is gone.
func (s *student) stop(t *testing.T) {
	t.Helper()
	// The page gives the token that the hub's own requests need.
	if code, body := s.do(t, http.MethodGet, "/hub/home", nil, ""); code != http.StatusOK {
		t.Fatalf("the home page answers %d %.200s", code, body)
	}
	path := fmt.Sprintf("/hub/api/users/%s/server", s.name)
	code, body := s.do(t, http.MethodDelete, path+"?_xsrf="+url.QueryEscape(s.xsrf("/hub/")), nil, "")
	if code/100 != 2 {
		t.Fatalf("stop the server of %s: %d %.300s", s.name, code, body)
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(300 * time.Millisecond) {
		code, body := s.do(t, http.MethodGet, "/hub/api/users/"+s.name, nil, "")
		var u struct {
			Servers map[string]any `json:"servers"`
		}
		if code == http.StatusOK && json.Unmarshal([]byte(body), &u) == nil && len(u.Servers) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server of %s does not stop: %d %.300s", s.name, code, body)
		}
	}
}

// save writes a notebook with one cell, as JupyterLab does.
func (s *student) save(t *testing.T, file, cell string) {
	t.Helper()
	notebook := map[string]any{"nbformat": 4, "nbformat_minor": 5, "metadata": map[string]any{}, "cells": []any{
		map[string]any{"cell_type": "code", "id": "a", "source": cell, "metadata": map[string]any{}, "outputs": []any{}, "execution_count": nil}}}
	raw, err := json.Marshal(map[string]any{"type": "notebook", "format": "json", "content": notebook})
	if err != nil {
		t.Fatal(err)
	}
	code, body := s.do(t, http.MethodPut, "/user/"+s.name+"/api/contents/"+file, bytes.NewReader(raw), "application/json")
	if code/100 != 2 {
		t.Fatalf("save %s: %d %.300s", file, code, body)
	}
}

// has fails the test unless the notebook is there and holds the cell.
func (s *student) has(t *testing.T, file, cell string) {
	t.Helper()
	code, body := s.do(t, http.MethodGet, "/user/"+s.name+"/api/contents/"+file, nil, "")
	if code != http.StatusOK || !strings.Contains(body, cell) {
		t.Fatalf("%s is not what was saved: %d %.300s", file, code, body)
	}
}
