package cli

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// space says what is missing of disk and memory.
func space(data string) []error {
	var wrong []error
	if free, at, err := freeDisk(data); err == nil && free < needDisk {
		wrong = append(wrong, fmt.Errorf("%s has %s of free disk space, but 10 GiB are needed: free some, or put --data on another disk", at, gibi(free)))
	}
	if free, err := freeMemory("/proc/meminfo"); err == nil && free < needMemory {
		wrong = append(wrong, fmt.Errorf("%s of memory are available, but 4 GiB are needed: stop other programs or use a larger machine", gibi(free)))
	}
	return wrong
}

func gibi(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

// freeDisk measures the file system that the directory lies, or will lie, on.
func freeDisk(dir string) (free uint64, at string, err error) {
	for at = dir; ; at = filepath.Dir(at) {
		var st syscall.Statfs_t
		if err = syscall.Statfs(at, &st); err == nil {
			return st.Bavail * uint64(st.Bsize), at, nil
		}
		if at == filepath.Dir(at) {
			return 0, at, fmt.Errorf("measure the free disk of %s: %w", dir, err)
		}
	}
}

// freeMemory reads MemAvailable, which counts what the kernel can give back.
func freeMemory(file string) (uint64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, fmt.Errorf("measure the free memory: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("measure the free memory: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("measure the free memory: %s does not say what is available", file)
}
