package release

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/hubship/hubship/internal/model"
)

// Image is a place in values that names an image.
type Image struct {
	Path []any  // keys of maps and places in lists, from the top
	Ref  string // "quay.io/jupyterhub/k8s-hub:4.4.0"
	// Field is where the tag stands, below Path: "tag". It is empty where one
	// text names the image.
	Field string
	Tag   string // as it stands in Field
}

// At is the path in words: "jupyterhub.singleuser.image".
func (i Image) At() string {
	var b strings.Builder
	for _, p := range i.Path {
		if n, ok := p.(int); ok {
			fmt.Fprintf(&b, "[%d]", n)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		fmt.Fprint(&b, p)
	}
	return b.String()
}

// Images finds the images that values name, by the shapes in which charts take
// them, sorted by place:
//
//   - a map with a tag beside a name, where the map's key speaks of an image
//     (image: {name, tag}), or beside a repository, wherever it stands
//     (web: {repository, tag}, with a registry before it if there is one);
//   - a text under a key that speaks of an image (image: "debian:12"), as
//     containers, profiles of KubeSpawner and its options have it;
//   - a text under "reference" in such a map, as volumes of images have it.
//
// What does not read as a reference, such as a template, is none.
func Images(values map[string]any) []Image {
	var out []Image
	walkImages(values, nil, &out)
	return out
}

func walkImages(v any, at []any, out *[]Image) {
	switch v := v.(type) {
	case map[string]any:
		if image, ok := imageOf(v, at); ok {
			*out = append(*out, image)
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			below := append(slices.Clip(at), k)
			if text, ok := v[k].(string); ok {
				if (speaksOfImage(k) || k == "reference" && inImage(at)) && isReference(text) {
					*out = append(*out, Image{Path: below, Ref: text})
				}
				continue
			}
			walkImages(v[k], below, out)
		}
	case []any:
		for i, e := range v {
			walkImages(e, append(slices.Clip(at), i), out)
		}
	}
}

// imageOf reads a map with a tag.
func imageOf(m map[string]any, at []any) (Image, bool) {
	name, _ := m["repository"].(string)
	if registry, ok := m["registry"].(string); ok && registry != "" && name != "" {
		name = strings.TrimSuffix(registry, "/") + "/" + name
	}
	if name == "" && inImage(at) {
		name, _ = m["name"].(string)
	}
	raw, has := m["tag"]
	if name == "" || !has && !inImage(at) {
		return Image{}, false
	}
	image := Image{Path: at, Ref: name, Field: "tag"}
	switch tag := raw.(type) {
	case nil:
	case string:
		image.Tag = tag
	case map[string]any, []any, bool:
		return Image{}, false
	default:
		image.Tag = fmt.Sprint(tag) // a number, as templates print it
	}
	if image.Tag != "" {
		image.Ref += ":" + image.Tag
	}
	return image, isReference(image.Ref)
}

// inImage says whether a map is that of an image: by its key, or by that of the
// list or map that it is an entry of (extraImages: {x: {name, tag}}).
func inImage(at []any) bool {
	for i := len(at) - 1; i >= max(0, len(at)-2); i-- {
		key, ok := at[i].(string)
		if !ok {
			continue
		}
		lower := strings.ToLower(key)
		if i == len(at)-1 && strings.HasSuffix(lower, "image") || i < len(at)-1 && strings.HasSuffix(lower, "images") {
			return true
		}
	}
	return false
}

func speaksOfImage(key string) bool {
	lower := strings.ToLower(key)
	return lower == "image" || strings.HasSuffix(key, "Image") || strings.HasSuffix(lower, "_image")
}

func isReference(text string) bool {
	if strings.ContainsAny(text, "{}$ \t\n") {
		return false
	}
	_, err := reference.ParseNormalizedNamed(text)
	return err == nil
}

// Pinned says whether a reference carries its digest.
func Pinned(ref string) bool { return DigestOf(ref) != "" }

// DigestOf is the digest that a reference carries, or "".
func DigestOf(ref string) string {
	_, digest, _ := strings.Cut(ref, "@")
	return digest
}

// PinImage writes an image's digest into values, where the image stands in
// merged, which are the same values over the chart's own. The tag stays in
// front of it, for people. A list of the chart's own is taken over whole, as
// Helm replaces lists.
func PinImage(values, merged map[string]any, image Image, digest string) error {
	if Pinned(image.Ref) {
		return nil
	}
	path, text := image.Path, image.Ref+"@"+digest
	if image.Field != "" {
		tag := image.Tag
		if tag == "" {
			tag = "latest"
		}
		path, text = append(slices.Clip(path), image.Field), tag+"@"+digest
	}
	if err := put(values, merged, path, text); err != nil {
		return fmt.Errorf("write the digest of %s to %s: %w", image.Ref, image.At(), err)
	}
	return nil
}

// put sets what stands at a path, and makes what is missing on the way like
// what merged has there.
func put(values, merged any, path []any, text string) error {
	last := len(path) == 1
	switch at := values.(type) {
	case map[string]any:
		key, ok := path[0].(string)
		if !ok {
			return fmt.Errorf("%v is not a key", path[0])
		}
		if last {
			at[key] = text
			return nil
		}
		like, _ := merged.(map[string]any)
		if at[key] == nil {
			if _, isMap := like[key].(map[string]any); isMap {
				at[key] = map[string]any{}
			} else {
				at[key] = Copy(like[key])
			}
		}
		return put(at[key], like[key], path[1:], text)
	case []any:
		i, ok := path[0].(int)
		if !ok || i < 0 || i >= len(at) {
			return fmt.Errorf("entry %v does not exist", path[0])
		}
		if last {
			at[i] = text
			return nil
		}
		var like any
		if l, ok := merged.([]any); ok && i < len(l) {
			like = l[i]
		}
		return put(at[i], like, path[1:], text)
	}
	return fmt.Errorf("%v leads through %T", path[0], values)
}

// Runs lists the images that the containers of objects run, init containers
// and jobs included, and those that their pods mount as volumes.
func Runs(objects []Object) map[string]bool {
	out := map[string]bool{}
	for _, o := range objects {
		containers(o.Content, out)
	}
	return out
}

func containers(v any, out map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if list, ok := e.([]any); ok && (k == "containers" || k == "initContainers" || k == "ephemeralContainers") {
				for _, c := range list {
					if m, ok := c.(map[string]any); ok {
						if image, ok := m["image"].(string); ok {
							out[image] = true
						}
					}
				}
			}
			if list, ok := e.([]any); ok && k == "volumes" {
				for _, volume := range list {
					m, _ := volume.(map[string]any)
					image, _ := m["image"].(map[string]any)
					if ref, ok := image["reference"].(string); ok {
						out[ref] = true
					}
				}
			}
			containers(e, out)
		}
	case []any:
		for _, e := range v {
			containers(e, out)
		}
	}
}

// Unproven lists those of the images that objects run which are neither built
// nor known by name or digest, sorted.
func Unproven(objects []Object, built []model.Built, resolved model.Resolved) []string {
	known := map[string]bool{}
	for _, b := range built {
		known[b.Digest] = true
	}
	for _, i := range resolved.Images {
		known[i.Ref], known[i.Digest] = true, true
	}
	delete(known, "")
	var out []string
	for _, ref := range slices.Sorted(maps.Keys(Runs(objects))) {
		if !known[ref] && !known[DigestOf(ref)] {
			out = append(out, ref)
		}
	}
	return out
}
