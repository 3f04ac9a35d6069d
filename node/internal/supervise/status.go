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
	// PSSBytes is the same with every page that several processes share counted
	// in parts: these add up to what the programs really take together.
	PSSBytes int64 `json:"pssBytes"`
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
		s.RSSBytes, s.PSSBytes = Memory(s.PID)
	}
	return s
}

// Memory returns the resident memory of a process and its proportional part of
// it, in bytes; both 0 when it is gone.
func Memory(pid int) (rss, pss int64) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0, 0
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "Rss:":
			rss = kib << 10
		case "Pss:":
			pss = kib << 10
		}
	}
	return rss, pss
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
