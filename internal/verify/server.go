package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

// maxEvents bounds the messages of a starting server that are kept.
const maxEvents = 60

// forgetTime is how long a hub may not know of a start that it accepted: one
// that restarts looks like that for a moment.
const forgetTime = 10 * time.Second

// clockSlack is how far the clocks of hub and cluster may lag behind this
// machine's.
const clockSlack = 5 * time.Second

// before says whether a message is an event of an earlier time: KubeSpawner
// relays those of a pod's predecessors of the same name too, each with its
// time in front.
func before(text string, start time.Time) bool {
	stamp, _, _ := strings.Cut(text, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	return err == nil && at.Before(start)
}

// journal keeps what a starting server reported.
type journal struct {
	mu      sync.Mutex
	started time.Time
	lines   []string
	last    string
	tell    func(string)
}

// add keeps a message unless it repeats the one before: a stream that is
// opened again starts over.
func (j *journal) add(e jupyter.Event) {
	text := strings.TrimSpace(e.Message)
	if text == "" || before(text, j.started.Add(-clockSlack)) {
		return
	}
	j.mu.Lock()
	for _, line := range j.lines {
		if strings.HasSuffix(line, " "+text) {
			j.mu.Unlock()
			return
		}
	}
	j.last = oneLine(text)
	j.lines = append(j.lines, fmt.Sprintf("%6.1f s %s", time.Since(j.started).Seconds(), text))
	if len(j.lines) > maxEvents {
		j.lines = j.lines[1:]
	}
	j.mu.Unlock()
	j.tell(text)
}

// warning returns the last event of the pod that was a warning: a hub says
// that a start failed, the pod says why.
func (j *journal) warning() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := len(j.lines) - 1; i >= 0; i-- {
		if _, text, ok := strings.Cut(j.lines[i], "[Warning] "); ok {
			return "; the pod's last warning: " + oneLine(text)
		}
	}
	return ""
}

func (j *journal) finding(detail string) finding {
	j.mu.Lock()
	defer j.mu.Unlock()
	if detail == "" {
		detail = j.last
	}
	return finding{detail: detail, log: strings.Join(j.lines, "\n")}
}

// serverStarts starts the user's server and follows the hub's events until it
// is ready. The request that starts it may be answered before or after the
// server is ready, depending on the hub's settings, so events are read beside
// it.
func (s *session) serverStarts(ctx context.Context) (finding, error) {
	log := &journal{started: time.Now(), tell: s.progress}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make(chan answer, 1)
	var accepted atomic.Bool
	go func() {
		ready, err := s.request(ctx)
		accepted.Store(err == nil)
		asked <- answer{ready, err}
	}()
	final := make(chan answer, 1)
	go func() {
		ready, err := s.follow(ctx, log, &accepted)
		final <- answer{ready, err}
	}()
	ready := func() finding { return log.finding("ready after " + seconds(time.Since(log.started))) }
	select {
	case a := <-final:
		if a.err != nil {
			return log.finding(""), a.err
		}
		return ready(), nil
	case a := <-asked:
		if a.ready {
			// End the reader first, so that it adds nothing to a log that
			// was handed out.
			cancel()
			<-final
			return ready(), nil
		}
		if a.err != nil {
			return s.refused(log, final, cancel, a.err)
		}
	}
	// Accepted; the events tell the rest.
	if a := <-final; a.err != nil {
		return log.finding(""), a.err
	}
	return ready(), nil
}

// answer is what one of the two requests about a starting server found out.
type answer struct {
	ready bool
	err   error
}

// refused explains a failed request to start a server. The hub often answers
// with a bare status and gives the reason as an event.
func (s *session) refused(log *journal, final <-chan answer, cancel func(), err error) (finding, error) {
	select {
	case a := <-final:
		if a.ready {
			return log.finding("ready after " + seconds(time.Since(log.started))), nil
		}
		if a.err != nil {
			err = a.err
		}
	case <-time.After(2 * time.Second):
		cancel()
		<-final
	}
	return log.finding(""), err
}

// request asks for the start, again when a proxy on the way or a limit of the hub
// was in the way.
func (s *session) request(ctx context.Context) (bool, error) {
	for {
		ready, err := s.hub.StartServer(ctx, s.user)
		if err == nil || ctx.Err() != nil {
			return ready, err
		}
		switch jupyter.StatusOf(err) {
		case 0, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(maxPause):
		}
	}
}

// follow reads events until the server is ready, and reconnects when the
// stream ends early. An error other than ctx's is the hub's reason why the
// server does not start.
func (s *session) follow(ctx context.Context, log *journal, accepted *atomic.Bool) (bool, error) {
	var forgotten time.Time // since when the hub knows of no start that it had accepted
	for pause := minPause; ; pause = min(pause*3/2, maxPause) {
		last, err := s.hub.Progress(ctx, s.user, log.add)
		switch {
		case err == nil && last.Ready:
			return true, nil
		case err == nil:
			return false, errors.New(last.Message + log.warning())
		case ctx.Err() != nil:
			return false, ctx.Err()
		}
		switch jupyter.StatusOf(err) {
		case http.StatusUnauthorized, http.StatusForbidden:
			return false, err
		case http.StatusBadRequest, http.StatusNotFound:
			// Not starting: not yet, or not any more.
			if !accepted.Load() {
				break
			}
			if forgotten.IsZero() {
				forgotten = time.Now()
			}
			if time.Since(forgotten) > forgetTime {
				return false, model.WithHint(errors.New("the hub no longer knows that the server is starting"),
					"It was probably restarted in the meantime: see its log")
			}
		default:
			forgotten = time.Time{}
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// serverAnswers asks the server for its version and status through the proxy.
func (s *session) serverAnswers(ctx context.Context) (finding, error) {
	server := s.hub.Notebook(s.user)
	var version, last string
	err := ask(ctx, forbidden, func(ctx context.Context) (err error) {
		if version, err = server.Version(ctx); err == nil {
			err = server.Status(ctx)
		}
		if err != nil && ctx.Err() == nil {
			last = err.Error()
		}
		return err
	})
	if err != nil {
		return finding{detail: last}, err
	}
	return finding{detail: "Jupyter Server " + version}, nil
}

// forbidden says whether a server refuses the token; other answers come from
// a proxy that does not know the server yet.
func forbidden(err error) bool {
	status := jupyter.StatusOf(err)
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// pageOpens opens the page that users see first.
func (s *session) pageOpens(ctx context.Context) (finding, error) {
	page, err := s.hub.Notebook(s.user).Page(ctx)
	return finding{detail: page}, err
}

// seconds prints a duration for people.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
