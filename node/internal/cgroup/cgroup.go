// Package cgroup makes and removes the one cgroup below which everything of a
// node runs, in both versions of the kernel's interface.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const root = "/sys/fs/cgroup"

// Create makes the cgroup name in every hierarchy, at its top or below a cgroup
// that Create has made.
func Create(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create cgroup %s: %w", path, err)
		}
		if err := prepare(filepath.Dir(path), path); err != nil {
			return fmt.Errorf("prepare cgroup %s: %w", path, err)
		}
	}
	return nil
}

// prepare lets children of the new cgroup use what the machine has.
func prepare(parent, path string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		// Version 1: a cpuset without processors takes no process.
		value, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil || !exists(filepath.Join(path, "cpuset.mem_exclusive")) {
			continue
		}
		if err := os.WriteFile(filepath.Join(path, file), value, 0o644); err != nil {
			return err
		}
	}
	// Version 2: each level names the controllers of the next. A hybrid machine
	// has none left to name there.
	for _, dir := range []string{parent, path} {
		controllers, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
		if err != nil {
			return nil
		}
		if dir == parent {
			if controllers, err = os.ReadFile(filepath.Join(parent, "cgroup.controllers")); err != nil {
				return nil
			}
		}
		fields := strings.Fields(string(controllers))
		if len(fields) == 0 {
			return nil
		}
		enable := "+" + strings.Join(fields, " +")
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(enable), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Limits bound all processes in a cgroup and below it together. Zero means no
// limit.
type Limits struct {
	Memory    uint64 // bytes
	Processes int    // and threads
	Weight    int    // share of the processors when they are short; 100 is the kernel's default
}

// Limit sets the limits of a cgroup that Create has made. A kernel without one
// of the controllers bounds nothing there.
func Limit(name string, l Limits) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	// Each limit by its file, in version 2 and then in version 1, where the
	// default of a weight is 1024.
	files := map[string]uint64{
		"memory.max": l.Memory, "memory.limit_in_bytes": l.Memory,
		"pids.max":   uint64(l.Processes),
		"cpu.weight": uint64(l.Weight), "cpu.shares": uint64(l.Weight) * 1024 / 100,
	}
	for _, dir := range dirs {
		for file, value := range files {
			path := filepath.Join(dir, name, file)
			if value == 0 || !exists(path) {
				continue
			}
			if err := os.WriteFile(path, strconv.AppendUint(nil, value, 10), 0o644); err != nil {
				return fmt.Errorf("limit cgroup %s: %w", name, err)
			}
		}
	}
	return nil
}

// hierarchies lists the mount points of cgroup hierarchies, each one once.
func hierarchies() ([]string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return nil, fmt.Errorf("look for cgroups at %s: %w; mount them", root, err)
	}
	if int64(st.Type) == unix.CGROUP2_SUPER_MAGIC {
		return []string{root}, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("look for cgroups: %w", err)
	}
	var dirs []string
	for _, entry := range entries {
		// Names such as "cpu,cpuacct" may be links of several names to one.
		path, err := filepath.EvalSymlinks(filepath.Join(root, entry.Name()))
		if err != nil || slices.Contains(dirs, path) {
			continue
		}
		if err := unix.Statfs(path, &st); err != nil {
			continue
		}
		if magic := int64(st.Type); magic == unix.CGROUP_SUPER_MAGIC || magic == unix.CGROUP2_SUPER_MAGIC {
			dirs = append(dirs, path)
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("look for cgroups at %s: none are mounted", root)
	}
	return dirs, nil
}

// removeTries bounds the wait for processes that have been killed and are not
// gone yet; each takes removePause.
const (
	removeTries = 50
	removePause = 100 * time.Millisecond
)

// Remove removes the cgroup and all below it from every hierarchy. The
// processes in it must have been killed before.
func Remove(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return nil // Without hierarchies there is nothing to remove.
	}
	for try := 1; ; try++ {
		var errs []error
		for _, dir := range dirs {
			errs = append(errs, removeTree(filepath.Join(dir, name)))
		}
		err := errors.Join(errs...)
		if err == nil {
			return nil
		}
		if try == removeTries {
			return fmt.Errorf("remove cgroup %s: %w", name, err)
		}
		time.Sleep(removePause)
	}
}

// removeTree removes directories from below; the files in them are the
// kernel's and go along.
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(path, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// Processes lists the processes in the cgroup and all below it.
func Processes(name string) []int {
	dirs, err := hierarchies()
	if err != nil {
		return nil
	}
	seen := map[int]bool{}
	for _, dir := range dirs {
		_ = filepath.WalkDir(filepath.Join(dir, name), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return nil
			}
			data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for _, field := range strings.Fields(string(data)) {
				var pid int
				if _, err := fmt.Sscan(field, &pid); err == nil {
					seen[pid] = true
				}
			}
			return nil
		})
	}
	var pids []int
	for pid := range seen {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}
