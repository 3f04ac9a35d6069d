package repo_test

import (
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/ship"
)

// The workflows take a Repository as it is.
var _ ship.Repository = (*repo.Repository)(nil)
