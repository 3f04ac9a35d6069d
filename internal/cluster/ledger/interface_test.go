package ledger_test

import (
	"github.com/hubship/hubship/internal/cluster/ledger"
	"github.com/hubship/hubship/internal/ship"
)

var _ ship.Ledger = (*ledger.Ledger)(nil)
