package attest_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/model"
)

// story is what happened to a release, told in the simplest way: a list of
// events. What ought to count is read off the list, with none of the standing's
// own rules.
type story struct {
	events []event
}

type event struct {
	kind   string // record, halt, clear
	shared string
}

// counts says whether the record made by event i ought to count.
func (s story) counts(i int) bool {
	later := 0
	for _, e := range s.events[i+1:] {
		switch {
		case e.kind == "record":
			later++
			if e.shared == s.events[i].shared {
				return false // a newer one
			}
		case e.kind == "halt" && e.shared == s.events[i].shared:
			return false
		}
	}
	return later < attest.KeepEvidence
}

func (s story) halted() bool {
	for _, e := range slices.Backward(s.events) {
		switch e.kind {
		case "halt":
			return true
		case "clear":
			return false
		}
	}
	return false
}

// What counts, and whether the release is halted, is what its history says,
// whatever happened in whatever order, and whichever of the two copies an
// attacker or an accident took back to an earlier state.
func TestStandingFollowsHistory(t *testing.T) {
	keys := folder(t)
	pub := public(t, keys)
	copyOf := func(t *rapid.T, s attest.Standing) attest.Copy {
		envelope, err := s.Seal(keys)
		if err != nil {
			t.Fatal(err)
		}
		c, err := attest.OpenStanding(envelope, pub, want)
		if err != nil || c.Trouble != nil {
			t.Fatalf("%v, %v", err, c.Trouble)
		}
		return c
	}
	rapid.Check(t, func(t *rapid.T) {
		var told story
		states := []attest.Standing{attest.NewStanding(want)}
		records := map[int]attest.Evidence{} // by their event
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			e := event{rapid.SampledFrom([]string{"record", "record", "halt", "clear"}).Draw(t, "kind"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "inputs")}
			now := states[len(states)-1]
			switch e.kind {
			case "record":
				now = now.Record(e.shared)
				w := want
				w.Shared = e.shared
				records[len(told.events)] = evidenceOf(w, now.Sequence)
			case "halt":
				now = now.Halted(model.Halt{Shared: e.shared, Run: "r"})
			case "clear":
				now = now.Cleared()
			}
			told.events, states = append(told.events, e), append(states, now)
		}
		now := states[len(states)-1]
		good := copyOf(t, now)
		any := want
		any.Shared = ""

		// Both copies are there: exactly what history says.
		both := attest.Merge(any, good, good)
		for i, e := range records {
			if got := attest.Judge(e, any, both) == nil; got != told.counts(i) {
				t.Fatalf("record %d of %v: counts %v, want %v", i, told.events, got, told.counts(i))
			}
		}
		if (both.Halt != nil) != told.halted() {
			t.Fatalf("%v: halted %v", told.events, both.Halt)
		}

		// One of them is lost, spoiled or taken back: never more than that.
		other := attest.Copy{}
		how := rapid.SampledFrom([]string{"lost", "spoiled", "taken back", "of a removed key"}).Draw(t, "other")
		switch how {
		case "spoiled":
			c, err := attest.OpenStanding([]byte(`{"payload":"AAAA"}`), pub, any)
			if err != nil {
				t.Fatal(err)
			}
			other = c
		case "taken back":
			other = copyOf(t, states[rapid.IntRange(0, len(states)-1).Draw(t, "to")])
		case "of a removed key":
			other = good
			other.Trouble = &attest.Refusal{Reason: attest.BadSignature}
		}
		database, cluster := good, other
		if rapid.Bool().Draw(t, "database") {
			database, cluster = other, good
		}
		merged := attest.Merge(any, database, cluster)
		for i, e := range records {
			if attest.Judge(e, any, merged) == nil && !told.counts(i) {
				t.Fatalf("one copy %s: record %d of %v counts", how, i, told.events)
			}
		}
		if told.halted() && merged.Halt == nil {
			t.Fatalf("one copy %s: the halt of %v is gone", how, told.events)
		}
		if merged.Generation < now.Generation && len(told.events) > 0 {
			t.Fatalf("one copy %s: generation %d after %d", how, merged.Generation, now.Generation)
		}

		// Neither is believed: nothing counts, and a halt that is there stands.
		bad := good
		bad.Trouble = &attest.Refusal{Reason: attest.BadSignature}
		neither := attest.Merge(any, bad, attest.Copy{})
		for i, e := range records {
			if attest.Judge(e, any, neither) == nil {
				t.Fatalf("record %d counts without a standing", i)
			}
		}
		if told.halted() && neither.Halt == nil {
			t.Fatal("a halt of a removed key is gone")
		}
	})
}

// A standing stays small however long a release lives.
func TestStandingStaysBounded(t *testing.T) {
	s := attest.NewStanding(want)
	for i := range 1000 {
		s = s.Record(fmt.Sprint(i)).Halted(model.Halt{Shared: fmt.Sprint(i), Run: "r"}).Cleared()
	}
	if n := len(s.Counting) + len(s.Voided); n > 2*attest.KeepEvidence+2 {
		t.Errorf("%d entries", n)
	}
}

// A standing of another release, cluster or key is not believed, and neither
// is evidence in its place.
func TestStandingOfAnother(t *testing.T) {
	keys := folder(t)
	other := want
	other.Cluster = "other"
	envelope, err := attest.NewStanding(other).Halted(model.Halt{Reason: "x"}).Seal(keys)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		envelope []byte
		keys     []attest.Public
	}{
		"another cluster's": {envelope, public(t, keys)},
		"another key's":     {envelope, public(t, folder(t))},
		"evidence":          {seal(t, keys, evidenceOf(want, 1)), public(t, keys)},
		"nothing":           {nil, public(t, keys)},
	} {
		got, err := attest.OpenStanding(c.envelope, c.keys, want)
		if err != nil || got.Believed() || got.Halt != nil {
			t.Errorf("%s: believed %v, halt %v, %v", name, got.Believed(), got.Halt, err)
		}
	}
}

// A halt that was cleared in one place alone stands.
func TestHalfAClearing(t *testing.T) {
	halted := attest.NewStanding(want).Record(shared).Halted(model.Halt{Reason: "x"})
	for _, copies := range [][2]attest.Standing{{halted, halted.Cleared()}, {halted.Cleared(), halted}} {
		merged := attest.Merge(want, attest.Copy{Standing: copies[0], Found: true}, attest.Copy{Standing: copies[1], Found: true})
		if merged.Halt == nil {
			t.Error("half a clearing clears")
		}
	}
}
