package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/hubship/hubship/internal/model"
)

// objectReader reads objects through one long-lived `git cat-file` process,
// which answers in tens of microseconds where a process of its own costs
// milliseconds. Requests are answered one after another.
type objectReader struct {
	dir string

	mu     sync.Mutex
	closed bool
	cmd    *exec.Cmd
	cancel context.CancelFunc
	in     io.WriteCloser
	out    *bufio.Reader
}

// errProcess marks a failure of the process rather than of the request, after
// which a new process may do better.
var errProcess = errors.New("git cat-file ended unexpectedly")

// start runs the process. The caller holds mu.
func (o *objectReader) start() error {
	ctx, cancel := context.WithCancel(context.Background())
	cmd := newCommand(ctx, []string{"--git-dir=" + o.dir, "cat-file", "--batch-command"}, nil)
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return fmt.Errorf("start git cat-file: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return fmt.Errorf("start git cat-file: %w", err)
	}
	if err := start(cmd); err != nil {
		cancel()
		return fmt.Errorf("start git cat-file: %w", err)
	}
	o.cmd, o.cancel, o.in, o.out = cmd, cancel, in, bufio.NewReaderSize(out, 64<<10)
	return nil
}

// stop ends the process. The caller holds mu.
func (o *objectReader) stop() {
	if o.cmd == nil {
		return
	}
	_ = o.in.Close()
	o.cancel()
	_ = o.cmd.Wait() // it was killed: its status says nothing
	o.cmd, o.cancel, o.in, o.out = nil, nil, nil, nil
}

func (o *objectReader) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.stop()
	return nil
}

// request sends one command and returns the answer's type and size. The caller
// holds mu and, for contents, has to read size+1 bytes.
func (o *objectReader) request(command, object string) (kind string, size int64, err error) {
	if o.closed {
		return "", 0, ErrClosed
	}
	if strings.ContainsAny(object, "\n\x00") {
		return "", 0, fmt.Errorf("object %q: %w", object, ErrNotFound)
	}
	if o.cmd == nil {
		if err := o.start(); err != nil {
			return "", 0, err
		}
	}
	if _, err := io.WriteString(o.in, command+" "+object+"\n"); err != nil {
		return "", 0, fmt.Errorf("%w: %w", errProcess, err)
	}
	header, err := o.out.ReadString('\n')
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errProcess, err)
	}
	header = strings.TrimSuffix(header, "\n")
	fields := strings.Fields(header)
	if len(fields) == 3 {
		if size, err := strconv.ParseInt(fields[2], 10, 64); err == nil && size >= 0 && isObjectID(fields[0]) {
			return fields[1], size, nil
		}
	}
	if strings.HasSuffix(header, " missing") || strings.HasSuffix(header, " ambiguous") {
		return "", 0, fmt.Errorf("object %s: %w", short(object), ErrNotFound)
	}
	return "", 0, fmt.Errorf("%w: it answered %q", errProcess, header)
}

// info returns the type and size of an object.
func (o *objectReader) info(object string) (kind string, size int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range 2 {
		kind, size, err = o.request("info", object)
		if !errors.Is(err, errProcess) {
			return kind, size, err
		}
		o.stop()
	}
	return "", 0, fmt.Errorf("read object %s: %w", short(object), err)
}

// read passes the content of an object to use, which need not read all of it.
// An error of use is returned as it is.
func (o *objectReader) read(ctx context.Context, object, want string, use func(size int64, content io.Reader) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var err error
	for range 2 {
		if err = ctx.Err(); err != nil {
			return fmt.Errorf("read object %s: %w", short(object), err)
		}
		var kind string
		var size int64
		if kind, size, err = o.request("contents", object); err == nil {
			return o.consume(ctx, object, want, kind, size, use)
		}
		if !errors.Is(err, errProcess) {
			return err
		}
		o.stop()
	}
	return fmt.Errorf("read object %s: %w", short(object), err)
}

// consume hands out one answer and leaves the process ready for the next.
func (o *objectReader) consume(ctx context.Context, object, want, kind string, size int64, use func(int64, io.Reader) error) error {
	content := &countingReader{ctx: ctx, r: io.LimitReader(o.out, size)}
	var useErr error
	if kind != want {
		useErr = fmt.Errorf("object %s is a %s, not a %s", short(object), kind, want)
	} else {
		useErr = use(size, content)
	}
	if content.err != nil || ctx.Err() != nil {
		// Draining could take long or never end: begin again with a new one.
		o.stop()
		if useErr != nil {
			return useErr
		}
		return fmt.Errorf("read object %s: %w", short(object), errors.Join(content.err, ctx.Err()))
	}
	rest := size - content.n + 1 // the answer ends in a newline
	if _, err := io.CopyN(io.Discard, o.out, rest); err != nil {
		o.stop()
		if useErr == nil {
			useErr = fmt.Errorf("read object %s: %w: %w", short(object), errProcess, err)
		}
	}
	return useErr
}

// countingReader counts what was read and keeps the first error that is not
// the end.
type countingReader struct {
	ctx context.Context
	r   io.Reader
	n   int64
	err error
}

func (c *countingReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		c.err = err
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// maxBlob bounds what is read into memory. Checkouts copy files of any size.
const maxBlob = 64 << 20

// Blob returns the content of a blob.
//
// One of more than maxBlob bytes is ErrTooLarge: gigabytes of one letter are a
// push of a few kilobytes.
func (r *Repo) Blob(ctx context.Context, id string) ([]byte, error) {
	if !isObjectID(id) {
		return nil, fmt.Errorf("%q is not an object id: %w", id, ErrNotFound)
	}
	var data []byte
	err := r.objects.read(ctx, id, "blob", func(size int64, content io.Reader) error {
		if size > maxBlob {
			return model.WithHint(fmt.Errorf("object %s: %w: it has %d bytes, and the limit for a file is %d", short(id), ErrTooLarge, size, int64(maxBlob)),
				"keep large files out of the repository")
		}
		data = make([]byte, size)
		if _, err := io.ReadFull(content, data); err != nil {
			return fmt.Errorf("read object %s: %w", short(id), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}
