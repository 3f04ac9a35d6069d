package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// epoch has no fraction that a database could lose.
var epoch = time.Date(2026, 3, 1, 9, 0, 0, 123456000, time.UTC)

// testHistory is what the history does on each database. Each test opens an
// empty one of its own.
func testHistory(t *testing.T, open func(t *testing.T) *Store) {
	for name, test := range map[string]func(*testing.T, *Store){
		"run comes back whole":        testRoundTrip,
		"put replaces":                testReplace,
		"unknown run":                 testUnknown,
		"list filters and orders":     testList,
		"lines are numbered from one": testLines,
		"lines of any bytes":          testBytes,
		"concurrent appends":          testConcurrent,
		"a context that ended":        testContext,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// NewRun is a run that is n minutes younger than the first.
func NewRun(n int, change func(*model.Run)) model.Run {
	r := model.Run{
		ID: fmt.Sprintf("r%06d", n), Kind: model.Deploy, Environment: "staging", Commit: strings.Repeat("a", 40),
		Subject: "Add a package", Cause: "push by admin", State: model.Done, Created: epoch.Add(time.Duration(n) * time.Minute),
	}
	if change != nil {
		change(&r)
	}
	return r
}

func put(t *testing.T, h *Store, runs ...model.Run) {
	t.Helper()
	for _, r := range runs {
		if err := h.Put(t.Context(), r); err != nil {
			t.Fatalf("Put(%s): %v", r.ID, err)
		}
	}
}

func testRoundTrip(t *testing.T, h *Store) {
	want := NewRun(1, func(r *model.Run) {
		r.Hubs = []string{"datahub"}
		r.Force = true
		r.Subject = "Ünïcode ‘subject’ \x00 with \"quotes\""
		r.Started, r.Finished = r.Created.Add(time.Second), r.Created.Add(time.Minute)
		r.Images = []model.Built{{ID: "datahub/user", Tag: "abc", Digest: "sha256:1", Size: 123, Rebuilt: true}}
		r.Releases = []model.ReleaseResult{{Target: model.Target{Hub: "datahub", Environment: "staging"}, State: model.Done, Revision: 3,
			Verification: &model.Verification{Passed: true, Checks: []model.Check{{Name: "import numpy", Passed: true, Duration: 1234567}}}}}
		r.Durations = model.Durations{Plan: 1, Build: 2, Deploy: 3, Verify: 4}
	})
	put(t, h, want)
	got, err := h.Get(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Get() = %+v\nwant %+v", got, want)
	}
}

func testReplace(t *testing.T, h *Store) {
	put(t, h, NewRun(1, func(r *model.Run) { r.State = model.Running }))
	if err := h.Append(t.Context(), "r000001", model.Line{Text: "kept"}); err != nil {
		t.Fatal(err)
	}
	put(t, h, NewRun(1, func(r *model.Run) { r.State = model.FailedRun; r.Reason = "broken"; r.Environment = "prod" }))
	got, err := h.Get(t.Context(), "r000001")
	if err != nil || got.State != model.FailedRun || got.Reason != "broken" {
		t.Errorf("Get() = %v %q, %v", got.State, got.Reason, err)
	}
	expect(t, h, model.RunFilter{Environment: "staging"})
	expect(t, h, model.RunFilter{Environment: "prod"}, "r000001")
	expect(t, h, model.RunFilter{Active: true})
	if lines, err := h.Lines(t.Context(), "r000001", 0, 0); err != nil || len(lines) != 1 {
		t.Errorf("a second Put lost the log: %v, %v", lines, err)
	}
}

func testUnknown(t *testing.T, h *Store) {
	if _, err := h.Get(t.Context(), "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get of an unknown run: %v", err)
	}
	if err := h.Append(t.Context(), "nothing", model.Line{Text: "x"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Append to an unknown run: %v", err)
	}
	if lines, err := h.Lines(t.Context(), "nothing", 0, 10); err != nil || len(lines) != 0 {
		t.Errorf("Lines of an unknown run: %v, %v", lines, err)
	}
	if err := h.Put(t.Context(), model.Run{}); err == nil {
		t.Error("a run without an id was stored")
	}
}

func expect(t *testing.T, h *Store, f model.RunFilter, want ...string) {
	t.Helper()
	runs, err := h.List(t.Context(), f)
	if err != nil {
		t.Fatalf("List(%+v): %v", f, err)
	}
	got := []string{}
	for _, r := range runs {
		got = append(got, r.ID)
	}
	if len(got) != len(want) || (len(want) > 0 && !reflect.DeepEqual(got, want)) {
		t.Errorf("List(%+v) = %v, want %v", f, got, want)
	}
}

func testList(t *testing.T, h *Store) {
	put(t, h,
		NewRun(2, func(r *model.Run) { r.Hubs = []string{"data8"} }),
		NewRun(1, nil), // of all hubs
		NewRun(4, func(r *model.Run) { r.Environment = "prod"; r.State = model.Queued }),
		NewRun(3, func(r *model.Run) {
			r.State = model.Running
			r.Releases = []model.ReleaseResult{{Target: model.Target{Hub: "datahub"}}}
		}),
	)
	same := NewRun(5, func(r *model.Run) { r.ID = "r000003b"; r.Created = epoch.Add(3 * time.Minute); r.Environment = "prod" })
	put(t, h, same)
	expect(t, h, model.RunFilter{}, "r000004", "r000003b", "r000003", "r000002", "r000001")
	expect(t, h, model.RunFilter{Limit: 2}, "r000004", "r000003b")
	expect(t, h, model.RunFilter{Environment: "staging"}, "r000003", "r000002", "r000001")
	expect(t, h, model.RunFilter{Active: true}, "r000004", "r000003")
	expect(t, h, model.RunFilter{Active: true, Environment: "prod"}, "r000004")
	expect(t, h, model.RunFilter{Hub: "data8"}, "r000004", "r000003b", "r000002", "r000001")
	expect(t, h, model.RunFilter{Hub: "datahub", Environment: "staging"}, "r000003", "r000001")
	expect(t, h, model.RunFilter{Environment: "' OR 1=1 --"})

	// What a run is about becomes clear while it goes on.
	put(t, h, NewRun(1, func(r *model.Run) { r.Releases = []model.ReleaseResult{{Target: model.Target{Hub: "data8"}}} }))
	expect(t, h, model.RunFilter{Hub: "datahub", Environment: "staging"}, "r000003")
}

func testLines(t *testing.T, h *Store) {
	put(t, h, NewRun(1, nil), NewRun(2, nil))
	for i := range 5 {
		for _, run := range []string{"r000001", "r000002"} {
			line := model.Line{Seq: 99, Time: epoch.Add(time.Duration(i) * time.Second), Level: model.LevelWarn, Scope: "plan", Text: fmt.Sprint(run, i)}
			if err := h.Append(t.Context(), run, line); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := h.Lines(t.Context(), "r000002", 0, 0)
	if err != nil || len(got) != 5 {
		t.Fatalf("Lines() = %v, %v", got, err)
	}
	for i, l := range got {
		want := model.Line{Seq: int64(i + 1), Time: epoch.Add(time.Duration(i) * time.Second), Level: model.LevelWarn, Scope: "plan", Text: fmt.Sprint("r000002", i)}
		if !reflect.DeepEqual(l, want) {
			t.Errorf("line %d = %+v, want %+v", i, l, want)
		}
	}
	if got, err = h.Lines(t.Context(), "r000002", 2, 2); err != nil || len(got) != 2 || got[0].Seq != 3 || got[1].Seq != 4 {
		t.Errorf("Lines(after 2, limit 2) = %v, %v", got, err)
	}
	if got, err = h.Lines(t.Context(), "r000002", 5, 2); err != nil || len(got) != 0 {
		t.Errorf("Lines(after the last) = %v, %v", got, err)
	}
	// Level and time have defaults.
	before := time.Now().Add(-time.Second)
	if err := h.Append(t.Context(), "r000002", model.Line{Text: "bare"}); err != nil {
		t.Fatal(err)
	}
	got, err = h.Lines(t.Context(), "r000002", 5, 0)
	if err != nil || len(got) != 1 || got[0].Level != model.LevelInfo || got[0].Time.Before(before) {
		t.Errorf("a bare line = %+v, %v", got, err)
	}
}

func testBytes(t *testing.T, h *Store) {
	put(t, h, NewRun(1, nil))
	for in, want := range map[string]string{
		"tab\tand \x1b[31mcolour\x1b[0m": "tab\tand \x1b[31mcolour\x1b[0m",
		"nul \x00 here":                  "nul \uFFFD here",
		"broken \xff\xfe utf-8":          "broken \uFFFD utf-8",
		"":                               "",
		"'; DROP TABLE runs; --":         "'; DROP TABLE runs; --",
	} {
		if err := h.Append(t.Context(), "r000001", model.Line{Text: in, Scope: "image a\x00"}); err != nil {
			t.Fatalf("Append(%q): %v", in, err)
		}
		lines, err := h.Lines(t.Context(), "r000001", 0, 1000)
		if err != nil || lines[len(lines)-1].Text != want {
			t.Errorf("%q came back as %q, %v", in, lines[len(lines)-1].Text, err)
		}
	}
	long := strings.Repeat("é", 100_000)
	if err := h.Append(t.Context(), "r000001", model.Line{Text: long}); err != nil {
		t.Fatal(err)
	}
	lines, err := h.Lines(t.Context(), "r000001", 5, 1)
	if err != nil || len(lines) != 1 || len(lines[0].Text) > 20_000 || !strings.HasSuffix(lines[0].Text, "bytes cut)") {
		t.Errorf("a line of 200,000 bytes was kept with %d, %v", len(lines[0].Text), err)
	}
}

func testConcurrent(t *testing.T, h *Store) {
	put(t, h, NewRun(1, nil))
	const writers, each = 8, 25
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				if err := h.Append(t.Context(), "r000001", model.Line{Scope: fmt.Sprint(w), Text: fmt.Sprint(i)}); err != nil {
					t.Errorf("Append: %v", err)
				}
				if _, err := h.List(t.Context(), model.RunFilter{}); err != nil {
					t.Errorf("List: %v", err)
				}
			}
		})
	}
	group.Wait()
	lines, err := h.Lines(t.Context(), "r000001", 0, 1000)
	if err != nil || len(lines) != writers*each {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	next := map[string]int{}
	for i, l := range lines {
		if l.Seq != int64(i+1) {
			t.Fatalf("line %d has seq %d", i, l.Seq)
		}
		if l.Text != fmt.Sprint(next[l.Scope]) {
			t.Fatalf("writer %s: line %q out of order", l.Scope, l.Text)
		}
		next[l.Scope]++
	}
}

func testContext(t *testing.T, h *Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Put(ctx, NewRun(1, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with an ended context: %v", err)
	}
	if _, err := h.List(ctx, model.RunFilter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("List with an ended context: %v", err)
	}
	expect(t, h, model.RunFilter{})
}
