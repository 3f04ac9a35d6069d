package access

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/forge"
)

var permissions = []forge.Permission{forge.None, forge.Read, forge.Triage, forge.Write, forge.Maintain, forge.Admin}

// The documentation shows the table that decides.
func TestDocumentation(t *testing.T) {
	var b strings.Builder
	b.WriteString("| action | comprises | nobody | none | read | triage | write | maintain | admin | on the machine |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, row := range Table {
		cell := func(who Who) string {
			if Decide(who, row.Action) == Allowed {
				return "yes"
			}
			return "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", row.Action, row.What, cell(Who{}))
		for _, p := range permissions {
			fmt.Fprintf(&b, " %s |", cell(Who{SignedIn: true, Permission: p}))
		}
		fmt.Fprintf(&b, " %s |\n", cell(Who{Local: true}))
	}
	page, err := os.ReadFile("../../../docs/security/signin.md")
	if os.IsNotExist(err) {
		page, err = os.ReadFile("../../../docs/security.md")
	}
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), b.String()) {
		t.Errorf("the documentation lacks the table:\n%s", b.String())
	}
}

// What holds of the rule, for any asker and any action: nothing changes over
// the port, nobody sees without a session, more permission is never less, and
// knowledge that is old or from the future is none.
func TestDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		actions := []Action{"something new", ""}
		for _, r := range Table {
			actions = append(actions, r.Action)
		}
		a := rapid.SampledFrom(actions).Draw(t, "action")
		row, known := Find(a)
		p := rapid.SampledFrom(append(permissions, "owner", "")).Draw(t, "permission")
		who := Who{SignedIn: rapid.Bool().Draw(t, "signed in"), Permission: p, Age: time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "age"))}
		got := Decide(who, a) == Allowed
		switch a {
		case Deploy, Verify, RollBack, Promote, Resume, Cancel, Revert, Accounts:
			if got {
				t.Fatalf("%s over the port, as %+v", a, who)
			}
		}
		may := known && (row.Everybody || who.SignedIn && p.Includes(forge.Read) && row.Least != "" && p.Includes(row.Least) && who.Age >= 0 && who.Age <= Patience)
		if got != may {
			t.Fatalf("%s as %+v is %v", a, who, got)
		}
		for i := range permissions[1:] {
			less, more := who, who
			less.Permission, more.Permission = permissions[i], permissions[i+1]
			if Decide(less, a) == Allowed && Decide(more, a) != Allowed {
				t.Fatalf("%s may %s, %s may not", less.Permission, a, more.Permission)
			}
		}
		if known != (Decide(Who{Local: true}, a) == Allowed) {
			t.Fatalf("on the machine: %s", a)
		}
	})
}
