package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// HostsFile is the table of names that programs look into before they ask DNS.
const HostsFile = "/etc/hosts"

// SetHosts has names lead to the loopback, by a marked block of the installation
// in a table of hosts (hosts(5)); no names remove the block. Lines of others stay
// as they are. The file is written in place: in a container it is a mount, which
// cannot be replaced.
func SetHosts(file, installation string, names []string) error {
	old, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(names) == 0:
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read the hosts file: %w", err)
	}
	begin := "# BEGIN hubship " + installation
	end := "# END hubship " + installation
	var kept []string
	within := false
	for line := range strings.Lines(string(old)) {
		switch text := strings.TrimSpace(line); {
		case text == begin:
			within = true
		case within && text == end:
			within = false
		case !within:
			kept = append(kept, line)
		}
	}
	if within {
		return fmt.Errorf("the block that begins with %q in %s has no line %q: write that line, or remove the block", begin, file, end)
	}
	text := strings.Join(kept, "")
	if len(names) > 0 {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		names = slices.Sorted(slices.Values(names))
		text += begin + "\n"
		for _, name := range slices.Compact(names) {
			text += "127.0.0.1 " + name + "\n"
		}
		text += end + "\n"
	}
	if text == string(old) {
		return nil
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the hosts file: %w", err)
	}
	return nil
}
