package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func repository(t *testing.T, s *Store) (Account, Repository) {
	t.Helper()
	a := account(t, s, NewAccount{Login: "ada"})
	r := Repository{Owner: a.ID, Name: "d", Dir: "d", DefaultBranch: "staging"}
	if err := s.AddRepository(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	return a, r
}

// A status that is posted again is the one that is there; the old ones of a
// context make room for the new.
func TestStatuses(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	a, r := repository(t, s)
	sha := strings.Repeat("a", 40)
	post := func(context, state, description string) (Status, bool) {
		t.Helper()
		v := Status{Repository: r.ID, SHA: sha, Context: context, State: state, Description: description, Creator: a.ID}
		recorded, err := s.AddStatus(ctx, &v, false)
		if err != nil {
			t.Fatal(err)
		}
		return v, recorded
	}
	first, recorded := post("ci", "pending", "runs")
	again, repeated := post("ci", "pending", "runs")
	if !recorded || repeated || again.ID != first.ID || first.ID == 0 {
		t.Errorf("posted twice: %v %d, %v %d", recorded, first.ID, repeated, again.ID)
	}
	if _, recorded := post("ci", "success", "runs"); !recorded {
		t.Error("another state was taken for the same")
	}
	if back, recorded := post("ci", "pending", "runs"); !recorded || back.ID == first.ID {
		t.Error("what was true before is not what is true now")
	}
	post("other", "success", "")
	for i := range KeepStatuses + 20 {
		post("ci", "pending", fmt.Sprint(i))
	}
	list, err := s.Statuses(ctx, r.ID, sha)
	if err != nil || len(list) != KeepStatuses+1 || list[0].Description != fmt.Sprint(KeepStatuses+19) {
		t.Errorf("%d statuses are kept, %v", len(list), err)
	}
	for i := range MaxContexts - 2 {
		post(fmt.Sprint("c", i), "success", "")
	}
	v := Status{Repository: r.ID, SHA: sha, Context: "one more", State: "success", Creator: a.ID}
	if _, err := s.AddStatus(ctx, &v, false); !errors.Is(err, ErrTooMany) {
		t.Errorf("one context more than there may be: %v", err)
	}
	if recorded, err := s.AddStatus(ctx, &v, true); err != nil || !recorded {
		t.Errorf("one that is bound by nothing: %v, %v", recorded, err)
	}
	// What is said about one merge leaves what is said about another alone.
	sha = strings.Repeat("b", 40)
	merge := func(base, description string) {
		t.Helper()
		v := Status{Repository: r.ID, SHA: sha, Context: "ci", State: "success", Description: description, Creator: a.ID, BaseRef: base, BaseSHA: strings.Repeat("c", 40)}
		if _, err := s.AddStatus(ctx, &v, false); err != nil {
			t.Fatal(err)
		}
	}
	merge("prod", "kept")
	for i := range KeepStatuses + 5 {
		merge("dev", fmt.Sprint(i))
	}
	if list, err = s.Statuses(ctx, r.ID, sha); err != nil || len(list) != KeepStatuses+1 || list[len(list)-1].Description != "kept" {
		t.Errorf("%d statuses of two merges are kept, the oldest %q, %v", len(list), list[len(list)-1].Description, err)
	}
}

func TestChecksAreBounded(t *testing.T) {
	s, _ := open(t)
	a, r := repository(t, s)
	sha := strings.Repeat("a", 40)
	for i := range KeepChecks + 5 {
		for _, name := range []string{"plan", "tests"} {
			if err := s.AddCheck(t.Context(), &Check{Repository: r.ID, SHA: sha, Name: name, External: fmt.Sprint(i), Status: "queued", Creator: a.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if all, err := s.Checks(t.Context(), r.ID, sha); err != nil || len(all) != 2*KeepChecks || all[0].External != fmt.Sprint(KeepChecks+4) {
		t.Errorf("%d are kept, %v", len(all), err)
	}
}

func TestDeployments(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	a, r := repository(t, s)
	deploy := func(environment string, production, transient bool) Deployment {
		t.Helper()
		d := Deployment{Repository: r.ID, SHA: strings.Repeat("a", 40), Ref: "staging", Task: "deploy", Environment: environment, Payload: "{}", Production: production, Transient: transient, Creator: a.ID}
		if err := s.AddDeployment(ctx, &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	set := func(d Deployment, state string, replaces bool) {
		t.Helper()
		if err := s.AddDeploymentStatus(ctx, &DeploymentStatus{Deployment: d.ID, State: state, Environment: d.Environment, Creator: a.ID}, replaces); err != nil {
			t.Fatal(err)
		}
	}
	state := func(d Deployment) string {
		t.Helper()
		list, err := s.DeploymentStatuses(ctx, d.ID)
		if err != nil || len(list) == 0 {
			t.Fatalf("%d statuses, %v", len(list), err)
		}
		return list[0].State
	}
	older := map[string]Deployment{
		"before": deploy("staging", false, false), "failed": deploy("staging", false, false), "elsewhere": deploy("test", false, false),
		"production": deploy("staging", true, false), "transient": deploy("staging", false, true),
	}
	for name, d := range older {
		set(d, map[bool]string{true: "failure", false: "success"}[name == "failed"], false)
	}
	latest := deploy("staging", false, false)
	set(latest, "success", true)
	for name, want := range map[string]string{"before": Inactive, "failed": "failure", "elsewhere": "success", "production": "success", "transient": "success"} {
		if got := state(older[name]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := state(latest); got != "success" {
		t.Errorf("the latest: %s", got)
	}
	for range KeepDeploymentStatuses + 5 {
		set(latest, "in_progress", false)
	}
	if list, err := s.DeploymentStatuses(ctx, latest.ID); err != nil || len(list) != KeepDeploymentStatuses {
		t.Errorf("%d statuses are kept, %v", len(list), err)
	}
	for filter, want := range map[DeploymentFilter]int{{}: 6, {Environment: "test"}: 1, {Ref: "prod"}: 0, {Task: "deploy", SHA: strings.Repeat("a", 40)}: 6} {
		filter.Repository, filter.Limit = r.ID, 2
		if list, total, err := s.Deployments(ctx, filter); err != nil || total != want || len(list) != min(want, 2) {
			t.Errorf("%+v: %d of %d, %v", filter, len(list), total, err)
		}
	}
}
