// Package server is hubship's HTTP server: the API, the pages, the embedded
// Git server's address, and the way to every hub by its name.
package server

import (
	"context"
	"net"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Service is what the server serves. Errors carry hints and exit codes as
// package model has them; an unknown run is fs.ErrNotExist. All methods are
// called concurrently.
type Service interface {
	// Status is the whole installation as it is now. What cannot be observed
	// is said in it and is no error.
	Status(ctx context.Context) (model.Status, error)
	// Runs returns the newest runs first.
	Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error)
	Run(ctx context.Context, id string) (model.Run, error)
	// Lines returns lines with Seq greater than after, oldest first.
	Lines(ctx context.Context, id string, after int64, limit int) ([]model.Line, error)
	// Plan is the page that says what the run was about to change; the error
	// is fs.ErrNotExist when it has none.
	Plan(ctx context.Context, id string) ([]byte, error)
	// Start enqueues a run and returns it at once.
	Start(ctx context.Context, req model.RunRequest) (model.Run, error)
	Promote(ctx context.Context, req model.PromoteRequest) (model.Promotion, error)
	// Evidence lists the records about releases, believed or not; an
	// empty environment or hub means all.
	Evidence(ctx context.Context, env, hub string) ([]model.EvidenceRecord, error)
	// Resume clears the halt of a hub in an environment.
	Resume(ctx context.Context, env, hub, by string) error
	Cancel(ctx context.Context, id, by string) error
	// Revert opens a pull request that takes a merged one back.
	Revert(ctx context.Context, number int, by string) (model.Reversion, error)
	// Pushed enqueues what a push asks for and returns the runs, none when no
	// environment follows the branches. It must be quick: the pusher waits.
	Pushed(ctx context.Context, updates []forge.RefUpdate, by string) ([]model.Run, error)
	// Hosts are the names that the HTTP port serves hubs under, without port.
	// It is asked every second or so, and should answer from memory.
	Hosts(ctx context.Context) (map[string]Route, error)
}

// Route is where the hub behind a host name lives.
type Route struct {
	Target  model.Target
	Cluster model.Cluster
}

// DialFunc connects to the public proxy of a release: Service proxy-public,
// port http, in the target's namespace.
type DialFunc func(ctx context.Context, cluster model.Cluster, target model.Target) (net.Conn, error)
