package app

import (
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/outbound"
)

// guardOf is what stands between the server and whatever a change or a
// contributor names.
func guardOf(s install.Settings) (*outbound.Guard, error) {
	policy, err := s.OutboundPolicy()
	if err != nil {
		return nil, err
	}
	return outbound.New(outbound.Options{Policy: policy}), nil
}

// maxOutside bounds one answer of a chart repository, in bytes: the index of a
// large one.
const maxOutside = 64 << 20
