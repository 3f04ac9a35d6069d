package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/tonistiigi/fsutil"

	"github.com/hubship/hubship/internal/model"
)

const (
	// workspace is where a test finds the files, its working directory.
	workspace = "/workspace"

	// testVersion opens what is hashed into a test's key. It changes when the
	// same test on the same files may turn out otherwise.
	testVersion = "hubship test v1"

	testTail = 100     // lines of a failed test in its result
	maxTail  = 8 << 10 // bytes of them
)

// TestKey identifies the outcome of a test: it covers the digest of its image,
// the command, the files by their digest, and how tests are run. It fails where
// Test would, because the image cannot be had.
func (b *Builder) TestKey(ctx context.Context, test model.Test, files string) (string, error) {
	base, err := b.publicBase(ctx, test.Image)
	if err != nil {
		return "", fmt.Errorf("test %s: %w", test.Name, err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\nimage %q\ncommand %q\nfiles %q\n", testVersion, base.Digest, test.Command, files)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Test runs a test on the files in dir, which is not changed: the test gets
// them as a copy that it owns, as its working directory, and the user and
// environment of its image. Its output goes to log as it comes, a line at a
// time. It is run every time that it is asked for, in a container that is
// thrown away; what it leaves behind reaches no other run or build.
//
// A test that fails, runs out of time or has no image that anybody may read is
// no error. An error says that BuildKit could not be used.
func (b *Builder) Test(ctx context.Context, dir string, test model.Test, log io.Writer) (model.TestResult, error) {
	out := newLineWriter(log)
	defer out.Flush()
	began := time.Now()
	result := model.TestResult{Name: test.Name}
	fail := func(err error) model.TestResult {
		result.Reason = oneLineOf(err)
		fmt.Fprintf(out, "test %s failed: %s\n", test.Name, result.Reason)
		result.Took = time.Since(began)
		return result
	}
	if len(test.Command) == 0 {
		return fail(model.WithHint(errors.New("it has no command"), "set one in hubship.yaml")), nil
	}
	base, err := b.publicBase(ctx, test.Image)
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	if err != nil {
		return fail(err), nil
	}
	files, err := fsutil.NewFS(dir)
	if err != nil {
		return result, fmt.Errorf("test %s: open its files: %w", test.Name, err)
	}
	timeout := test.Timeout
	if timeout <= 0 {
		timeout = model.DefaultTestTimeout
	}
	var end outcome
	var printed *console
	err = b.persist(ctx, out, func() error {
		return b.inImage(ctx, box{
			image: base.String(), files: files, credentials: &keyring{}, log: out,
			run: func(ctx context.Context, c *containers) (err error) {
				printed = newConsole(out, testTail)
				began = time.Now()
				end, err = c.run(ctx, process{
					args: test.Command, env: []string{"CI=true"}, dir: workspace,
					timeout: timeout, stdout: printed.stream(1), stderr: printed.stream(2),
				})
				return err
			},
		})
	})
	var unusable *imageError
	switch {
	case errors.As(err, &unusable):
		return fail(unusable), nil
	case err != nil:
		return result, fmt.Errorf("test %s: %w", test.Name, err)
	}
	if err := end.failure(timeout); err != nil {
		result.Log = printed.last()
		return fail(err), nil
	}
	result.Passed, result.Took = true, time.Since(began)
	fmt.Fprintf(out, "test %s passed in %.1fs\n", test.Name, result.Took.Seconds())
	return result, nil
}

// box says in what to run.
type box struct {
	image       string // pinned to a digest
	files       fsutil.FS
	credentials session.Attachable
	log         io.Writer
	run         func(ctx context.Context, c *containers) error
}

// imageError is an image that cannot be used, with BuildKit at hand.
type imageError struct {
	image string
	err   error
}

func (e *imageError) Error() string {
	return fmt.Sprintf("image %s cannot be used: %s", e.image, reason(e.err))
}

func (e *imageError) Unwrap() error { return e.err }

// inImage fetches the image and runs something in containers of it.
//
// Containers that a client of BuildKit starts, unlike the steps of a build,
// have no place in its cache: nothing that runs in one can become part of a
// build, and nothing is taken for run that was not.
func (b *Builder) inImage(ctx context.Context, in box) error {
	opt := client.SolveOpt{Session: []session.Attachable{in.credentials}}
	// A name that was never used: the files are sent anew each time, and not
	// compared with those of others.
	nonce := identity.NewID()
	if in.files != nil {
		opt.LocalMounts = map[string]fsutil.FS{nonce: in.files}
	}
	statuses, followed := newProgress(in.log).follow()
	var body error // as it was, before it went through BuildKit's client
	_, err := b.client.Build(ctx, opt, "", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		c, err := b.prepare(ctx, gw, in, nonce)
		if err == nil {
			err = in.run(ctx, c)
		}
		body = err
		return gateway.NewResult(), err
	}, statuses)
	<-followed
	if body != nil {
		return body
	}
	return err
}

// prepare makes the root file system that the containers start from.
func (b *Builder) prepare(ctx context.Context, gw gateway.Client, in box, nonce string) (*containers, error) {
	unusable := func(err error) error {
		if isOutage(err, b.registry.Host()) {
			return err
		}
		return &imageError{image: in.image, err: err}
	}
	config, err := resolveConfig(ctx, gw, in.image)
	if err != nil {
		return nil, unusable(err)
	}
	root := llb.Image(in.image, llb.WithCustomName("[internal] fetch "+in.image))
	if in.files != nil {
		local := llb.Local(nonce, llb.SharedKeyHint(nonce), llb.WithCustomName("[internal] send files"))
		options := []llb.CopyOption{&llb.CopyInfo{CopyDirContentsOnly: true, CreateDestPath: true}}
		if config.User != "" {
			options = append(options, llb.WithUser(config.User))
		}
		root = root.File(llb.Copy(local, "/", workspace, options...), llb.WithCustomName("[internal] copy files"))
	}
	def, err := root.Marshal(ctx)
	if err != nil {
		return nil, unusable(err)
	}
	res, err := gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, unusable(err)
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, unusable(err)
	}
	return &containers{gateway: gw, root: ref, config: config}, nil
}

// oneLineOf is an error with what to do about it.
func oneLineOf(err error) string {
	text := oneLine(err.Error())
	if hint := model.HintOf(err); hint != "" {
		text += ". " + strings.ToUpper(hint[:1]) + hint[1:]
	}
	return text
}
