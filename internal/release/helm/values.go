package helm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// values computes what a release is rendered with: its values files in order,
// its decrypted secrets over them, and its images at their paths over all. The
// decrypted secrets are returned too, so that they can be kept out of text.
func (r *Releases) values(ctx context.Context, u model.Upgrade) (values map[string]any, secrets []map[string]any, err error) {
	values = map[string]any{}
	for _, name := range u.Desired.Values {
		data, err := readFile(u.Tree, name)
		if err != nil {
			return nil, nil, fmt.Errorf("read values: %w", err)
		}
		v, err := release.ParseValues(data)
		if err != nil {
			return nil, nil, model.WithHint(fmt.Errorf("%s: %w", name, err), "fix the YAML in "+name)
		}
		values = release.Merge(values, v)
	}
	for _, name := range u.Desired.Secrets {
		v, err := r.secret(ctx, u, name)
		if err != nil {
			return nil, nil, err
		}
		secrets = append(secrets, v)
		values = release.Merge(values, v)
	}
	for _, p := range u.Desired.Pinned {
		if err := release.SetPinned(values, p); err != nil {
			return nil, nil, err
		}
	}
	if err := setImages(values, u); err != nil {
		return nil, nil, err
	}
	if at := release.Unapproved(values); at != "" {
		return nil, nil, model.WithHint(fmt.Errorf("the values name an image from an unmerged change, at %s", at), unapprovedHint)
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return values, secrets, nil
}

const unapprovedHint = "images below " + model.UnapprovedRepository + " are only for checks of pull requests: merge the change, and its images are built for the hubs"

func (r *Releases) secret(ctx context.Context, u model.Upgrade, name string) (map[string]any, error) {
	data, err := readFile(u.Tree, name)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]any{}, nil // an environment need not have secrets
	}
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	if r.opts.Decrypt == nil {
		return nil, fmt.Errorf("%s: this installation cannot decrypt secrets", name)
	}
	v, err := r.opts.Decrypt(ctx, u.Desired, name, data)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func setImages(values map[string]any, u model.Upgrade) error {
	for _, src := range u.Desired.Images {
		if src.Values == "" {
			continue // built, and named by nothing in the values
		}
		i := slices.IndexFunc(u.Images, func(b model.Built) bool { return b.ID == src.ID })
		if i < 0 {
			return fmt.Errorf("image %s was not built", src.ID)
		}
		if err := release.SetImage(values, src.Values, u.Images[i].Name, u.Images[i].Tag+"@"+u.Images[i].Digest); err != nil {
			return model.WithHint(fmt.Errorf("image %s: %w", src.ID, err), "check images."+src.Name+".values in hubship.yaml")
		}
	}
	return nil
}
