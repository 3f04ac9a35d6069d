//go:build !linux

package process

import "syscall"

// withTest has nobody end the program when the test binary dies.
func withTest() *syscall.SysProcAttr { return nil }
