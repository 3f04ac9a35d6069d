package pulls

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// key names something to look at. Two requests for one key that nobody has
// begun on are one; a key that is being looked at is looked at again after.
type key struct {
	kind   string
	number int    // of a pull request
	name   string // of an environment
}

func (k key) String() string {
	if k.number > 0 {
		return fmt.Sprintf("%s #%d", k.kind, k.number)
	}
	return strings.TrimSpace(k.kind + " " + k.name)
}

// Kinds of keys.
const (
	keyForge       = "forge"        // what no event told
	keyPull        = "pull request" // one, open or not
	keyMerged      = "merge"        // what became of a merged pull request
	keyEnvironment = "environment"  // what its runs mean for pull requests
	keyPromotion   = "promotion"    // into an environment
	keyRevert      = "revert"       // of what made an environment fail
)

// The pause after a failure doubles up to the longest.
const (
	firstPause       = time.Second
	longestPause     = time.Minute
	reconcileTimeout = 5 * time.Minute // of one key
	loggedEvery      = 30              // failures of one key between two lines of the log
)

func newQueue() workqueue.TypedRateLimitingInterface[key] {
	return workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[key](firstPause, longestPause))
}

// Run works until ctx ends. It begins with a look at everything.
func (c *Controller) Run(ctx context.Context) {
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	c.queue.Add(key{kind: keyForge})
	tick := time.NewTicker(c.o.Poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			c.queue.Add(key{kind: keyForge})
		}
	}
	c.queue.ShutDown()
	group.Wait()
}

// next looks at one key; false when there will be none any more.
func (c *Controller) next(ctx context.Context) bool {
	k, down := c.queue.Get()
	if down {
		return false
	}
	defer c.queue.Done(k)
	inner, cancel := context.WithTimeout(ctx, reconcileTimeout)
	defer cancel()
	err := c.reconcile(inner, k)
	switch {
	case err == nil:
		c.queue.Forget(k)
	case ctx.Err() != nil:
	default:
		c.requeue(k, err)
	}
	return true
}

// requeue has a key reconciled again after a failure.
func (c *Controller) requeue(k key, err error) {
	until, passing := forge.Temporary(err)
	if n := c.queue.NumRequeues(k); n == 0 || !passing && n%loggedEvery == 0 {
		c.o.Logger.Warn("pull requests: to be tried again", "what", k.String(), "error", err)
	}
	if wait := time.Until(until); wait > 0 {
		c.queue.AddAfter(k, wait)
		return
	}
	c.queue.AddRateLimited(k)
}

// reconcile brings what one key names in line. Whoever reconciles the same one
// meanwhile waits.
func (c *Controller) reconcile(ctx context.Context, k key) error {
	c.looking.LockKey(k.String())
	defer func() { _ = c.looking.UnlockKey(k.String()) }() // it never fails
	switch k.kind {
	case keyForge:
		return c.poll(ctx)
	case keyPull:
		return c.pull(ctx, k.number)
	case keyMerged:
		return c.reportMerged(ctx, k.number)
	case keyEnvironment:
		return c.environment(ctx, k.name)
	case keyPromotion:
		return c.promotion(ctx, k.name)
	case keyRevert:
		return c.revertFailure(ctx, k.name)
	}
	return fmt.Errorf("there is no look at %q", k.kind)
}

// Handle takes an event of the forge and returns at once. An event only says
// where to look.
func (c *Controller) Handle(e forge.Event) {
	switch e := e.(type) {
	case forge.PullRequestEvent:
		c.queue.Add(key{kind: keyPull, number: e.Number})
	case forge.ReviewEvent:
		c.queue.Add(key{kind: keyPull, number: e.Number})
	case forge.CommentEvent:
		c.queue.Add(key{kind: keyPull, number: e.Number})
	case forge.PushEvent:
		c.pushers.Add(tip{e.Update.Branch, e.Update.New}, e.Sender)
		c.queue.Add(key{kind: keyForge})
	case forge.CheckEvent:
		go c.again(e)
	}
}

// Changed takes a run whose record changed and returns at once.
func (c *Controller) Changed(r model.Run) {
	switch {
	case r.Kind == model.CheckPull && r.Pull != nil:
		c.queue.Add(key{kind: keyPull, number: r.Pull.Number})
	case r.Environment != "" && r.Kind != model.Verify:
		c.queue.Add(key{kind: keyEnvironment, name: r.Environment})
	}
}

// describe is an error with its hint in one line.
func describe(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if hint := model.HintOf(err); hint != "" {
		return text + " (" + hint + ")"
	}
	return text
}
