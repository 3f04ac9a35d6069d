package app

import (
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/install"
)

func TestOutboundSettings(t *testing.T) {
	s := install.Default()
	s.Outbound = &install.Outbound{Allow: []string{"10.1.0.0/16", "charts.internal.example.edu"}}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := s.OutboundPolicy()
	if err != nil || len(p.Allow) != 2 || len(p.Own) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	s.Outbound.Allow = []string{"0.0.0.0/0"}
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "0.0.0.0/0") {
		t.Errorf("%v", err)
	}
}
