package supervise

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Status is what a program looks like from outside.
type Status struct {
	// Name is the program's name.
	Name string `json:"name"`
	// PID is the machine's process id; 0 when it does not run.
	PID int `json:"pid"`
	// State is what it is doing.
	State State `json:"state"`
	// Restarts counts the ends that nobody asked for.
	Restarts int `json:"restarts"`
	// RSSBytes is its resident memory; 0 when it does not run.
	RSSBytes int64 `json:"rssBytes"`
	// Log is the path of its log file.
	Log string `json:"log"`
	// LastError is why it ended last, or why it is not ready yet.
	LastError string `json:"lastError"`
}

// Status reports on the program.
func (p *Process) Status() Status {
	p.mu.Lock()
	s := Status{
		Name: p.spec.Name, PID: p.pid, State: p.state, Restarts: p.restarts,
		Log: p.spec.Log, LastError: p.lastErr,
	}
	p.mu.Unlock()
	if s.PID != 0 {
		s.RSSBytes = ResidentBytes(s.PID)
	}
	return s
}

// ResidentBytes returns the resident memory of a process; 0 when it is gone.
func ResidentBytes(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// tail keeps the end of what was written to it.
type tail struct {
	limit int
	mu    sync.Mutex
	buf   []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String returns the last lines, without a first line that was cut.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := string(t.buf)
	if len(t.buf) == t.limit {
		if _, rest, found := strings.Cut(text, "\n"); found {
			text = rest
		}
	}
	return strings.TrimSpace(text)
}
