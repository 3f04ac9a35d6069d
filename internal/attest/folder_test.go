package attest_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/attest"
)

func TestKeysAreMadeOnceAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	var wg sync.WaitGroup
	for range 8 { // servers and command lines that start at once
		wg.Go(func() {
			if _, err := attest.OpenFolder(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f, err := attest.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if keys := public(t, f); len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info.Mode(), err)
	}
}

func TestRotation(t *testing.T) {
	f := folder(t)
	old := seal(t, f, evidenceOf(want, 1))
	first := public(t, f)[0]
	second, err := f.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := f.Newest()
	if err != nil || signer.ID != second.ID || second.ID == first.ID {
		t.Errorf("the newest is %s, want %s: %v", signer.ID, second.ID, err)
	}
	standing := attest.NewStanding(want).Record(shared)
	for _, envelope := range [][]byte{old, seal(t, f, evidenceOf(want, 1))} {
		if _, err := accepted(envelope, public(t, f), want, standing); err != nil {
			t.Errorf("after the rotation: %v", err)
		}
	}
	if _, err := f.Remove(second.ID); err == nil || !strings.Contains(err.Error(), "newest") {
		t.Errorf("the newest was removed: %v", err)
	}
	if _, err := f.Remove("0000"); err == nil {
		t.Error("a key that is not there was removed")
	}
	if _, err := f.Remove(first.ID[:20]); err != nil {
		t.Fatal(err)
	}
	if _, err := accepted(old, public(t, f), want, standing); reasonOf(err) != attest.BadSignature {
		t.Errorf("what a removed key signed: %v", err)
	}
}

// Readers see the keys before a rotation or after it, and sign all through it.
func TestRotationIsAtomic(t *testing.T) {
	f := folder(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				envelope, err := evidenceOf(want, 1).Seal(f)
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := attest.OpenEvidence(envelope, public(t, f)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range 10 {
				if _, err := f.Rotate(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	close(stop)
	wg.Wait()
	keys := public(t, f)
	if len(keys) != 21 {
		t.Errorf("%d keys after 20 rotations", len(keys))
	}
	for i := range keys[1:] {
		if !keys[i].Created.After(keys[i+1].Created) {
			t.Errorf("keys %d and %d are of the same time", i, i+1)
		}
	}
}

func TestKeysThatAreNotTrusted(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"readable by others": func(file string) error { return os.Chmod(file, 0o644) },
		"cut":                func(file string) error { return os.Truncate(file, 60) },
		"empty":              func(file string) error { return os.Truncate(file, 0) },
		"a link": func(file string) error {
			if err := os.Rename(file, file+".other"); err != nil {
				return err
			}
			return os.Symlink(file+".other", file)
		},
		"under another's name": func(file string) error {
			return os.Rename(file, filepath.Join(filepath.Dir(file), "20300101T000000.000000000Z-0123456789abcdef.pem"))
		},
	} {
		dir := filepath.Join(t.TempDir(), "keys")
		f, err := attest.OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*.pem"))
		if err := spoil(files[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Newest(); err == nil {
			t.Errorf("%s: the key signs", name)
		}
		if _, err := f.Public(); err == nil {
			t.Errorf("%s: the key is believed", name)
		}
		if _, err := attest.OpenFolder(dir); err == nil {
			t.Errorf("%s: another key was made beside it", name)
		}
	}
}

func TestPublicKeyIsExported(t *testing.T) {
	key := public(t, folder(t))[0]
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := attest.ParsePublic(pem)
	if err != nil || again.ID != key.ID {
		t.Errorf("%s became %s: %v", key.ID, again.ID, err)
	}
	for _, text := range []string{"", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", strings.ReplaceAll(string(pem), "PUBLIC", "PRIVATE")} {
		if _, err := attest.ParsePublic([]byte(text)); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}
