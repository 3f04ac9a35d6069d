package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/repo"
)

// fleetOf makes a repository of many hubs, each with values, secrets and an
// image of its own.
func fleetOf(b *testing.B, hubs int) (*repository, string) {
	b.Helper()
	r := newRepository(b)
	for name := range r.files {
		if strings.HasPrefix(name, "deployments/") {
			delete(r.files, name)
		}
	}
	// Few distinct contents, which are stored once.
	for i := range hubs {
		at := fmt.Sprintf("deployments/hub-%04d/", i)
		for _, name := range []string{"config/common.yaml", "config/staging.yaml", "config/prod.yaml", "secrets/staging.yaml", "secrets/prod.yaml", "image/Dockerfile", "image/requirements.txt"} {
			r.set(at+name, name)
		}
	}
	return r, r.commit("staging")
}

// BenchmarkDesired finds out what every release of an environment should be,
// from a commit that was never read before ("cold") or once more ("warm").
func BenchmarkDesired(b *testing.B) {
	for _, hubs := range []int{27, 270, 1000} {
		r, id := fleetOf(b, hubs)
		b.Run(fmt.Sprintf("hubs=%d/cold", hubs), func(b *testing.B) {
			for b.Loop() {
				fresh := &repository{Repository: repo.New(r.Git(), repo.Options{}), t: b}
				if d := fresh.desired(id, "prod"); len(d) != hubs {
					b.Fatalf("%d releases", len(d))
				}
			}
		})
		r.desired(id, "prod")
		b.Run(fmt.Sprintf("hubs=%d/warm", hubs), func(b *testing.B) {
			for b.Loop() {
				if d := r.desired(id, "prod"); len(d) != hubs {
					b.Fatalf("%d releases", len(d))
				}
			}
		})
	}
}
