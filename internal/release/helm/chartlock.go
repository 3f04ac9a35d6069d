package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/outbound"
)

// chartLock is what the dependencies of one chart are known to be, and what
// they were found to be.
type chartLock struct {
	want   []model.ResolvedChart
	strict bool // there may be none but these
	found  []model.ResolvedChart
}

func (l *chartLock) sorted() []model.ResolvedChart {
	slices.SortFunc(l.found, func(a, b model.ResolvedChart) int {
		return strings.Compare(a.Name+"\x00"+a.Version+"\x00"+a.Repository, b.Name+"\x00"+b.Version+"\x00"+b.Repository)
	})
	return slices.Compact(l.found)
}

// locked returns a dependency that comes from a repository: the very archive
// that the lock names, from the cache or fetched again, or what the repository
// has now when the lock may be added to.
func (s *sources) locked(ctx context.Context, w dependency, lock *chartLock) (*chart.Chart, error) {
	if w.repository == "" {
		return nil, fmt.Errorf("dependency %s has no repository and is not in charts/", w.name)
	}
	for _, known := range lock.want {
		if known.Name != w.name || known.Repository != w.repository || !satisfies(w.version, known.Version) {
			continue
		}
		c, err := s.exactly(ctx, known)
		if err == nil {
			lock.found = append(lock.found, known)
		}
		return c, err
	}
	if lock.strict {
		return nil, fmt.Errorf("%w: chart %s %s from %s", model.ErrNotProven, w.name, w.version, w.repository)
	}
	c, data, err := s.now(ctx, w)
	if err != nil {
		return nil, fromOutside(err, fmt.Sprintf("dependency %s %s from %s", w.name, w.version, w.repository))
	}
	lock.found = append(lock.found, model.ResolvedChart{Name: w.name, Version: c.Metadata.Version, Repository: w.repository, Digest: "sha256:" + digestOf(data)})
	return c, nil
}

// now returns what a repository has at this moment, and keeps it.
func (s *sources) now(ctx context.Context, w dependency) (*chart.Chart, []byte, error) {
	c, data, err := s.archive(ctx, w)
	if err != nil {
		return nil, nil, err
	}
	w.version = c.Metadata.Version
	return c, data, s.keep(w, data)
}

// exactly returns the archive of a digest, from wherever it is to be had.
func (s *sources) exactly(ctx context.Context, known model.ResolvedChart) (*chart.Chart, error) {
	digest := strings.TrimPrefix(known.Digest, "sha256:")
	if c, err := s.byDigest(digest); err == nil {
		return c, nil
	}
	what := fmt.Sprintf("dependency %s %s from %s", known.Name, known.Version, known.Repository)
	c, data, err := s.archive(ctx, dependency{name: known.Name, version: known.Version, repository: known.Repository})
	if err != nil {
		return nil, fromOutside(err, what)
	}
	if got := digestOf(data); got != digest {
		return nil, model.WithHint(fmt.Errorf("%s is not the archive that was proven: sha256:%.12s, not sha256:%.12s", what, got, digest),
			"the repository has replaced a version; put the archive into charts/, or use another version and have it verified")
	}
	if err := writeFile(s.content(digest), data); err != nil {
		return nil, fmt.Errorf("keep fetched chart: %w", err)
	}
	return c, nil
}

// fromOutside tells a repository that does not answer, which blames nobody,
// from one that answers that it has no such chart.
func fromOutside(err error, what string) error {
	var answered *answerError
	if errors.As(err, &answered) || outbound.IsRefused(err) {
		return model.WithHint(fmt.Errorf("%s: %w", what, err), model.HintOf(err))
	}
	return fmt.Errorf("%s: %w: %w", what, model.ErrUnknown, err)
}

// answerError is what a repository has answered.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

// checkLock refuses a Chart.lock that was made for other dependencies than
// Chart.yaml declares, as `helm dependency build` does. The digest is over both
// lists as JSON.
func checkLock(c *chart.Chart) error {
	if c.Lock == nil || c.Lock.Digest == "" {
		return nil
	}
	for _, of := range []any{
		[2][]*chart.Dependency{c.Metadata.Dependencies, c.Lock.Dependencies},
		map[string][]*chart.Dependency{"dependencies": c.Metadata.Dependencies}, // of Helm 2
	} {
		data, err := json.Marshal(of)
		if err == nil && c.Lock.Digest == "sha256:"+digestOf(data) {
			return nil
		}
	}
	return model.WithHint(fmt.Errorf("the Chart.lock of %s does not match the dependencies in its Chart.yaml", c.Name()), "run `helm dependency update` and commit Chart.lock")
}
