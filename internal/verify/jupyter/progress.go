package jupyter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxEvent bounds one event of a stream, in bytes.
const maxEvent = 256 << 10

// Event is one message about a server that starts.
type Event struct {
	Progress int    `json:"progress"` // percent
	Message  string `json:"message"`
	Ready    bool   `json:"ready"`  // the last event of a start that succeeded
	Failed   bool   `json:"failed"` // the last event of one that failed
}

// Final says that no event follows.
func (e Event) Final() bool { return e.Ready || e.Failed }

// ErrStreamEnded is a stream of events that ended before the final one.
var ErrStreamEnded = errors.New("the stream of events ended early")

// Progress follows the start of a user's server until its final event, which
// it returns; each event goes to seen first. An APIError of status 400 means
// that the server is not starting.
func (c *Client) Progress(ctx context.Context, name string, seen func(Event)) (Event, error) {
	op := "follow the start of the server of " + name
	req, err := c.request(ctx, http.MethodGet, c.user(name, "server", "progress"), nil)
	if err != nil {
		return Event{}, fmt.Errorf("%s: %w", op, err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		return Event{}, fmt.Errorf("%s: %w", op, transportError(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		return Event{}, c.apiError(op, resp, data)
	}
	last, err := readEvents(resp.Body, func(e Event) {
		e.Message = c.mask(e.Message)
		seen(e)
	})
	last.Message = c.mask(last.Message)
	if err != nil {
		return last, fmt.Errorf("%s: %w", op, err)
	}
	return last, nil
}

// readEvents reads server-sent events until the final one. Only data lines
// matter; the hub sends nothing else but empty lines that keep proxies from
// closing the connection.
func readEvents(r io.Reader, seen func(Event)) (Event, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEvent)
	var data bytes.Buffer
	for lines.Scan() {
		line := lines.Text()
		if text, ok := strings.CutPrefix(line, "data:"); ok {
			if data.Len()+len(text) > maxEvent {
				return Event{}, fmt.Errorf("an event is larger than %d KiB", maxEvent>>10)
			}
			if data.Len() > 0 {
				data.WriteByte('\n')
			}
			data.WriteString(strings.TrimPrefix(text, " "))
			continue
		}
		if line != "" || data.Len() == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(data.Bytes(), &e); err != nil {
			return Event{}, fmt.Errorf("an event is not the expected JSON: %w", err)
		}
		data.Reset()
		e.Message = strings.TrimSpace(e.Message)
		seen(e)
		if e.Final() {
			return e, nil
		}
	}
	if err := lines.Err(); err != nil {
		return Event{}, err
	}
	return Event{}, ErrStreamEnded
}
