package install

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hubship/hubship/internal/model"
)

// Lock makes sure that one server alone serves a data directory; file is
// Paths.ServerLock. The kernel gives the lock up when the process ends, however it
// ends.
func Lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, model.WithHint(fmt.Errorf("another hubship serves this data directory (%s is locked)", file), "`hubship status` asks it, `hubship down` stops it")
	}
	return func() { f.Close() }, nil
}

// Private lets the owner alone read the database of the workflows, which is made if
// there is none: what SQLite makes beside it takes its mode.
func Private(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return model.WithHint(fmt.Errorf("open the workflow database: %w", err), "check that its folder is writable")
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}
