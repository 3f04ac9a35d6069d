package jupyter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"sort"
	"strings"
)

// maxRedirects bounds the redirects on the way to a page.
const maxRedirects = 10

// Notebook is the running server of one user.
type Notebook struct {
	c    *Client
	user string
}

// Notebook returns the default server of the user.
func (c *Client) Notebook(user string) *Notebook { return &Notebook{c: c, user: user} }

func (n *Notebook) endpoint(segments ...string) *url.URL {
	return n.c.endpoint(append([]string{"user", url.PathEscape(n.user)}, segments...)...)
}

// Version returns the version of the server.
func (n *Notebook) Version(ctx context.Context) (string, error) {
	var out struct {
		Version string `json:"version"`
	}
	_, err := n.c.call(ctx, "ask the server for its version", http.MethodGet, n.endpoint("api"), nil, &out, http.StatusOK)
	return out.Version, err
}

// Status asks the server, as its user, whether it works.
func (n *Notebook) Status(ctx context.Context) error {
	var out struct {
		Started string `json:"started"`
	}
	_, err := n.c.call(ctx, "ask the server for its status", http.MethodGet, n.endpoint("api", "status"), nil, &out, http.StatusOK)
	if err == nil && out.Started == "" {
		err = errors.New("ask the server for its status: the response does not say when it started")
	}
	return err
}

// KernelSpecs are the kernels that a server offers.
type KernelSpecs struct {
	Default string
	// Languages maps the name of each kernel to its language, in lower case.
	Languages map[string]string
}

// Python returns the kernel to run Python with: the default one if it speaks
// Python, else the first by name that does. ok is false when there is none.
func (k KernelSpecs) Python() (name string, ok bool) {
	if k.Languages[k.Default] == "python" {
		return k.Default, true
	}
	for _, name := range k.Names() {
		if k.Languages[name] == "python" {
			return name, true
		}
	}
	return "", false
}

// Names returns the names of the kernels, sorted.
func (k KernelSpecs) Names() []string {
	names := make([]string, 0, len(k.Languages))
	for name := range k.Languages {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// KernelSpecs lists the kernels that the server offers.
func (n *Notebook) KernelSpecs(ctx context.Context) (KernelSpecs, error) {
	var out struct {
		Default string `json:"default"`
		Specs   map[string]struct {
			Spec struct {
				Language string `json:"language"`
			} `json:"spec"`
		} `json:"kernelspecs"`
	}
	_, err := n.c.call(ctx, "list the kernels of the server", http.MethodGet, n.endpoint("api", "kernelspecs"), nil, &out, http.StatusOK)
	specs := KernelSpecs{Default: out.Default, Languages: make(map[string]string, len(out.Specs))}
	for name, s := range out.Specs {
		specs.Languages[name] = strings.ToLower(s.Spec.Language)
	}
	return specs, err
}

// StartKernel starts a kernel of that name and returns its id.
func (n *Notebook) StartKernel(ctx context.Context, name string) (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	_, err := n.c.call(ctx, "start kernel "+name, http.MethodPost, n.endpoint("api", "kernels"),
		map[string]string{"name": name}, &out, http.StatusCreated)
	if err == nil && out.ID == "" {
		err = fmt.Errorf("start kernel %s: the response has no id", name)
	}
	return out.ID, err
}

// KernelState returns the state that the server knows the kernel in:
// "starting", "idle", "busy", "restarting" or "dead".
func (n *Notebook) KernelState(ctx context.Context, id string) (string, error) {
	var out struct {
		State string `json:"execution_state"`
	}
	_, err := n.c.call(ctx, "ask for the state of the kernel", http.MethodGet, n.endpoint("api", "kernels", url.PathEscape(id)), nil, &out, http.StatusOK)
	return out.State, err
}

// Interrupt raises KeyboardInterrupt in the kernel.
func (n *Notebook) Interrupt(ctx context.Context, id string) error {
	_, err := n.c.call(ctx, "interrupt the kernel", http.MethodPost, n.endpoint("api", "kernels", url.PathEscape(id), "interrupt"),
		nil, nil, http.StatusNoContent, http.StatusOK)
	return err
}

// Page opens the page that a user of the server sees first: it follows the
// redirects of the server's root to the configured default URL. It returns
// the path of the page. A redirect that leaves the server, such as one to a
// login page, is an error.
func (n *Notebook) Page(ctx context.Context) (string, error) {
	const op = "open the default page"
	at := n.endpoint("")
	for range maxRedirects {
		req, err := n.c.request(ctx, http.MethodGet, at, nil)
		if err != nil {
			return at.Path, fmt.Errorf("%s: %w", op, err)
		}
		req.Header.Set("Accept", "text/html")
		resp, err := n.c.http.Do(req)
		if err != nil {
			return at.Path, fmt.Errorf("%s: %s: %w", op, at.Path, transportError(err))
		}
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		_ = resp.Body.Close()
		if err != nil {
			return at.Path, fmt.Errorf("%s: %s: read the page: %w", op, at.Path, err)
		}
		location := resp.Header.Get("Location")
		switch {
		case resp.StatusCode == http.StatusOK && len(data) == 0:
			return at.Path, fmt.Errorf("%s: %s is empty", op, at.Path)
		case resp.StatusCode == http.StatusOK:
			return at.Path, nil
		case resp.StatusCode/100 != 3 || location == "":
			return at.Path, n.c.apiError(op+" "+at.Path, resp, data)
		}
		next, err := at.Parse(location)
		if err != nil {
			return at.Path, fmt.Errorf("%s: %s redirects to an invalid address: %w", op, at.Path, err)
		}
		if !n.contains(next) {
			return at.Path, fmt.Errorf("%s: %s redirects to %s, away from the server", op, at.Path, next.Path)
		}
		at = next
	}
	return at.Path, fmt.Errorf("%s: more than %d redirects, the last one to %s", op, maxRedirects, at.Path)
}

// contains says whether the address is one of this server.
func (n *Notebook) contains(u *url.URL) bool {
	root := n.endpoint()
	if u.Host != root.Host || u.Scheme != root.Scheme {
		return false
	}
	clean := path.Clean(u.Path)
	return clean == root.Path || strings.HasPrefix(clean, root.Path+"/")
}
