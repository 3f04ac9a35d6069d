// Package access says who may do what at hubship's own pages and API. It is one
// table and one pure function: every route names its action, and the pages of
// the documentation show the same table.
package access

import (
	"time"

	"github.com/hubship/hubship/internal/forge"
)

// Action is something that somebody may want of hubship.
type Action string

// The actions. A route has exactly one of them.
const (
	Public     Action = "see that hubship is running"
	Enter      Action = "sign in or out"
	Foreign    Action = "use what has its own sign-in"
	SeeStatus  Action = "see the dashboard"
	SeeChecks  Action = "see checks of pull requests"
	SeeDeploys Action = "see plans and logs of deploys"
	Deploy     Action = "deploy"
	Verify     Action = "verify"
	RollBack   Action = "roll back"
	Promote    Action = "promote"
	Resume     Action = "resume"
	Cancel     Action = "cancel"
	Revert     Action = "revert"
	Accounts   Action = "accounts"
)

// Row is one line of the table.
type Row struct {
	Action Action
	What   string // it comprises, for people
	// Everybody may, signed in or not. Otherwise Least is what somebody has to
	// have on the deployment repository; empty is nobody, over the HTTP port.
	Everybody bool
	Least     forge.Permission
}

// Table is the whole rule. Who comes over the Unix socket is the operator of
// this machine, and may do everything.
var Table = []Row{
	{Action: Public, What: "health without details of the installation, styles and icons", Everybody: true},
	{Action: Enter, What: "the pages for signing in and out", Everybody: true},
	{Action: Foreign, What: "the embedded forge (`/forge/`, `/api/v3/`, `/git/`), signed webhooks, hubs under their own names", Everybody: true},
	{Action: SeeStatus, What: "environments, hubs, evidence, halts, the list of runs, a run without its logs", Least: forge.Read},
	{Action: SeeChecks, What: "plans, logs and tests of pull requests' checks", Least: forge.Read},
	{Action: SeeDeploys, What: "plans and logs of deploys, verifications and rollbacks, with the last lines of pods; the records of evidence themselves", Least: forge.Write},
	{Action: Deploy, What: "`hubship deploy`"},
	{Action: Verify, What: "`hubship verify`"},
	{Action: RollBack, What: "`hubship rollback`"},
	{Action: Promote, What: "`hubship promote`"},
	{Action: Resume, What: "`hubship resume`"},
	{Action: Cancel, What: "`hubship cancel`"},
	{Action: Revert, What: "`hubship revert`"},
	{Action: Accounts, What: "`hubship account`: list, add, change, disable"},
}

// Find returns the row of an action; ok is false when there is none.
func Find(a Action) (row Row, ok bool) {
	for _, r := range Table {
		if r.Action == a {
			return r, true
		}
	}
	return Row{}, false
}

// How long an answer of the forge about somebody's permission holds.
const (
	// Fresh is when it is asked again.
	Fresh = time.Minute
	// Patience is how long the last answer lets somebody go on reading while
	// the forge does not answer. After that it is not known what they may do.
	Patience = 15 * time.Minute
)

// Who is behind a request, as far as is known. The zero value is nobody.
type Who struct {
	Local    bool // over the Unix socket
	SignedIn bool
	// Permission is what the forge said last, Age ago.
	Permission forge.Permission
	Age        time.Duration
}

// Verdict is what the rule says.
type Verdict string

// The verdicts. Only Allowed lets anything happen.
const (
	Allowed   Verdict = "allowed"
	SignFirst Verdict = "sign in first"
	TooLittle Verdict = "the account may not do this"
	HereOnly  Verdict = "over the Unix socket only"
	NotKnown  Verdict = "the forge does not say what the account may do"
)

// Decide says whether somebody may do something. What the table does not name,
// nobody may.
func Decide(who Who, a Action) Verdict {
	row, ok := Find(a)
	switch {
	case !ok:
		return TooLittle
	case who.Local || row.Everybody:
		return Allowed
	case row.Least == "":
		return HereOnly
	case !who.SignedIn:
		return SignFirst
	case who.Age < 0 || who.Age > Patience:
		return NotKnown
	case row.Least == forge.None || !who.Permission.Includes(row.Least):
		return TooLittle
	}
	return Allowed
}
