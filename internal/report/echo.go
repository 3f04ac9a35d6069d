package report

import (
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

// untold returns the releases without the fields that only repeat a setting
// which is told in the clear: the chart keeps its values in a Secret, and pulls
// the user image beforehand. The plan itself stays as it is.
func untold(list []plan.Release) []plan.Release {
	out := slices.Clone(list)
	for i := range out {
		told, tags := map[string]bool{}, []string{}
		for _, f := range out[i].Values {
			told[f.Path] = true
			// The chart's values are those of a chart that the hubs' own depends on.
			if _, rest, ok := strings.Cut(f.Path, "."); ok {
				told[rest] = true
			}
			if tag, ok := f.After.(string); ok && strings.HasSuffix(f.Path, ".tag") && tag != "" {
				tags = append(tags, ":"+tag)
			}
		}
		if len(told) == 0 {
			continue
		}
		out[i].Changes = slices.Clone(out[i].Changes)
		for n := range out[i].Changes {
			c := &out[i].Changes[n]
			c.Fields = slices.DeleteFunc(slices.Clone(c.Fields), func(f plan.Field) bool {
				return repeats(*c, f, told) || pulls(*c, f, tags)
			})
		}
	}
	return out
}

// repeats says that a field of a Secret is a setting that is told.
func repeats(c plan.Change, f plan.Field, told map[string]bool) bool {
	if c.Kind != "Secret" || !f.Masked {
		return false
	}
	inner, ok := strings.CutPrefix(f.Path, `data["values.yaml"].`)
	return ok && told[inner]
}

// pulls says that a field names an image of which a setting is told, and is of
// what only pulls images.
func pulls(c plan.Change, f plan.Field, tags []string) bool {
	after, ok := f.After.(string)
	return ok && strings.HasSuffix(f.Path, ".image") && strings.HasSuffix(c.Name, "image-puller") &&
		slices.ContainsFunc(tags, func(tag string) bool { return strings.HasSuffix(after, tag) })
}

// common takes the reasons that all releases have out of their own, so that
// they are said once.
func common(list []plan.Release) []plan.Reason {
	if len(list) < 2 {
		return nil
	}
	out := slices.Clone(list[0].Reasons)
	for _, r := range list[1:] {
		if r.Change != list[0].Change {
			return nil
		}
		out = slices.DeleteFunc(out, func(reason plan.Reason) bool { return !slices.Contains(r.Reasons, reason) })
	}
	return out
}

// ofAnyHub writes "{hub}" for the folder of a hub in paths, and in the names of
// its images.
func ofAnyHub(list []plan.Reason, hub string) []plan.Reason {
	out := slices.Clone(list)
	for i := range out {
		out[i].Path = strings.ReplaceAll("/"+out[i].Path+"/", "/"+hub+"/", "/{hub}/")
		out[i].Path = out[i].Path[1 : len(out[i].Path)-1]
		if name, ok := strings.CutPrefix(out[i].Reason, "image "+hub); ok && (name == "" || strings.ContainsAny(name[:1], "-_./")) {
			out[i].Reason = "image {hub}" + name
		}
	}
	return out
}

// built says that a block tells nothing but that releases get images which are
// built: of those the plan tells the images.
func (b block) built() bool {
	return len(b.Values) > 0 && len(b.Changes) == 0 && !slices.ContainsFunc(b.Values, func(f plan.Field) bool {
		tag, ok := f.After.(string)
		return !ok || !strings.HasPrefix(tag, "inputs-") || !strings.HasSuffix(f.Path, ".tag")
	})
}
