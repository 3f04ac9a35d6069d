package attest

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hubship/hubship/internal/model"
)

// Folder keeps keys as files: PKCS #8 in PEM, readable by their owner alone,
// named by when they were made. It is read anew at every use, so that what
// another process rotates or removes counts at once.
type Folder struct{ dir string }

const (
	keySuffix = ".pem"
	keyStamp  = "20060102T150405.000000000Z" // sorts by time
	shownID   = 16                           // digits of a key's id in its file's name
)

// OpenFolder opens the folder and makes it, with a first key, if there is
// none.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, model.WithHint(fmt.Errorf("create the folder for signing keys: %w", err), "check that the data directory is writable")
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder needs its x
		return nil, fmt.Errorf("create the folder for signing keys private: %w", err)
	}
	f := &Folder{dir}
	return f, f.alone(func() error {
		keys, err := f.read()
		if err != nil || len(keys) > 0 {
			return err
		}
		_, err = f.make(keys)
		return err
	})
}

// FindFolder opens a folder that another process has made.
func FindFolder(dir string) (*Folder, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, model.WithHint(fmt.Errorf("find the signing keys: %w", err), "the server creates the first one when it starts: `hubship up`")
	}
	return &Folder{dir}, nil
}

// Newest implements Keys.
func (f *Folder) Newest() (Private, error) {
	keys, err := f.read()
	if err != nil {
		return Private{}, err
	}
	if len(keys) == 0 {
		return Private{}, model.WithHint(fmt.Errorf("there is no signing key in %s", f.dir), "create one with `hubship key rotate`")
	}
	return keys[0].Private, nil
}

// Public implements Keys.
func (f *Folder) Public() ([]Public, error) {
	keys, err := f.read()
	var all []Public
	for _, k := range keys {
		all = append(all, k.Public)
	}
	return all, err
}

// Rotate makes a new key, which signs from now on. Earlier ones go on being
// believed until they are removed.
func (f *Folder) Rotate() (made Public, err error) {
	return made, f.alone(func() error {
		keys, err := f.read()
		if err != nil {
			return err
		}
		made, err = f.make(keys)
		return err
	})
}

// Remove ends the belief in a key, named by its id or the beginning of it.
// What it has signed counts no longer. The newest cannot be removed.
func (f *Folder) Remove(id string) (gone Public, err error) {
	return gone, f.alone(func() error {
		keys, err := f.read()
		if err != nil {
			return err
		}
		i, err := find(keys, id)
		if err != nil {
			return err
		}
		if i == 0 {
			return model.Usage(fmt.Errorf("key %.16s is the newest, which signs", keys[0].ID), "create another one first: `hubship key rotate`")
		}
		gone = keys[i].Public
		if err := os.Remove(keys[i].file); err != nil {
			return fmt.Errorf("remove key %.16s: %w", gone.ID, err)
		}
		return syncDir(f.dir)
	})
}

// Find returns a key by its id or the beginning of it; "" means the newest.
func (f *Folder) Find(id string) (Public, error) {
	keys, err := f.read()
	if err != nil {
		return Public{}, err
	}
	i, err := find(keys, id)
	if err != nil {
		return Public{}, err
	}
	return keys[i].Public, nil
}

// stored is a key with the file that holds it.
type stored struct {
	Private
	file string
}

func find(keys []stored, id string) (int, error) {
	found := -1
	for i, k := range keys {
		if !strings.HasPrefix(k.ID, id) {
			continue
		}
		if id == "" || k.ID == id {
			return i, nil
		}
		if found >= 0 {
			return 0, model.Usage(fmt.Errorf("more than one key begins with %q", id), "give more of its ID: `hubship key list -o json`")
		}
		found = i
	}
	if found < 0 {
		return 0, model.Usage(fmt.Errorf("there is no key %q", id), "`hubship key list` shows them")
	}
	return found, nil
}

// read returns the keys, newest first.
func (f *Folder) read() ([]stored, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	var keys []stored
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || !strings.HasSuffix(name, keySuffix) {
			continue
		}
		k, err := readKey(filepath.Join(f.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b stored) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

func readKey(file string) (stored, error) {
	damaged := func(err error) (stored, error) {
		return stored{}, model.WithHint(fmt.Errorf("signing key %s: %w", file, err), "restore the file from a backup, or move it away: what it signed is then not believed")
	}
	info, err := os.Lstat(file)
	if err != nil {
		return stored{}, fmt.Errorf("read a signing key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return stored{}, model.WithHint(fmt.Errorf("signing key %s: others than its owner may read or write it (%s)", file, info.Mode()),
			"make it private with chmod 600; if somebody may have read it, `hubship key rotate` and then `hubship key remove`")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return stored{}, fmt.Errorf("read a signing key: %w", err)
	}
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
		return damaged(errors.New("it is no PEM block PRIVATE KEY"))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return damaged(errors.New("it holds no private key")) // the parser's error may quote it
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return damaged(fmt.Errorf("it is %T, and hubship signs with ed25519", parsed))
	}
	stamp, shown, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), keySuffix), "-")
	created, err := time.Parse(keyStamp, stamp)
	if err != nil {
		return damaged(errors.New("its name does not tell when it was made"))
	}
	public, err := newPublic(private.Public().(ed25519.PublicKey), created)
	if err != nil {
		return stored{}, err
	}
	if public.ID[:shownID] != shown {
		return damaged(errors.New("its name is that of another key"))
	}
	return stored{Private{public, private}, file}, nil
}

// make writes a new key. It is there wholly or not at all.
func (f *Folder) make(had []stored) (Public, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Public{}, fmt.Errorf("make a signing key: %w", err)
	}
	created := time.Now().UTC()
	// A clock that was set back must not let an older key sign.
	if len(had) > 0 && !created.After(had[0].Created) {
		created = had[0].Created.Add(time.Nanosecond)
	}
	made, err := newPublic(public, created)
	if err != nil {
		return Public{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Public{}, fmt.Errorf("encode a signing key: %w", err)
	}
	tmp, err := os.CreateTemp(f.dir, ".new-") // 0600
	if err != nil {
		return Public{}, fmt.Errorf("make a signing key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(f.dir, created.Format(keyStamp)+"-"+made.ID[:shownID]+keySuffix))
	}
	if err == nil {
		err = syncDir(f.dir)
	}
	if err != nil {
		return Public{}, model.WithHint(fmt.Errorf("make a signing key: %w", err), "check the free space and permissions of the data directory")
	}
	return made, nil
}

// alone lets one process at a time change the folder.
func (f *Folder) alone(do func() error) error {
	lock, err := os.OpenFile(filepath.Join(f.dir, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("lock the signing keys: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the signing keys: %w", err)
	}
	return do()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
