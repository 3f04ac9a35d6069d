package check

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dbos-inc/dbos-transact-golang/dbos"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/runs"
)

// execute runs tests and images side by side, each as a step of its own.
func (k checking) execute(ctx dbos.Context, w checkWork) error {
	began := time.Now()
	var tests []<-chan dbos.StepOutcome[runs.Outcome[model.TestResult]]
	for _, t := range w.Tests {
		ch, err := dbos.Go(ctx, func(ctx context.Context) (runs.Outcome[model.TestResult], error) {
			return runs.Attempt(ctx, k.o.Journal, k.run.ID, func(ctx context.Context) (model.TestResult, error) { return k.test(ctx, w.Merged, t) })
		}, dbos.WithStepName("test "+t.Test.Name))
		if err != nil {
			return err
		}
		tests = append(tests, ch)
	}
	var images []<-chan dbos.StepOutcome[runs.Outcome[model.ImageCheck]]
	for _, i := range w.Images {
		ch, err := dbos.Go(ctx, func(ctx context.Context) (runs.Outcome[model.ImageCheck], error) {
			return runs.Attempt(ctx, k.o.Journal, k.run.ID, func(ctx context.Context) (model.ImageCheck, error) { return k.image(ctx, w.Merged, i) })
		}, dbos.WithStepName("image "+i.Source.ID))
		if err != nil {
			return err
		}
		images = append(images, ch)
	}
	k.part(model.PartTests, model.PartRunning, "running "+count(len(tests), "test"))
	if len(tests) == 0 {
		k.part(model.PartTests, model.PartPassed, "no tests are defined (`checks` in hubship.yaml)")
	}
	k.part(model.PartImages, model.PartRunning, "building and trying out "+count(len(images), "image"))
	if len(images) == 0 {
		k.part(model.PartImages, model.PartPassed, "nothing to build")
	}
	k.show(ctx)

	if len(tests) > 0 {
		var all aggregate
		for i, ch := range tests {
			out := <-ch
			if out.Err != nil {
				return out.Err
			}
			t := out.Result.Value
			t.Name = w.Tests[i].Test.Name
			k.run.Pull.Tests = append(k.run.Pull.Tests, t)
			all.add(t.Name, out.Result.Ending, t.Passed || t.Skipped != "", t.Reason)
		}
		k.setPart(model.PartTests, time.Since(began), all.Ending, all.verdict(passedTests(k.run.Pull.Tests)))
		k.show(ctx)
	}
	if len(images) > 0 {
		var all aggregate
		for i, ch := range images {
			out := <-ch
			if out.Err != nil {
				return out.Err
			}
			c := out.Result.Value
			c.ID = w.Images[i].Source.ID
			reason := c.Reason
			if reason == "" && c.Smoke != nil && !c.Smoke.Passed {
				reason = c.Smoke.Reason
			}
			if x := out.Result.Ending; x.Err != "" {
				c.Reason = x.Err
			}
			k.run.Pull.Images = append(k.run.Pull.Images, c)
			k.run.Durations.Build = max(k.run.Durations.Build, c.Took)
			all.add(c.ID, out.Result.Ending, reason == "", reason)
		}
		k.setPart(model.PartImages, time.Since(began), all.Ending, all.verdict(builtImages(k.run.Pull.Images)))
	}
	return nil
}

// aggregate folds the outcomes of several steps into that of a part: what ended it
// from outside first, then what the change is at fault for, then what it is not.
type aggregate struct {
	runs.Ending
	failed []string
}

func (t *aggregate) add(name string, x runs.Ending, passed bool, reason string) {
	switch {
	case x.Superseded, x.Cancelled:
		t.Ending = x
	case x.Err != "" && t.Err == "":
		t.Err = name + ": " + x.Err
	case x.Err == "" && !passed:
		t.failed = append(t.failed, name+": "+reason)
	}
}

func (t *aggregate) verdict(good string) verdict {
	if len(t.failed) == 0 {
		return verdict{Summary: good}
	}
	if !t.Superseded && !t.Cancelled {
		t.Err = ""
	}
	v := verdict{Failed: true, Summary: t.failed[0]}
	if len(t.failed) > 1 {
		v.Summary = fmt.Sprintf("%d failed; %s", len(t.failed), t.failed[0])
	}
	return v
}

func passedTests(all []model.TestResult) string {
	ran, cached, skipped := 0, 0, 0
	for _, t := range all {
		switch {
		case t.Skipped != "":
			skipped++
		case t.Cached:
			cached++
		default:
			ran++
		}
	}
	var words []string
	for _, w := range []struct {
		n    int
		text string
	}{{ran, "passed"}, {cached, "passed earlier on the same content"}, {skipped, "not concerned"}} {
		if w.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", w.n, w.text))
		}
	}
	return strings.Join(words, ", ")
}

func builtImages(all []model.ImageCheck) string {
	built, tried := 0, 0
	for _, i := range all {
		if i.Built.Rebuilt {
			built++
		}
		if i.Smoke != nil {
			tried++
		}
	}
	text := count(len(all), "image") + ": "
	switch {
	case built == len(all):
		text += "built"
	case built == 0:
		text += "found in the registry"
	default:
		text += fmt.Sprintf("%d built, %d found in the registry", built, len(all)-built)
	}
	if tried > 0 {
		text += fmt.Sprintf("; %d tried out", tried)
	}
	return text
}

// sees says whether a test is concerned with a file.
func sees(t model.Test, name string) bool {
	return len(t.Paths) == 0 || slices.ContainsFunc(t.Paths, func(pattern string) bool {
		ok, err := doublestar.Match(pattern, name)
		return ok && err == nil // a pattern that is none was refused when it was read
	})
}

// digestOf is over everything that a test sees: names, modes and contents.
func digestOf(files map[string]string, t model.Test) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if sees(t, name) {
			fmt.Fprintf(h, "%s\x00%s\n", name, files[name])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// test runs a test, unless it passed on the same before.
func (k checking) test(ctx context.Context, commit string, w testWork) (model.TestResult, error) {
	scope := "test " + w.Test.Name
	if w.Skipped != "" {
		k.say(scope, model.LevelInfo, "not run: %s", w.Skipped)
		return model.TestResult{Name: w.Test.Name, Skipped: w.Skipped}, nil
	}
	key, err := k.o.Sandbox.TestKey(ctx, w.Test, w.Files)
	if err != nil {
		// The test itself says what is wrong with its image.
		k.say(scope, model.LevelWarn, "earlier results are not used: %s", runs.Describe(err))
	}
	if had, ok := k.passedBefore(ctx, key, w.Test.Name); ok {
		k.say(scope, model.LevelInfo, "passed earlier on the same content")
		return had, nil
	}
	dir, err := k.o.Builder.Checkout(ctx, commit, func(name string) bool { return sees(w.Test, name) })
	if err != nil {
		return model.TestResult{}, err
	}
	defer os.RemoveAll(dir)
	k.say(scope, model.LevelInfo, "%s in %s", strings.Join(w.Test.Command, " "), w.Test.Image)
	log := k.o.Journal.Output(k.run.ID, scope)
	began := time.Now()
	res, err := k.o.Sandbox.Test(ctx, dir, w.Test, log)
	log.Flush()
	if err != nil {
		return res, err
	}
	res.Name, res.Key, res.Took = w.Test.Name, key, time.Since(began)
	if !res.Passed {
		k.say(scope, model.LevelError, "%s", res.Reason)
		return res, nil
	}
	k.say(scope, model.LevelInfo, "passed")
	if key == "" {
		return res, nil
	}
	if err := k.o.Results.SetPassed(ctx, key, res); err != nil {
		k.o.Journal.Logger.Warn("save a test's result", "test", w.Test.Name, "error", err)
	}
	return res, nil
}

// passedBefore returns how the test went that passed under the key; no key has
// none.
func (k checking) passedBefore(ctx context.Context, key, name string) (model.TestResult, bool) {
	if key == "" {
		return model.TestResult{}, false
	}
	had, ok, err := k.o.Results.Passed(ctx, key)
	if err != nil {
		k.o.Journal.Logger.Warn("look for a test's earlier result", "test", name, "error", err)
		return had, false
	}
	had.Cached, had.Took = true, 0
	return had, ok
}

// image builds an image of the merge and tries it. One that cannot be built or
// does not work is no error.
func (k checking) image(ctx context.Context, commit string, w imageWork) (model.ImageCheck, error) {
	c := model.ImageCheck{ID: w.Source.ID}
	if w.Before != nil {
		// For comparison only.
		if tree, err := k.o.Repository.FS(ctx, k.run.Pull.BaseCommit); err == nil {
			if was, ok, err := k.o.Images.Find(ctx, tree, *w.Before); err == nil && ok {
				c.Before = was.Size
			}
		}
	}
	began := time.Now()
	built, err := k.o.Builder.Image(ctx, k.run.ID, commit, w.Source, model.BuildOptions{Untrusted: k.run.Pull.Fork, Origin: model.Origin{
		Run: k.run.ID, Commit: commit, Process: k.run.Process, Into: k.run.Pull.Base, Pull: k.run.Pull.Number, Head: k.run.Pull.Head,
	}})
	c.Took = time.Since(began)
	switch {
	case errors.Is(err, model.ErrSource) && ctx.Err() == nil:
		c.Reason = runs.Describe(err)
		return c, nil
	case err != nil:
		return c, err
	}
	c.Built = built
	if !w.Users {
		return c, nil
	}
	scope := "image " + w.Source.ID
	log := k.o.Journal.Output(k.run.ID, scope)
	smoke, err := k.o.Sandbox.Smoke(ctx, built, model.SmokeRequest{Packages: w.Packages}, log)
	log.Flush()
	if err != nil {
		return c, fmt.Errorf("try out image %s: %w", w.Source.ID, err)
	}
	for _, s := range smoke.Checks {
		level, how := model.LevelInfo, "passed"
		switch {
		case s.Skipped:
			how = "skipped"
		case !s.Passed:
			level, how = model.LevelError, "failed"
		}
		k.say(scope, level, "%s: %s %s", s.Name, how, s.Detail)
	}
	c.Smoke = &smoke
	return c, nil
}
