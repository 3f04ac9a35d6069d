package gitserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/internal/git"
)

// bring lets git take in the objects of a push. The commands that git sees make
// references below git.Incoming, and are the server's own: whatever a client
// asks for, git moves nothing else, unpacks in quarantine, and looks whether
// everything is there. Those references are gone when bring returns. Why
// something is wrong with the push is by the reference that the client named.
func (s *Server) bring(ctx context.Context, r *http.Request, e endpoint, user string, q request, body io.ReadCloser, answer *reportWriter) (failed map[string]string, err error) {
	prefix, asked := git.Incoming+strings.ToLower(rand.Text())+"/", map[string]string{}
	var names []string
	var list bytes.Buffer
	packet := func(payload string) { fmt.Fprintf(&list, "%04x%s", len(payload)+4, payload) }
	for _, line := range q.shallow {
		packet(line)
	}
	for i, c := range q.commands {
		if c.new == refs.ZeroID {
			continue // nothing comes with what goes
		}
		name := fmt.Sprint(prefix, i)
		line := refs.ZeroID + " " + c.new + " " + name
		if len(names) == 0 {
			line += "\x00 report-status"
			for _, can := range []string{"side-band-64k", "quiet"} {
				if q.can[can] {
					line += " " + can
				}
			}
		}
		packet(line)
		names, asked[name] = append(names, name), c.ref
	}
	list.WriteString("0000")
	if len(names) == 0 {
		return nil, nil
	}
	repo, err := git.Open(filepath.Join(s.opts.Root, filepath.FromSlash(e.repository)+".git"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, repo.DropIncoming(ctx, prefix, names...), repo.Close()) }()
	whole := &boundBody{Reader: io.MultiReader(&list, body), Closer: body}
	// The last setting about a reference counts.
	extra := []setting{{"receive.hideRefs", "!" + strings.TrimSuffix(git.Incoming, "/")}, {"receive.denyDeletes", "true"}, {"receive.denyNonFastForwards", "true"}}
	s.backendFor(e, user, extra).ServeHTTP(answer, backendRequest(r, e, whole).WithContext(ctx))
	unpack, reasons := answer.said()
	if answer.status != 0 && answer.status != http.StatusOK || unpack == "" {
		return nil, fmt.Errorf("git did not accept the push: status %d", answer.status)
	}
	failed = map[string]string{}
	for name, reason := range reasons {
		if ref, ok := asked[name]; ok {
			failed[ref] = reason
		}
	}
	if unpack != "ok" {
		for _, ref := range asked {
			failed[ref] = unpack
		}
	}
	return failed, nil
}
