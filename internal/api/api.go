// Package api is the client of the server's API, which the command line uses
// over the Unix socket, and the words that both sides exchange.
package api

import (
	"time"

	"github.com/hubship/hubship/internal/model"
)

// Prefix is the path that every endpoint is below.
const Prefix = "/api/v1"

// NDJSON is the media type of a log: one Event a line.
const NDJSON = "application/x-ndjson"

// Heartbeat is the longest silence of a followed log. A client that hears
// nothing for three times as long has lost its server.
const Heartbeat = 5 * time.Second

// Error is the body of every answer that is not a success.
type Error struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
	Code  int    `json:"code"` // exit code of the command line: 1 failed, 2 usage, 3 refused by a gate
	// Promotion is what was found about a promotion before it was refused.
	Promotion *model.Promotion `json:"promotion,omitempty"`
}

// Health is the answer of /healthz.
type Health struct {
	Status  string    `json:"status"` // "ok"
	Version string    `json:"version"`
	PID     int       `json:"pid,omitempty"` // over the Unix socket only
	Started time.Time `json:"started"`
}

// Event is one record of a log: a line, the run when it changed its state, or
// nothing but a sign of life. A followed log ends with a final run; one that
// is not followed ends with the run as it is.
type Event struct {
	Line *model.Line `json:"line,omitempty"`
	Run  *model.Run  `json:"run,omitempty"`
}

// ResumeRequest clears the halt of a hub.
type ResumeRequest struct {
	Environment string `json:"environment"`
	Hub         string `json:"hub"`
	By          string `json:"by,omitempty"`
}

// RevertRequest opens a pull request that takes another one back.
type RevertRequest struct {
	By string `json:"by,omitempty"`
}

// CancelRequest ends a run.
type CancelRequest struct {
	By string `json:"by,omitempty"`
}
