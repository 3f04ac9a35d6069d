package buildkit

import "github.com/hubship/hubship/internal/ship"

var (
	_ ship.Images  = (*Builder)(nil)
	_ ship.Sandbox = (*Builder)(nil)
)
