package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
)

func begin(t *testing.T, svc *service, id string) model.Run {
	t.Helper()
	run := model.Run{ID: id, Kind: model.Deploy, Environment: "staging", State: model.Running, Created: time.Now().UTC(), Started: time.Now().UTC()}
	if err := svc.Put(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	return run
}

func TestFollow(t *testing.T) {
	svc := newService(t)
	r := serve(t, server.Options{Service: svc})
	run := begin(t, svc, "r1")
	// More than a page is there already.
	old := make([]model.Line, 2500)
	for i := range old {
		old[i].Text = fmt.Sprint("old ", i)
	}
	if err := svc.AppendAll(t.Context(), "r1", old); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	live := make(chan struct{})
	go func() {
		<-live
		for i := range 5 {
			_ = svc.Append(ctx, "r1", model.Line{Text: fmt.Sprint("new ", i)})
			time.Sleep(30 * time.Millisecond)
		}
		// The last line and the end come together.
		_ = svc.Append(ctx, "r1", model.Line{Text: "the end"})
		run.State = model.Done
		_ = svc.Put(ctx, run)
	}()
	var got []model.Line
	final, err := r.client.Follow(ctx, "r1", func(l model.Line) error {
		got = append(got, l)
		if len(got) == len(old) {
			close(live)
		}
		return nil
	})
	if err != nil || final.State != model.Done {
		t.Fatalf("Follow() = %v, %v", final.State, err)
	}
	if len(got) != 2506 || got[2505].Text != "the end" {
		t.Fatalf("%d lines, the last %q", len(got), got[len(got)-1].Text)
	}
	for i, l := range got {
		if l.Seq != int64(i+1) {
			t.Fatalf("line %d has seq %d", i, l.Seq)
		}
	}
	// A run that ended is told at once, and parts of it can be asked for.
	n := 0
	if final, err = r.client.Lines(ctx, "r1", 2504, 0, func(model.Line) error { n++; return nil }); err != nil || n != 2 || final.State != model.Done {
		t.Errorf("Lines(after 2504): %d, %v, %v", n, final.State, err)
	}
	n = 0
	if _, err = r.client.Lines(ctx, "r1", 0, 1500, func(model.Line) error { n++; return nil }); err != nil || n != 1500 {
		t.Errorf("Lines(limit 1500): %d, %v", n, err)
	}
	// An error of the caller ends it.
	enough := errors.New("enough")
	if _, err = r.client.Follow(ctx, "r1", func(model.Line) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("Follow() = %v", err)
	}
}

// A followed log goes on where it was when the server comes back, without a
// line lost or told twice.
func TestFollowAcrossRestarts(t *testing.T) {
	svc := newService(t)
	first := serve(t, server.Options{Service: svc})
	run := begin(t, svc, "r1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	told := make(chan int64, 1000)
	type result struct {
		run model.Run
		err error
	}
	done := make(chan result, 1)
	go func() {
		r, err := first.client.Follow(ctx, "r1", func(l model.Line) error { told <- l.Seq; return nil })
		done <- result{r, err}
	}()
	say := func() {
		if err := svc.Append(ctx, "r1", model.Line{Text: "x"}); err != nil {
			t.Error(err)
		}
	}
	current := first
	for range 3 {
		say()
		<-told
		say()
		current.stop() // with or without the second line told
		say()
		current = serve(t, server.Options{Service: svc, Socket: first.socket})
		say()
		for range 3 {
			<-told
		}
	}
	run.State = model.FailedRun
	if err := svc.Put(ctx, run); err != nil {
		t.Fatal(err)
	}
	res := <-done
	if res.err != nil || res.run.State != model.FailedRun {
		t.Fatalf("Follow() = %v, %v", res.run.State, res.err)
	}
	if len(told) != 0 {
		t.Errorf("%d lines were told twice", len(told))
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	svc := newService(t)
	r := serve(t, server.Options{Service: svc})
	begin(t, svc, "r1")
	if err := svc.Append(t.Context(), "r1", model.Line{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := r.client.Follow(ctx, "r1", func(model.Line) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Follow() = %v", err)
	}
	// Neither does a stream keep the server from stopping.
	streams := make(chan struct{})
	go func() {
		told := sync.OnceFunc(func() { close(streams) })
		_, _ = r.client.Follow(t.Context(), "r1", func(model.Line) error { told(); return nil })
	}()
	<-streams
	start := time.Now()
	r.stop()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

// Without an end in sight the stream still shows signs of life.
func TestHeartbeat(t *testing.T) {
	svc := newService(t)
	r := serve(t, server.Options{Service: svc})
	begin(t, svc, "r1")
	ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+"/api/v1/runs/r1/lines?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.signIn(t, "write").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var got strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := res.Body.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			break
		}
	}
	records := strings.Split(strings.TrimSpace(got.String()), "\n")
	if len(records) != 2 || !strings.Contains(records[0], `"running"`) || records[1] != "{}" {
		t.Errorf("in 7 s there came %q", records)
	}
}
