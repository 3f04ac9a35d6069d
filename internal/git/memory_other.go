//go:build !linux

package git

// limitMemory does nothing: another process cannot be limited here.
func limitMemory(int, uint64) {}
