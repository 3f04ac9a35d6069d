package plan

import (
	"fmt"
	"slices"
	"strings"
)

// setting splits a field of a Secret or ConfigMap into the key of its data and
// the path within the document there.
func setting(f Field) (key, inner string) {
	rest, ok := strings.CutPrefix(f.Path, "data")
	if !ok {
		if rest, ok = strings.CutPrefix(f.Path, "stringData"); !ok {
			return "", ""
		}
	}
	if quoted, ok := strings.CutPrefix(rest, `["`); ok {
		key, inner, _ = strings.Cut(quoted, `"]`)
	} else {
		key, inner, _ = strings.Cut(strings.TrimPrefix(rest, "."), ".")
	}
	return key, strings.TrimPrefix(inner, ".")
}

// settings judges a Secret or ConfigMap. Those of the hub hold the chart's
// values, which the hub reads when it starts.
func (j *judge) settings(c Change) {
	var image, server, network, hub []string
	own := part(c) == "hub"
	for _, f := range c.Fields {
		key, inner := setting(f)
		if key == "" || f.Digest {
			continue
		}
		switch {
		case part(c) == "singleuser":
			server = append(server, f.Path)
		case !own:
			hub = append(hub, f.Path)
		case key == "values.yaml" && (strings.HasPrefix(inner, "Chart.") || strings.HasPrefix(inner, "Release.")):
			// Says of which chart it is, and sets nothing.
		case key == "values.yaml" && (under(inner, "singleuser.image")):
			image = append(image, inner)
		case key == "values.yaml" && under(inner, "singleuser.networkPolicy"):
			network = append(network, inner)
		case key == "values.yaml" && (under(inner, "singleuser") || under(inner, "hub.config.KubeSpawner") || under(inner, "hub.config.Spawner")):
			server = append(server, inner)
		default:
			hub = append(hub, f.Path)
		}
	}
	reason := func(paths []string) string { return c.Object() + ": " + few(paths, 3) }
	if len(image) > 0 && !j.saidImage() {
		j.feel(NextStart, "a new user image at each user's next start", "a new user image at each user's next start"+j.pulled(), reason(image), c)
	}
	if len(server) > 0 {
		j.feel(NextStart, "user servers get the new settings at their next start", "user servers get the new settings at their next start; running ones keep the old", reason(server), c)
	}
	all := slices.Concat(image, server, network, hub)
	if len(all) == 0 {
		return
	}
	switch {
	case !own && part(c) != "singleuser":
		if who := j.reader(c); who == "" {
			j.feel(Background, "", fmt.Sprintf("%s changes: programs that read it only at the start pick it up at their next restart", c.Object()), reason(all), c)
		}
	case own && !j.restarts("hub"):
		j.feel(Background, "the hub picks up the new settings at its next restart", "the hub is not restarted: it picks up the new settings only at its next restart", reason(all), c)
	}
}

// saidImage says that a new user image was told already.
func (j *judge) saidImage() bool {
	return slices.ContainsFunc(j.effects, func(f felt) bool { return strings.HasPrefix(f.What, "a new user image") })
}

// restarts says that a component's pods are made anew.
func (j *judge) restarts(component string) bool {
	return slices.ContainsFunc(j.changes, func(c Change) bool {
		return part(c) == component && slices.Contains([]string{"Deployment", "StatefulSet"}, c.Kind) && (c.Change != Changed || first(c, "spec.template") != "")
	})
}

// reader names the component that restarts with the settings, or is empty.
func (j *judge) reader(c Change) string {
	if p := part(c); p != "" && j.restarts(p) {
		return p
	}
	return ""
}
