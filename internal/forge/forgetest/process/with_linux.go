package process

import "syscall"

// withTest has the kernel end the program when the test binary dies.
func withTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
