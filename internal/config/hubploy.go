package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/model"
)

// hubploy's layout, as its documentation has it: a folder below deployments/
// for each hub, with hubploy.yaml, config/ and secrets/; one chart at the root;
// a release HUB-ENV in a namespace of the same name.
const (
	hubployPattern = "deployments/*/" + HubployFile
	// userImage is where hubploy puts an image unless told otherwise.
	userImage = "jupyterhub.singleuser.image"
)

// HubployFile is where a hub says what hubploy should know, in its folder.
const HubployFile = "hubploy.yaml"

// hubployEnvironments are those that hubploy deploys to, in promotion order.
// develop is one only where a hub has settings for it.
var hubployEnvironments = []string{"develop", "staging", "prod"}

// hubploy is what of hubploy.yaml decides about releases.
type hubploy struct {
	Images struct {
		ImageName string         `yaml:"image_name"`
		Images    []hubployImage `yaml:"images"`
	} `yaml:"images"`
	Cluster map[string]any `yaml:"cluster"`
}

type hubployImage struct {
	Name string `yaml:"name"`
	Path string `yaml:"path"`
	// Values is where the image goes, by hubploy's name for it.
	Values string `yaml:"helm_substitution_path"`
}

// readHubploy reads a repository that has no hubship.yaml and is laid out for
// hubploy.
func readHubploy(tree fs.FS, commit string, under *model.Process) (*Config, error) {
	h, err := openHubploy(tree, commit, under)
	if err != nil {
		return nil, err
	}
	if err := h.chart(); err != nil {
		return nil, err
	}
	h.chartpress()
	if under != nil {
		placeReleases(h.fleet, h.problem)
	}
	sort.Slice(h.fleet.Images, func(i, j int) bool { return h.fleet.Images[i].ID < h.fleet.Images[j].ID })
	markInvalid(h.fleet, h.problems)
	return &Config{
		Fleet: h.fleet, Patterns: hubployValues, HubProblems: h.problems,
		secrets: hubploySecrets, optional: true, tree: tree,
	}, nil
}

// hubployProcess reads the process of a repository that is laid out for
// hubploy: the tool's own environments, and each hub's cluster.
func hubployProcess(tree fs.FS, commit string) (model.Process, error) {
	h, err := openHubploy(tree, commit, nil)
	if err != nil {
		return model.Process{}, err
	}
	return processOf(h.fleet), nil
}

// openHubploy reads the hubs, and which environments there are unless a process
// says so.
func openHubploy(tree fs.FS, commit string, under *model.Process) (*hubployReader, error) {
	h := &hubployReader{tree: tree, problems: map[string][]HubProblem{}, fleet: &model.Fleet{
		Commit: commit, Layout: model.LayoutHubploy,
		Verify: model.VerifySettings{Service: defaultService, User: defaultUser},
		Review: model.ReviewSettings{Approvals: defaultApprovals}, Revert: model.RevertPropose,
	}, names: hubployEnvironments, places: map[string]string{}}
	if under != nil {
		h.names = nil
		for _, e := range under.Environments {
			h.names = append(h.names, e.Name)
		}
	}
	if err := h.hubs(); err != nil {
		return nil, err
	}
	if under != nil {
		h.fleet.Under(*under)
	} else {
		h.fleet.Places = h.places
		h.environments()
	}
	return h, nil
}

type hubployReader struct {
	tree     fs.FS
	fleet    *model.Fleet
	problems map[string][]HubProblem
	names    []string          // of the environments that hubs may have files for
	places   map[string]string // clusters by hub
}

// hubs reads every folder that has a hubploy.yaml.
func (h *hubployReader) hubs() error {
	files, err := fs.Glob(h.tree, hubployPattern)
	if err != nil {
		return fmt.Errorf("look for %s: %w", hubployPattern, err)
	}
	sort.Strings(files)
	for _, file := range files {
		dir := path.Dir(file)
		name := path.Base(dir)
		// Folders of template engines and hidden ones are not hubs.
		if strings.Contains(name, "{{") || strings.HasPrefix(name, ".") {
			continue
		}
		hub := model.Hub{Name: name, Path: dir, Environments: h.environmentsOf(dir)}
		if p := labelProblem(name, maxLabel-len("-staging")); p != "" {
			h.problem(name, Problem{File: dir, Message: "the name of the folder " + p, Hint: "rename the folder"})
		}
		h.file(&hub, file)
		h.links(hub)
		h.fleet.Hubs = append(h.fleet.Hubs, hub)
	}
	return nil
}

func (h *hubployReader) problem(hub string, p Problem) {
	h.problems[hub] = append(h.problems[hub], HubProblem{Problem: p})
}

// environmentsOf returns the environments that a hub has anything for. One that
// has nothing of its own for any environment is in all of them.
func (h *hubployReader) environmentsOf(dir string) []string {
	var found []string
	for _, env := range h.names {
		for _, name := range []string{"config", "secrets"} {
			if info, err := fs.Stat(h.tree, path.Join(dir, name, env+".yaml")); err == nil && info.Mode().IsRegular() {
				found = append(found, env)
				break
			}
		}
	}
	return found
}

// hubployValues and hubploySecrets are the files of a release. The second of
// the secrets is for those kept in a submodule of their own.
var (
	hubployValues  = []string{"config/common.yaml", "config/{env}.yaml"}
	hubploySecrets = []string{"secrets/{env}.yaml", "/secrets/deployments/{hub}/secrets/{env}.yaml"}
)

// links holds back a hub with a file that leads out of the repository, or is
// none.
func (h *hubployReader) links(hub model.Hub) {
	seen := map[string]bool{}
	for _, env := range h.names {
		for _, pattern := range slices.Concat(hubployValues, hubploySecrets) {
			name := fileOf(pattern, hub, env)
			if seen[name] {
				continue
			}
			seen[name] = true
			info, err := fs.Stat(h.tree, name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				h.problem(hub.Name, Problem{File: name, Message: "cannot be read: " + err.Error(), Hint: readHint})
			case !info.Mode().IsRegular():
				h.problem(hub.Name, Problem{File: name, Message: "is not a file"})
			}
		}
	}
}

// file reads one hubploy.yaml. What is wrong with it holds back its hub.
func (h *hubployReader) file(hub *model.Hub, name string) {
	wrong := func(line int, message, hint string) {
		h.problem(hub.Name, Problem{File: name, Line: line, Message: message, Hint: hint})
	}
	data, err := readFile(h.tree, name)
	if err != nil {
		wrong(0, "cannot be read: "+err.Error(), "")
		return
	}
	found := &problems{}
	d := &decoder{name: name, found: found}
	root := d.parse(data)
	if root == nil {
		for _, p := range found.list {
			h.problem(hub.Name, p)
		}
		return
	}
	var settings hubploy
	if err := root.Decode(&settings); err != nil {
		for _, p := range typeProblems(err) {
			wrong(p.Line, p.Message, "see hubploy's configuration reference")
		}
		return
	}
	hub.Place = place(settings.Cluster)
	if name := clusterIn(settings.Cluster); name != "" {
		h.places[hub.Name] = name
	}
	images := settings.Images.Images
	if settings.Images.ImageName != "" {
		images = []hubployImage{{Name: settings.Images.ImageName}}
	}
	for i, img := range images {
		// Of several that go to one place, Helm is given the last one's name.
		over := slices.ContainsFunc(images[i+1:], func(later hubployImage) bool { return later.place() == img.place() })
		h.image(hub, img, over, imageLine(root, img.Name), wrong)
	}
}

// place is where the image goes.
func (i hubployImage) place() string { return cmp.Or(i.Values, userImage) }

var wrongType = regexp.MustCompile(`^line (\d+): cannot unmarshal (!!\w+)`)

// typeProblems words what the YAML library says about types in terms of Go.
func typeProblems(err error) []Problem {
	var types *yaml.TypeError
	if !errors.As(err, &types) {
		return []Problem{{Message: strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	var out []Problem
	for _, text := range types.Errors {
		p := Problem{Message: text}
		if m := wrongType.FindStringSubmatch(text); m != nil {
			p.Line, _ = strconv.Atoi(m[1])
			p.Message = "hubploy expects something else here than " + m[2]
		}
		out = append(out, p)
	}
	return out
}

// imageLine finds where an image is named.
func imageLine(n *yaml.Node, name string) int {
	if n.Kind == yaml.ScalarNode && n.Value == name {
		return n.Line
	}
	for _, c := range n.Content {
		if line := imageLine(c, name); line > 0 {
			return line
		}
	}
	return 0
}

// image takes one image of a hubploy.yaml. One with a tag is made elsewhere;
// one without is built from the folder that it names, or from the hub's image/.
// Where a later one overwrites it, it is built and goes nowhere. Versions of hubploy differ here: up to June 2024 it built images, and since
// then it has taken tags from the name.
func (h *hubployReader) image(hub *model.Hub, img hubployImage, over bool, line int, wrong func(line int, message, hint string)) {
	if strings.TrimSpace(img.Name) == "" {
		wrong(line, "an image without a name", "give it a name, with a tag: registry/repository:tag")
		return
	}
	values := img.place()
	if !valuesPath.MatchString(values) {
		wrong(line, fmt.Sprintf("%q is not a dotted path in the values", values), "for example "+userImage)
		return
	}
	name, tag := splitTag(img.Name)
	dir := img.Path
	if dir == "" {
		dir = "image"
	}
	context := path.Join(hub.Path, dir)
	if tag == "" && fs.ValidPath(context) {
		if info, err := fs.Stat(h.tree, context); err == nil && info.IsDir() {
			if over {
				values = ""
			}
			h.build(hub.Name, name, context, values)
			return
		}
	}
	hub.Pinned = append(hub.Pinned, model.Pinned{Name: name, Tag: tag, Values: values})
}

// splitTag separates a tag from an image's name. A colon before the last slash
// is a registry's port.
func splitTag(ref string) (name, tag string) {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.Contains(ref[i:], "/") {
		return ref, ""
	}
	return ref[:i], ref[i+1:]
}

// build adds an image that is built from a folder, once for all hubs that
// name it.
func (h *hubployReader) build(hub, name, context, values string) {
	for i := range h.fleet.Images {
		have := &h.fleet.Images[i]
		if have.Context == context && have.Repository == name && have.Values == values {
			have.Hubs = append(have.Hubs, hub)
			return
		}
	}
	id := path.Base(name)
	if slices.ContainsFunc(h.fleet.Images, func(i model.Image) bool { return i.ID == id }) {
		id = path.Join(hub, id)
	}
	h.fleet.Images = append(h.fleet.Images, model.Image{
		ID: id, Name: path.Base(name), Hubs: []string{hub}, Repository: name, Values: values,
		Context: context, Dockerfile: h.dockerfile(context),
	})
}

// dockerfile returns the build file of a context, or "" when repo2docker
// builds it.
func (h *hubployReader) dockerfile(context string) string {
	for _, dir := range []string{"", "binder", ".binder"} {
		name := path.Join(context, dir, "Dockerfile")
		if info, err := fs.Stat(h.tree, name); err == nil && info.Mode().IsRegular() {
			return name
		}
	}
	return ""
}

// place says where a hub's cluster is: "gcloud my-project us-central1 fall-cluster".
func place(cluster map[string]any) string {
	provider, _ := cluster["provider"].(string)
	words := []string{provider}
	settings, _ := cluster[provider].(map[string]any)
	for _, key := range []string{"account_id", "project", "resource_group", "region", "zone", "cluster", "filename", "context"} {
		switch v := settings[key].(type) {
		case string:
			words = append(words, v)
		case int:
			words = append(words, fmt.Sprint(v))
		}
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

// clusterIn is the name of a hub's cluster: that at the provider, or the context
// of a kubeconfig. Where and how it is reached is the installation's to say.
func clusterIn(cluster map[string]any) string {
	provider, _ := cluster["provider"].(string)
	settings, _ := cluster[provider].(map[string]any)
	for _, key := range []string{"cluster", "context"} {
		if name, ok := settings[key].(string); ok && ClusterNameProblem(name) == "" {
			return name
		}
	}
	return ""
}

// environments sets staging and prod, each driven by the branch of its name.
func (h *hubployReader) environments() {
	after := ""
	for _, env := range hubployEnvironments {
		if env == "develop" && !slices.ContainsFunc(h.fleet.Hubs, func(hub model.Hub) bool { return slices.Contains(hub.Environments, env) }) {
			continue
		}
		h.fleet.Environments = append(h.fleet.Environments, model.Environment{
			Name: env, Branch: env, Namespace: "{hub}-{env}", Release: "{hub}-{env}", Host: "{hub}-{env}.localhost", After: after,
		})
		if env != "develop" {
			after = env
		}
	}
}

// chartFile is what of a chart's files says whether it is the hubs' chart.
type chartFile struct {
	Dependencies []struct {
		Name string `yaml:"name"`
	} `yaml:"dependencies"`
}

// hubCharts are the charts whose users are hubs: JupyterHub's, and those known
// to contain it.
var hubCharts = []string{"jupyterhub", "binderhub", "daskhub"}

// chart finds the hubs' chart: the folder hub/, or the only one at the root, or
// the one that depends on one of hubCharts.
func (h *hubployReader) chart() error {
	found, err := fs.Glob(h.tree, "*/Chart.yaml")
	if err != nil {
		return fmt.Errorf("look for the chart: %w", err)
	}
	var candidates []string
	for _, file := range found {
		dir := path.Dir(file)
		if dir == "hub" || len(found) == 1 {
			h.fleet.Chart = dir
			return nil
		}
		for _, name := range []string{file, path.Join(dir, "requirements.yaml")} {
			var c chartFile
			data, err := readFile(h.tree, name)
			if err != nil || yaml.Unmarshal(data, &c) != nil {
				continue // rendering says what is wrong with it
			}
			if slices.ContainsFunc(c.Dependencies, func(d struct {
				Name string `yaml:"name"`
			}) bool {
				return slices.Contains(hubCharts, d.Name)
			}) {
				candidates = append(candidates, dir)
				break
			}
		}
	}
	if len(candidates) != 1 {
		return model.WithHint(fmt.Errorf("which chart do the hubs use? there is no hub/Chart.yaml, and %d of the %d charts at the root depend on %s", len(candidates), len(found), oneOf(hubCharts)),
			"name the chart's folder in a "+FileName)
	}
	h.fleet.Chart = candidates[0]
	return nil
}

// chartpressFile is what of chartpress.yaml says which images are built.
type chartpressFile struct {
	Charts []struct {
		Name        string `yaml:"name"`
		ImagePrefix string `yaml:"imagePrefix"`
		Images      map[string]struct {
			Context    string `yaml:"contextPath"`
			Dockerfile string `yaml:"dockerfilePath"`
			Name       string `yaml:"imageName"`
		} `yaml:"images"`
	} `yaml:"charts"`
}

// chartpress adds the images that chartpress builds: their tags are written
// into the chart's values by whoever runs it, so no release takes them from a
// build. A chartpress.yaml that cannot be read adds none; it is none of
// hubploy's files.
func (h *hubployReader) chartpress() {
	data, err := readFile(h.tree, "chartpress.yaml")
	if err != nil {
		return
	}
	var f chartpressFile
	if yaml.Unmarshal(data, &f) != nil {
		return
	}
	for _, c := range f.Charts {
		for _, key := range sortedKeys(c.Images) {
			img := c.Images[key]
			if img.Context == "" {
				img.Context = path.Join("images", key)
			}
			if img.Name == "" {
				img.Name = c.ImagePrefix + key
			}
			if img.Dockerfile == "" {
				img.Dockerfile = path.Join(img.Context, "Dockerfile")
			}
			if info, err := fs.Stat(h.tree, img.Context); pathProblem(img.Context) != "" || err != nil || !info.IsDir() {
				continue
			}
			if info, err := fs.Stat(h.tree, img.Dockerfile); pathProblem(img.Dockerfile) != "" || err != nil || !info.Mode().IsRegular() {
				continue
			}
			id := "chartpress/" + key
			if slices.ContainsFunc(h.fleet.Images, func(i model.Image) bool { return i.ID == id }) {
				continue // two charts share it
			}
			h.fleet.Images = append(h.fleet.Images, model.Image{
				ID: id, Name: key, Repository: img.Name, Manual: true,
				Context: path.Clean(img.Context), Dockerfile: path.Clean(img.Dockerfile),
			})
		}
	}
}
