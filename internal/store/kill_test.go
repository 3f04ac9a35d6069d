package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// writerEnv makes the test binary a process that writes until it is killed.
const writerEnv = "HUBSHIP_TEST_STORE_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		os.Exit(writeForever(path))
	}
	os.Exit(m.Run())
}

// writeForever adds lines to a run and says after each how many there are.
func writeForever(path string) int {
	start := time.Now()
	s, err := Open(context.Background(), path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	lines, err := s.Lines(context.Background(), "r000001", 0, 1_000_000)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for n := len(lines); time.Since(start) < time.Minute; n++ {
		if err := s.Append(context.Background(), "r000001", model.Line{Text: fmt.Sprint(n)}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(n + 1)
	}
	return 0
}

// A writer that is killed loses nothing that it was told is stored.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), NewRun(1, nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), writerEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stored := 0
		time.AfterFunc(300*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if stored, err = strconv.Atoi(scan.Text()); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait() // it was killed
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		lines, err := s.Lines(t.Context(), "r000001", 0, 1_000_000)
		if err != nil || len(lines) < stored {
			t.Errorf("kill %d: %d lines are there, %d were stored, %v", round, len(lines), stored, err)
		}
		for i, l := range lines {
			if l.Seq != int64(i+1) || l.Text != fmt.Sprint(i) {
				t.Fatalf("kill %d: line %d is %+v", round, i, l)
			}
		}
		if round == 4 && len(lines) == 0 {
			t.Error("nothing was ever written")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
