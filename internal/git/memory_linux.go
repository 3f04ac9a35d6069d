package git

import "golang.org/x/sys/unix"

// limitMemory bounds what a process, and those that it starts from now on, may
// keep in memory; files that they map do not count. A process that has ended
// already needs none.
func limitMemory(pid int, size uint64) {
	_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: size, Max: size}, nil)
}
