package test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// checkSockets lists every socket on which a running node listens, and wants
// each of them in the table of docs/node.md: an open door that nobody has
// thought about fails.
func checkSockets(t *testing.T, i *instance) {
	known := documentedSockets(t, i)
	status, err := i.status()
	if err != nil {
		t.Fatal(err)
	}
	inside := 0
	for _, c := range status.Components {
		if c.Name == "containerd" {
			inside = c.PID
		}
	}
	found := 0
	for _, where := range []struct {
		name  string
		pid   int // whose network is looked at
		owner int // whose sockets count; 0 for everybody's
	}{{"node", inside, 0}, {"machine", status.PID, status.PID}} {
		for _, s := range listening(t, where.pid, where.owner) {
			found++
			if !slices.ContainsFunc(known, func(k *regexp.Regexp) bool { return k.MatchString(where.name + " " + s) }) {
				t.Errorf("somebody listens at %s in the network of the %s, which docs/node.md does not know", s, where.name)
			}
		}
		for _, path := range unixSockets(t, where.pid, where.owner) {
			found++
			// A socket below these is root's alone: the folders are 0700.
			// What lies in /run and /var elsewhere is on the node's own mounts.
			below := func(dir string) bool { return strings.HasPrefix(path, dir+"/") }
			private := where.name == "node" && (below("/run") || below("/var/run") || below("/var/lib/kubelet"))
			if !below(i.settings.RunDir) && !below(i.settings.DataDir) && !private {
				t.Errorf("socket %s in the network of the %s is at a place that others reach", path, where.name)
			}
		}
	}
	if found < 12 {
		t.Errorf("only %d sockets were found", found)
	}
}

// documentedSockets reads the table of docs/node.md under "Who listens": the
// first column is the network, the second the protocol, the third the address,
// with +N for a port from portBase and * for any.
func documentedSockets(t *testing.T, i *instance) []*regexp.Regexp {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "node.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(data), "\n## Who listens\n")
	if !ok {
		t.Fatal("docs/node.md has no section Who listens")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var out []*regexp.Regexp
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 {
			continue
		}
		network, protocol, address := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.Trim(strings.TrimSpace(cells[3]), "`")
		if network != "node" && network != "machine" || !strings.Contains(address, ":") {
			continue
		}
		host, port, _ := strings.Cut(address, ":")
		host = strings.NewReplacer("NODEIP", i.settings.NodeIP, "HOSTIP", i.settings.HostIP().String()).Replace(host)
		if offset, ok := strings.CutPrefix(port, "+"); ok {
			n, err := strconv.Atoi(offset)
			if err != nil {
				t.Fatalf("docs/node.md: %s", line)
			}
			port = strconv.Itoa(i.settings.Port(n))
		}
		pattern := regexp.QuoteMeta(network + " " + protocol + " " + host + ":" + port)
		out = append(out, regexp.MustCompile("^"+strings.ReplaceAll(pattern, `\*`, `\d+`)+"$"))
	}
	if len(out) < 10 {
		t.Fatalf("the table of docs/node.md has %d sockets", len(out))
	}
	return out
}

// sockets are the inodes of the sockets that a process has open.
func sockets(pid int) map[string]bool {
	out := map[string]bool{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
			out[strings.Trim(target, "socket:[]")] = true
		}
	}
	return out
}

// listening lists the sockets of a process's network that take connections or
// packets: "tcp 127.0.0.1:17401".
func listening(t *testing.T, pid, owner int) (out []string) {
	t.Helper()
	own := sockets(owner)
	for _, table := range []struct{ file, protocol, state string }{
		{"tcp", "tcp", "0A"}, {"udp", "udp", "07"}, {"tcp6", "tcp", "0A"}, {"udp6", "udp", "07"},
	} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table.file))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != table.state || owner != 0 && !own[fields[9]] {
				continue
			}
			// A socket that is connected takes packets of its peer alone.
			if _, port, _ := strings.Cut(fields[2], ":"); table.protocol == "udp" && port != "0000" {
				continue
			}
			out = append(out, table.protocol+" "+kernelAddress(t, fields[1]))
		}
		_ = file.Close()
	}
	return out
}

// kernelAddress reads an address as /proc/net has it: each word of four bytes
// turned around.
func kernelAddress(t *testing.T, text string) string {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil {
		t.Fatalf("address %q: %v, %v", text, err, perr)
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		t.Fatalf("address %q", text)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)).String()
}

// unixSockets lists the paths of the Unix sockets that somebody listens at.
func unixSockets(t *testing.T, pid, owner int) (out []string) {
	t.Helper()
	own := sockets(owner)
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		const accepts = "00010000"
		if len(fields) < 8 || fields[3] != accepts || owner != 0 && !own[fields[6]] {
			continue
		}
		out = append(out, fields[7])
	}
	return out
}
