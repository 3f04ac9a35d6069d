package helm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/template"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/ship"
)

// Render returns the manifests that an upgrade would apply, without hooks. It
// reads from the cluster what templates look up there, and writes nothing. A
// cluster without a name stands for none: templates then find nothing, and
// take the cluster for one of the Kubernetes version that Helm was made for.
// What is rendered holds the release's secrets.
func (r *Releases) Render(ctx context.Context, c model.Cluster, u ship.Upgrade) ([]byte, error) {
	t := u.Desired.Target
	values, secrets, err := r.values(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", t, err)
	}
	red := r.redactor(secrets)
	out, err := r.render(ctx, c, u, values)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", t, clean(err, red))
	}
	return out, nil
}

func (r *Releases) render(ctx context.Context, c model.Cluster, u ship.Upgrade, values map[string]any) ([]byte, error) {
	t := u.Desired.Target
	ch, err := r.charts.load(ctx, u.Tree, u.Desired.Commit, u.Desired.Chart)
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler).Handler()
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(quiet))
	cfg.HookOutputFunc = func(_, _, _ string) io.Writer { return io.Discard }
	cfg.Releases = storage.Init(driver.NewMemory())
	in := action.NewInstall(cfg)
	in.DryRunStrategy = action.DryRunClient
	in.ReleaseName, in.Namespace = t.Release, t.Namespace
	in.DisableOpenAPIValidation = true
	if c.Name == "" {
		cfg.CustomTemplateFuncs = template.FuncMap{
			"lookup": func(string, string, string, string) (map[string]any, error) { return map[string]any{}, nil },
		}
	} else {
		conn, err := r.connect(ctx, c, t)
		if err != nil {
			return nil, err
		}
		caps, err := r.capabilities(conn)
		if err != nil {
			return nil, err
		}
		found, err := heads(ctx, conn, t)
		if err != nil {
			return nil, err
		}
		in.IsUpgrade = len(found) > 0
		in.KubeVersion, in.APIVersions = &caps.KubeVersion, caps.APIVersions
		cfg.CustomTemplateFuncs = newLookup(ctx, conn).funcs()
	}
	rel, err := in.RunWithContext(ctx, ch, values)
	if err != nil {
		return nil, err
	}
	rec, err := asRelease(rel)
	if err != nil {
		return nil, err
	}
	return []byte(rec.Manifest), nil
}

// clean takes secrets out of an error's text, and keeps its hint and exit
// code.
func clean(err error, red *release.Redactor) error {
	if err == nil {
		return nil
	}
	safe := red.Error(err)
	var e *model.Error
	if safe == err || !errors.As(err, &e) {
		return safe
	}
	code := model.ExitCodeOf(err)
	if code == model.ExitFailed {
		code = 0
	}
	return &model.Error{Code: code, Hint: red.Text(model.HintOf(err)), Err: safe}
}
