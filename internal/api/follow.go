package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// maxRecord bounds one record of a log: a run carries the logs of its
// failures.
const maxRecord = 16 << 20

// errEnded says that a followed log ended before its run did.
var errEnded = errors.New("the log ended before the run did")

// Lines calls fn for each line of a run's log with Seq greater than after, at
// most limit of them (0 means all), and returns the run as it is now.
func (c *Client) Lines(ctx context.Context, id string, after int64, limit int, fn func(model.Line) error) (model.Run, error) {
	q := url.Values{"after": {strconv.FormatInt(after, 10)}}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var last model.Run
	err := c.read(ctx, id, q, func(e Event) error {
		if e.Run != nil {
			last = *e.Run
		}
		if e.Line != nil {
			return fn(*e.Line)
		}
		return nil
	})
	return last, err
}

// Follow calls fn for each line of a run's log, first those that are there
// and then each new one, until the run is final, and returns the run. When the
// server goes away it connects again and goes on behind the last line; it
// gives up after two minutes without a server. An error of fn ends it and is
// returned as it is.
func (c *Client) Follow(ctx context.Context, id string, fn func(model.Line) error) (model.Run, error) {
	var after int64
	lost := time.Now()
	pause := 200 * time.Millisecond
	for {
		var final *model.Run
		var stop error
		q := url.Values{"follow": {"true"}, "after": {strconv.FormatInt(after, 10)}}
		err := c.read(ctx, id, q, func(e Event) error {
			lost, pause = time.Now(), 200*time.Millisecond
			if e.Run != nil && e.Run.State.Final() {
				final = e.Run
			}
			if e.Line != nil && e.Line.Seq > after {
				after = e.Line.Seq
				stop = fn(*e.Line)
			}
			return stop
		})
		switch {
		case stop != nil:
			return model.Run{}, stop
		case final != nil:
			return *final, nil
		case ctx.Err() != nil:
			return model.Run{}, ctx.Err()
		case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrNotRunning):
			return model.Run{}, err // the run is unknown
		case err == nil:
			err = errEnded
		}
		if time.Since(lost) > c.patience {
			return model.Run{}, model.WithHint(fmt.Errorf("follow run %s: %w", id, err),
				"the run resumes when hubship is back: start it with `hubship up`, then see hubship logs "+id)
		}
		select {
		case <-ctx.Done():
			return model.Run{}, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// read calls fn for each record of a log until it ends. A server that is
// silent for too long is given up.
func (c *Client) read(ctx context.Context, id string, q url.Values, fn func(Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	op := "read the log of run " + id
	silence := time.AfterFunc(c.silence, func() {
		cancel(fmt.Errorf("%s: the server has been silent for %s", op, c.silence))
	})
	defer silence.Stop()

	res, err := c.send(ctx, op, http.MethodGet, "/runs/"+url.PathEscape(id)+"/lines", q, nil)
	if err != nil {
		return causeOr(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	r := bufio.NewReaderSize(res.Body, 64<<10)
	for {
		record, err := readRecord(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return causeOr(ctx, fmt.Errorf("%s: %w", op, err))
		}
		silence.Reset(c.silence)
		var e Event
		if err := json.Unmarshal(record, &e); err != nil {
			return fmt.Errorf("%s: record %.80q: %w", op, record, err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

// causeOr prefers the reason why ctx ended to what its end looked like.
func causeOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// readRecord returns the next line without its end. A last line without an
// end was cut off by a dying server and counts as the end.
func readRecord(r *bufio.Reader) ([]byte, error) {
	var record []byte
	for {
		part, err := r.ReadSlice('\n')
		record = append(record, part...)
		switch {
		case len(record) > maxRecord:
			return nil, fmt.Errorf("a record is longer than %d bytes", maxRecord)
		case err == nil:
			return record[:len(record)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
