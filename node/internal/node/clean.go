package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hubship/hubship/node/internal/cgroup"
	"github.com/hubship/hubship/node/internal/network"
	"github.com/hubship/hubship/node/internal/settings"
)

// sharedRun holds what all nodes of the machine share, and is their lock. It goes
// with the last of them.
const sharedRun = "/run/hubship"

// mountPoints are the places where each node mounts a directory of its own over
// the machine's, because container runtimes write there whatever they are told.
var mountPoints = []string{"/var/lib/cni", "/var/lib/kubelet"}

// madeMark remembers that a mount point was not there before the first node.
func madeMark(dir string) string {
	return filepath.Join(sharedRun, "made-"+filepath.Base(dir))
}

// machineLockWait bounds the wait for another node that starts or stops, which
// takes a second or two.
const machineLockWait = 60 * time.Second

// lockMachine keeps nodes from starting and stopping at the same time: the last
// one to stop removes what the first one to start has made for all.
func lockMachine() (release func(), err error) { return lockFolder(sharedRun, machineLockWait) }

// lockFolder locks a folder that is made for it, and is gone again when nothing is
// left in it. Nobody else may open it: whoever can open a file can lock it, and
// keep nodes from starting.
func lockFolder(path string, patience time.Duration) (release func(), err error) {
	for {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, fmt.Errorf("lock the machine's nodes: %w", err)
		}
		if err := os.Chmod(path, 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock the machine's nodes: %w", err)
		}
		dir, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another one has just removed it
		}
		if err != nil {
			return nil, fmt.Errorf("lock the machine's nodes: %w", err)
		}
		if err := flock(dir, unix.LOCK_EX, patience); err != nil {
			return nil, errors.Join(fmt.Errorf("lock the machine's nodes at %s: %w", path, err), dir.Close())
		}
		locked, err := dir.Stat()
		now, gone := os.Stat(path)
		if err == nil && gone == nil && os.SameFile(locked, now) {
			return func() {
				_ = os.Remove(path) // only when it is empty
				_ = dir.Close()
			}, nil
		}
		_ = dir.Close() // it was removed meanwhile, and another one may be there
	}
}

func makeMountPoints() error {
	for _, dir := range mountPoints {
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := os.WriteFile(madeMark(dir), nil, 0o644); err != nil {
			return fmt.Errorf("create mount point %s: %w", dir, err)
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create mount point %s: %w", dir, err)
		}
	}
	return nil
}

// removeMountPoints removes those that a node has made, unless another node
// still has something mounted there.
func removeMountPoints() error {
	others, err := network.OthersUp()
	if err != nil || others {
		return err
	}
	for _, dir := range mountPoints {
		if _, err := os.Stat(madeMark(dir)); err != nil {
			continue
		}
		// Somebody else may have put something there since: then it stays.
		_ = os.Remove(dir)
		if err := os.Remove(madeMark(dir)); err != nil {
			return fmt.Errorf("forget mount point %s: %w", dir, err)
		}
	}
	return nil
}

// clean removes everything of a node that is not data: processes, network,
// cgroup, sockets.
func clean(s settings.Settings) error {
	if err := killRest(s); err != nil {
		return err
	}
	release, err := lockMachine()
	if err != nil {
		return err
	}
	defer release()
	errs := []error{network.Down(s), cgroup.Remove(s.CgroupName())}
	for _, dir := range []string{s.RunDir, s.Data("tmp"), s.Data("buildkit", "net")} {
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, fmt.Errorf("clear %s: %w", dir, err))
		}
	}
	errs = append(errs, removeMountPoints())
	return errors.Join(errs...)
}

// Purge removes the node with all its data. A node that runs must be stopped
// before; one that was killed needs nothing.
func Purge(s settings.Settings) error {
	if _, err := os.Stat(s.DataDir); err == nil {
		lock, err := acquire(s)
		if err != nil {
			return err
		}
		defer lock.release()
	}
	if err := clean(s); err != nil {
		return fmt.Errorf("purge node %s: %w", s.Name, err)
	}
	if err := os.RemoveAll(s.DataDir); err != nil {
		return fmt.Errorf("purge node %s: %w", s.Name, err)
	}
	return nil
}
