package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memory adds up what everything of the installation keeps resident with both
// hubs up and nothing to do, containers included, and prints it by program.
func (i *installation) memory(t *testing.T) {
	i.settle(t, 5*time.Minute)
	const most = 2560 << 10 // KiB: 2.5 GiB
	var total int
	by := map[string]int{}
	for _, pid := range i.ours() {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		name, rss := "", 0
		for line := range strings.Lines(string(status)) {
			key, value, _ := strings.Cut(line, ":")
			switch key {
			case "Name":
				name = strings.TrimSpace(value)
			case "VmRSS":
				rss, _ = strconv.Atoi(strings.Fields(value)[0])
			}
		}
		if cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && name == "kube" {
			if argv := strings.Split(string(cmdline), "\x00"); len(argv) > 1 {
				name = argv[1]
			}
		}
		by[name] += rss
		total += rss
	}
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return by[b] - by[a] })
	for _, name := range names {
		t.Logf("%6d MiB %s", by[name]>>10, name)
	}
	t.Logf("%6d MiB in all", total>>10)
	if total > most {
		t.Errorf("%d MiB are resident, more than %d", total>>10, most>>10)
	}
	if total < 500<<10 {
		t.Errorf("only %d MiB found: not everything was seen", total>>10)
	}
}

// loopbackOnly looks at every socket that the installation's processes listen
// on in the machine's own network.
func (i *installation) loopbackOnly(t *testing.T) {
	listening := map[string]netip.Addr{} // by inode
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" {
				listening[f[9]] = hexAddress(t, f[1])
			}
		}
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, pid := range i.ours() {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil || ns != own {
			continue
		}
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			link, err := os.Readlink(fd)
			if err != nil {
				continue
			}
			inode := strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")
			address, ok := listening[inode]
			if !ok {
				continue
			}
			seen++
			if !address.Unmap().IsLoopback() {
				t.Errorf("process %d listens on %s", pid, address)
			}
		}
	}
	if seen == 0 {
		t.Error("no listening socket found: the HTTP port should be one")
	}
}

// hexAddress reads the address of /proc/net/tcp: 32-bit words in the byte
// order of the machine, which is taken to be little-endian.
func hexAddress(t *testing.T, field string) netip.Addr {
	t.Helper()
	text, _, _ := strings.Cut(field, ":")
	raw := make([]byte, 0, 16)
	for n := 0; n+8 <= len(text); n += 8 {
		word, err := strconv.ParseUint(text[n:n+8], 16, 32)
		if err != nil {
			t.Fatalf("address %q: %v", field, err)
		}
		raw = append(raw, byte(word), byte(word>>8), byte(word>>16), byte(word>>24))
	}
	address, ok := netip.AddrFromSlice(raw)
	if !ok {
		t.Fatalf("address %q is not understood", field)
	}
	return address
}
