package verify

import (
	"testing"
	"time"

	"github.com/hubship/hubship/internal/verify/jupyter"
)

func TestJournalLeavesOutEventsOfEarlierPods(t *testing.T) {
	var told []string
	start := time.Date(2026, 11, 23, 5, 11, 0, 0, time.UTC)
	j := &journal{started: start, tell: func(text string) { told = append(told, text) }}
	for _, text := range []string{
		"Server requested",
		"2026-11-23T05:09:21.274434Z [Warning] of the pod before",
		"2026-11-23T05:10:58Z [Normal] within the clocks' slack",
		"2026-11-23T05:11:02.5Z [Normal] of this pod",
	} {
		j.add(jupyter.Event{Message: text})
	}
	if len(told) != 3 || told[2] != "2026-11-23T05:11:02.5Z [Normal] of this pod" {
		t.Errorf("told: %q", told)
	}
	if w := j.warning(); w != "" {
		t.Errorf("the warning of an earlier pod explains this one: %q", w)
	}
}
