package check

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Checks that an older process left unfinished are read from what it recorded. A
// change of these names asks for a new version of the workflows.
func TestRecordedNames(t *testing.T) {
	for names, v := range map[string]any{
		"After Environment Failed Mends Nothing Problems Promotion Summary": policyResult{},
		"Blocked Failed Merged Problems Process Summary Work":               assessed{},
		"Images Merged Tests":          checkWork{},
		"Files Skipped Test":           testWork{},
		"Before Packages Source Users": imageWork{},
	} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(fields)), " "); got != names {
			t.Errorf("%T is recorded as %s, want %s", v, got, names)
		}
	}
}
