package planner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/release/helm"
)

// slowRender is how long a render takes that fails because of its time. What a
// chart does without end for one release it does for all.
const slowRender = 10 * time.Second

// chartRenders renders releases, and gives a chart up for all of them once it
// is missing a dependency or has used up the time of one.
type chartRenders struct {
	ctx      context.Context //nolint:containedctx // that all renders of the plan are part of
	renderer *helm.Renderer

	mu     sync.Mutex
	charts map[string]*chartRender // by digest and folder
}

// chartRender is a chart in the course of one plan.
type chartRender struct {
	ctx    context.Context //nolint:containedctx // ends when the chart is given up
	cancel context.CancelFunc
	err    error // why it was given up
}

func newChartRenders(ctx context.Context, r *helm.Renderer) *chartRenders {
	return &chartRenders{ctx: ctx, renderer: r, charts: map[string]*chartRender{}}
}

// close ends what is kept. Nothing may be rendered any more.
func (c *chartRenders) close() {
	for _, one := range c.charts {
		one.cancel()
	}
}

func (c *chartRenders) chart(key string) *chartRender {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.charts[key]
	if one == nil {
		one = &chartRender{}
		one.ctx, one.cancel = context.WithCancel(c.ctx)
		c.charts[key] = one
	}
	return one
}

// render renders one release.
func (c *chartRenders) render(q helm.RenderRequest) (*helm.Rendered, error) {
	one := c.chart(q.Key + "\x00" + q.Chart)
	start := time.Now()
	out, err := c.renderer.Render(one.ctx, q)
	if err == nil || c.ctx.Err() != nil {
		return out, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing *helm.MissingChartError
	switch {
	case one.err != nil:
		// Whatever this one failed with: it may just have been ended.
		return nil, one.err
	case errors.As(err, &missing), time.Since(start) > slowRender:
		one.err = err
		if inner := errors.Unwrap(err); inner != nil {
			one.err = inner // without the name of the release
		}
		one.cancel()
	}
	return nil, err
}
