package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/registry"
	"helm.sh/helm/v4/pkg/repo/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
	"sigs.k8s.io/yaml"
)

// How large the index of a chart repository may be, and what it says of one
// chart, in bytes: what is read takes a hundred times as much.
const (
	maxIndex   = 64 << 20
	maxSection = 8 << 20
)

// fetchChart returns a chart's archive from its repository or registry.
func fetchChart(ctx context.Context, via http.RoundTripper, w dependency) ([]byte, error) {
	switch {
	case registry.IsOCI(w.repository):
		return pullChart(ctx, via, w)
	case strings.HasPrefix(w.repository, "http://"), strings.HasPrefix(w.repository, "https://"):
		return downloadChart(ctx, via, w)
	}
	return nil, &answerError{"the repository is neither http(s)://, oci:// nor file://; repository names from one machine (@name, alias:name) mean nothing elsewhere"}
}

// downloadChart gets an archive that a repository's index names, and checks it
// against the digest there.
func downloadChart(ctx context.Context, via http.RoundTripper, w dependency) ([]byte, error) {
	raw, err := get(ctx, via, strings.TrimSuffix(w.repository, "/")+"/index.yaml", maxIndex)
	if err != nil {
		return nil, err
	}
	part, err := sectionOf(raw, w.name)
	if err != nil {
		return nil, err
	}
	index, err := readIndex(part)
	if err != nil {
		return nil, &answerError{"index.yaml is not the index of a chart repository"}
	}
	entry, err := index.Get(w.name, w.version)
	if err != nil {
		return nil, &answerError{fmt.Sprintf("the index has no %s %s", w.name, w.version)}
	}
	if len(entry.URLs) == 0 {
		return nil, fmt.Errorf("the index has no URL for %s %s", w.name, w.version)
	}
	at, err := repo.ResolveReferenceURL(w.repository, entry.URLs[0])
	if err != nil {
		return nil, fmt.Errorf("the index has no valid URL for %s %s", w.name, w.version)
	}
	if !strings.HasPrefix(at, "http://") && !strings.HasPrefix(at, "https://") {
		return nil, fmt.Errorf("the index has a URL that is not http(s):// for %s %s", w.name, w.version)
	}
	data, err := get(ctx, via, at, maxChart)
	if err != nil {
		return nil, err
	}
	if want := strings.TrimPrefix(entry.Digest, "sha256:"); want != "" && !strings.EqualFold(want, digestOf(data)) {
		return nil, &answerError{fmt.Sprintf("what %s returns does not match the digest in the index", at)}
	}
	return data, nil
}

// sectionOf is an index without what it says of other charts, if it is written
// as Helm writes them: a line for each chart, and its versions below.
func sectionOf(raw []byte, name string) ([]byte, error) {
	part := []byte("apiVersion: v1\nentries:\n")
	head := len(part)
	within, wanted, known := false, false, false
	for line := range bytes.Lines(raw) {
		key, isKey := bytes.CutPrefix(line, []byte("  "))
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case line[0] != ' ':
			within, wanted = string(bytes.TrimSpace(line)) == "entries:", false
		case within && isKey && key[0] != ' ' && key[0] != '-' && key[0] != '#':
			known = true
			key = bytes.Trim(bytes.TrimSuffix(bytes.TrimSpace(key), []byte(":")), `"'`)
			wanted = string(key) == name
		}
		if wanted {
			part = append(part, line...)
		}
	}
	if len(part) == head && !known {
		part = raw // written in another way
	}
	if len(part) > maxSection {
		return nil, fmt.Errorf("the index has more than %d MiB about %s", maxSection>>20, name)
	}
	return part, nil
}

// readIndex reads an index by the SDK, which sorts and checks it, and reads
// files only.
func readIndex(raw []byte) (*repo.IndexFile, error) {
	dir, err := os.MkdirTemp("", "hubship-index-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	name := filepath.Join(dir, "index.yaml")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		return nil, err
	}
	return repo.LoadIndexFile(name)
}

// get returns what an address gives, up to a size.
func get(ctx context.Context, via http.RoundTripper, address string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%q is not a valid URL", address)
	}
	resp, err := (&http.Client{Transport: via}).Do(req)
	if err != nil {
		return nil, plainNet(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
			return nil, &answerError{fmt.Sprintf("GET %s: %s", req.URL.Redacted(), resp.Status)}
		}
		return nil, fmt.Errorf("GET %s: %s", req.URL.Redacted(), resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, plainNet(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("GET %s: more than %d MiB", req.URL.Redacted(), limit>>20)
	}
	return data, nil
}

// plainNet says what is wrong without the address, which the caller tells.
func plainNet(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no response in time")
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// pullChart gets an archive from an OCI registry. What a digest names there is
// checked against it by the client.
func pullChart(ctx context.Context, via http.RoundTripper, w dependency) ([]byte, error) {
	var none atomic.Bool
	opts := []registry.ClientOption{
		registry.ClientOptEnableCache(true), registry.ClientOptWriter(io.Discard),
		registry.ClientOptHTTPClient(&http.Client{Transport: within{ctx, via, &none}}),
	}
	if via != http.DefaultTransport {
		// A server asks as anybody: what its machine's users have signed in to
		// is not the change's to read.
		opts = append(opts, registry.ClientOptAuthorizer(auth.Client{Client: &http.Client{Transport: within{ctx, via, &none}}, Cache: auth.NewCache()}))
	}
	if onLoopback(w.repository) {
		// A registry on this machine, such as the embedded one, has no
		// certificate.
		opts = append(opts, registry.ClientOptPlainHTTP())
	}
	client, err := registry.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("prepare registry client: %w", err)
	}
	ref := strings.TrimSuffix(strings.TrimPrefix(w.repository, "oci://"), "/") + "/" + w.name
	version := w.version
	if !w.exact() {
		tags, err := client.Tags(ref)
		if err != nil {
			return nil, plainNet(err)
		}
		if version, err = registry.GetTagMatchingVersionOrConstraint(tags, w.version); err != nil {
			return nil, &answerError{"there is no version " + w.version}
		}
	}
	result, err := client.Pull(ref+":"+version, registry.PullOptWithChart(true))
	if err != nil && none.Load() {
		return nil, &answerError{fmt.Sprintf("there is no %s:%s", ref, version)}
	}
	if err != nil {
		return nil, plainNet(err)
	}
	if result.Chart == nil || len(result.Chart.Data) == 0 {
		return nil, errors.New("the registry returned no chart")
	}
	return result.Chart.Data, nil
}

// within lets requests end with a context, and answers be no larger than a
// chart: the SDK's client knows neither.
type within struct {
	ctx  context.Context //nolint:containedctx // the client takes none
	via  http.RoundTripper
	none *atomic.Bool // set when the registry answers that it has no such manifest
}

// RoundTrip sends a request.
func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(w.ctx, func() { cancel(context.Cause(w.ctx)) })
	resp, err := w.via.RoundTrip(r.WithContext(ctx))
	if err != nil {
		stop()
		cancel(nil)
		return nil, err
	}
	if resp.StatusCode == http.StatusNotFound && strings.Contains(r.URL.Path, "/manifests/") {
		w.none.Store(true)
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxChart, done: func() { stop(); cancel(nil) }}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
	done func()
}

// Read fails when there is more than there may be.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fmt.Errorf("more than %d MiB", int64(maxChart)>>20)
	}
	return n, err
}

// Close ends the request.
func (b *boundedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// onLoopback says that an address is this machine's own.
func onLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// parseChart reads an archive, whose contents are bounded.
func parseChart(data []byte) (c *chart.Chart, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("not a chart: %v", p)
		}
	}()
	if err := newUnpacking().archive(data, 0); err != nil {
		return nil, err
	}
	return loader.LoadArchive(bytes.NewReader(data))
}

// metadataVersion reads the version of a chart of that name out of its
// Chart.yaml.
func metadataVersion(data []byte, name string) string {
	var meta struct{ Name, Version string }
	if err := yaml.Unmarshal(data, &meta); err != nil || meta.Name != name {
		return ""
	}
	return meta.Version
}

// readBounded reads a file up to a size.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", filepath.Base(name), limit)
	}
	return data, err
}

// writeFile writes a file at once: nobody sees half of it.
func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}
