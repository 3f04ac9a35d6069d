// Package register keeps the Kubernetes clusters of an installation, by name. A
// deployment repository names clusters; how they are reached stands here and
// nowhere else.
package register

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/hubship/hubship/internal/model"
)

// Local is the name of the cluster that `hubship up` brings along or was given.
const Local = "local"

// A cluster is one file: a kubeconfig with one context, or an empty one that
// stands for the embedded node. A file is replaced in one step, so that a
// server that reads meanwhile sees the one or the other.
const (
	kubeconfigEnd = ".kubeconfig"
	embeddedEnd   = ".embedded"
)

// name is what a cluster may be called.
var name = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9._]{0,61}[A-Za-z0-9])?$`)

// Register is the clusters of one installation. Everything is read anew when it
// is asked for: what is added holds at once.
type Register struct{ dir string }

// At returns the register in a folder, which need not exist.
func At(dir string) Register { return Register{dir} }

// Entry is one cluster.
type Entry struct {
	Name     string `json:"name"`
	Embedded bool   `json:"embedded,omitempty"` // the node that `hubship up` runs
	Server   string `json:"server,omitempty"`   // address of the API server
	Context  string `json:"context,omitempty"`  // in the kubeconfig that it was added from
	// Exec says that a program on this machine gives the credentials.
	Exec bool `json:"exec,omitempty"`
	// Trouble says why it cannot be used, one line.
	Trouble string `json:"trouble,omitempty"`
}

// New is a cluster that is to be added.
type New struct {
	Name       string
	Kubeconfig string // file
	Context    string // in it: a current context is never used
	// Exec allows a kubeconfig that has a program run for its credentials.
	// The program runs as hubship does.
	Exec bool
	// Again allows what is registered already, under this name, to be replaced.
	Again bool
}

// Cluster returns a cluster by its name. The error is model.ErrUnknownCluster
// when the installation has none.
func (r Register) Cluster(_ context.Context, of string) (model.Cluster, error) {
	if !name.MatchString(of) {
		return model.Cluster{}, model.ErrUnknownCluster
	}
	file := r.file(of, kubeconfigEnd)
	switch _, err := os.Stat(file); {
	case err == nil:
		cfg, err := clientcmd.LoadFromFile(file)
		if err != nil {
			return model.Cluster{}, fmt.Errorf("read how cluster %s is reached: %w", of, err)
		}
		return model.Cluster{Name: of, Kubeconfig: file, Context: cfg.CurrentContext}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return model.Cluster{}, fmt.Errorf("read how cluster %s is reached: %w", of, err)
	}
	switch _, err := os.Stat(r.file(of, embeddedEnd)); {
	case err == nil:
		return model.Cluster{Name: of, Embedded: true}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return model.Cluster{}, fmt.Errorf("read how cluster %s is reached: %w", of, err)
	}
	return model.Cluster{}, model.ErrUnknownCluster
}

func (r Register) file(of, end string) string { return filepath.Join(r.dir, of+end) }

// List returns all clusters, sorted by name.
func (r Register) List() ([]Entry, error) {
	files, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the clusters: %w", err)
	}
	out := []Entry{}
	for _, f := range files {
		of, end := f.Name(), ""
		for _, known := range []string{kubeconfigEnd, embeddedEnd} {
			if rest, ok := strings.CutSuffix(f.Name(), known); ok {
				of, end = rest, known
			}
		}
		switch {
		case end == "" || !name.MatchString(of):
		case end == embeddedEnd:
			out = append(out, Entry{Name: of, Embedded: true})
		default:
			out = append(out, r.entry(of))
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (r Register) entry(of string) Entry {
	e := Entry{Name: of}
	cfg, err := clientcmd.LoadFromFile(r.file(of, kubeconfigEnd))
	if err != nil {
		e.Trouble = err.Error()
		return e
	}
	e.Context = cfg.CurrentContext
	at := cfg.Contexts[cfg.CurrentContext]
	if at == nil || cfg.Clusters[at.Cluster] == nil {
		e.Trouble = "its file has no usable context"
		return e
	}
	e.Server = cfg.Clusters[at.Cluster].Server
	if user := cfg.AuthInfos[at.AuthInfo]; user != nil {
		e.Exec = user.Exec != nil || user.AuthProvider != nil
	}
	return e
}

// Add registers a cluster. What it takes from the kubeconfig it copies, so that
// whoever may write that file decides nothing later.
func (r Register) Add(q New) (Entry, error) {
	if !name.MatchString(q.Name) {
		return Entry{}, model.Usage(fmt.Errorf("%q is not the name of a cluster", q.Name), "use letters, digits, '-', '_' and '.'; it is what hubship.yaml calls the cluster")
	}
	all, err := r.List()
	if err != nil {
		return Entry{}, err
	}
	data, server, err := minified(q)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range all {
		switch {
		case e.Name == q.Name && !q.Again:
			return Entry{}, model.Usage(fmt.Errorf("cluster %s is already registered", q.Name), "`--replace` replaces it; `hubship cluster list` shows the registered clusters")
		case e.Name != q.Name && e.Server != "" && sameServer(e.Server, server):
			return Entry{}, model.Usage(fmt.Errorf("the cluster at %s is already registered, as %s", server, e.Name),
				"two names for one cluster could put two hubs into one namespace: use the existing name")
		}
	}
	if err := r.write(r.file(q.Name, kubeconfigEnd), data); err != nil {
		return Entry{}, err
	}
	if err := remove(r.file(q.Name, embeddedEnd)); err != nil {
		return Entry{}, err
	}
	return r.entry(q.Name), nil
}

func sameServer(a, b string) bool {
	clean := func(s string) string {
		u, err := url.Parse(s)
		if err != nil {
			return s
		}
		return strings.ToLower(u.Host) + strings.TrimSuffix(u.Path, "/")
	}
	return clean(a) == clean(b)
}

// AddEmbedded registers the embedded node.
func (r Register) AddEmbedded(of string) error {
	if err := r.write(r.file(of, embeddedEnd), nil); err != nil {
		return err
	}
	return remove(r.file(of, kubeconfigEnd))
}

// Remove forgets a cluster. The error is model.ErrUnknownCluster when there is
// none of that name.
func (r Register) Remove(ctx context.Context, of string) error {
	if _, err := r.Cluster(ctx, of); errors.Is(err, model.ErrUnknownCluster) {
		return err
	}
	return errors.Join(remove(r.file(of, kubeconfigEnd)), remove(r.file(of, embeddedEnd)))
}

func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget a cluster: %w", err)
	}
	return nil
}

// write replaces a file that its owner alone can read.
func (r Register) write(file string, data []byte) error {
	err := os.MkdirAll(r.dir, 0o700)
	if err != nil {
		return fmt.Errorf("register a cluster: %w", err)
	}
	tmp, err := os.CreateTemp(r.dir, ".new-*") // 0600
	if err != nil {
		return fmt.Errorf("register a cluster: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("register a cluster: %w", err)
	}
	return nil
}

// minified is the kubeconfig of one context with all that it needs in it, and
// the address of its API server.
func minified(q New) ([]byte, string, error) {
	cfg, err := clientcmd.LoadFromFile(q.Kubeconfig)
	if err != nil {
		return nil, "", model.WithHint(fmt.Errorf("read kubeconfig %s: %w", q.Kubeconfig, err), "check that the file is a readable kubeconfig")
	}
	if _, ok := cfg.Contexts[q.Context]; !ok {
		return nil, "", model.Usage(fmt.Errorf("kubeconfig %s has no context %q", q.Kubeconfig, q.Context), "it has "+contexts(cfg))
	}
	cfg.CurrentContext = q.Context
	if err := clientcmdapi.MinifyConfig(cfg); err != nil {
		return nil, "", fmt.Errorf("take context %q out of kubeconfig %s: %w", q.Context, q.Kubeconfig, err)
	}
	at := cfg.Contexts[q.Context]
	target, user := cfg.Clusters[at.Cluster], cfg.AuthInfos[at.AuthInfo]
	if target == nil || target.Server == "" {
		return nil, "", fmt.Errorf("context %q of kubeconfig %s names no API server", q.Context, q.Kubeconfig)
	}
	if user != nil && (user.Exec != nil || user.AuthProvider != nil) && !q.Exec {
		return nil, "", model.Usage(fmt.Errorf("context %q of kubeconfig %s runs a program to get credentials", q.Context, q.Kubeconfig),
			"give hubship its own service account or, if the program may run with hubship's permissions, add --allow-exec")
	}
	if user != nil && user.TokenFile != "" && user.Token == "" {
		file := user.TokenFile
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(user.LocationOfOrigin), file)
		}
		token, err := os.ReadFile(file)
		if err != nil {
			return nil, "", fmt.Errorf("read the token of context %q: %w", q.Context, err)
		}
		user.Token, user.TokenFile = strings.TrimSpace(string(token)), ""
	}
	if user != nil {
		user.TokenFile = ""
	}
	if err := clientcmdapi.FlattenConfig(cfg); err != nil {
		return nil, "", fmt.Errorf("take the files that context %q of kubeconfig %s names: %w", q.Context, q.Kubeconfig, err)
	}
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, "", fmt.Errorf("take context %q out of kubeconfig %s: %w", q.Context, q.Kubeconfig, err)
	}
	return data, target.Server, nil
}

func contexts(c *clientcmdapi.Config) string {
	var names []string
	for n := range c.Contexts {
		names = append(names, fmt.Sprintf("%q", n))
	}
	if len(names) == 0 {
		return "no contexts at all"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
