package node

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Whoever can open what is locked can hold the lock, and keep nodes from starting:
// nobody but root can. One holds it at a time, also while others remove it.
func TestLockIsNobodyElses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hubship")
	if err := os.Mkdir(path, 0o755); err != nil { // as an older node made it
		t.Fatal(err)
	}
	release, err := lockFolder(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can open it: %v, %v", info.Mode(), err)
	}
	if _, err := lockFolder(path, 50*time.Millisecond); err == nil {
		t.Error("two have the lock")
	}
	release()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it stays: %v", err)
	}

	var group sync.WaitGroup
	inside, most := 0, 0
	var mu sync.Mutex
	for range 8 {
		group.Go(func() {
			for range 20 {
				release, err := lockFolder(path, 30*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				inside--
				mu.Unlock()
				release()
			}
		})
	}
	group.Wait()
	if most != 1 {
		t.Errorf("%d had it at once", most)
	}
	// What is in it stays.
	release, err = lockFolder(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "made-x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	release()
	if _, err := os.Stat(filepath.Join(path, "made-x")); err != nil {
		t.Error(err)
	}
}
