package cli

import (
	"context"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/term"
)

// upResult is the result of `hubship up -o json`.
type upResult struct {
	Dashboard    string `json:"dashboard"`
	SignIn       string `json:"signIn,omitempty"`       // what people sign in to it with; empty when nobody can yet
	Forge        string `json:"forge"`                  // where the repository and its pull requests are
	Repository   string `json:"repository"`             // clone URL without credentials
	TokenFile    string `json:"tokenFile,omitempty"`    // a password of the clone URL, for programs; people have accounts. Empty for GitHub
	User         string `json:"user,omitempty"`         // account of the try-out's hubs
	PasswordFile string `json:"passwordFile,omitempty"` // its password
	// The embedded forge's first person, and its first password: another one.
	ForgeUser         string `json:"forgeUser,omitempty"`
	ForgePasswordFile string `json:"forgePasswordFile,omitempty"`
	// ForgePasswordNew: an older hubship had given the forge the hubs' password,
	// and this `up` has replaced it.
	ForgePasswordNew bool       `json:"forgePasswordNew,omitempty"`
	Hubs             []upHub    `json:"hubs"`
	Data             string     `json:"data"`
	Took             float64    `json:"seconds"`
	Problems         []string   `json:"problems,omitempty"`
	Halted           []upHalted `json:"halted,omitempty"`
	// Hosts: the hubs' names stand in the machine's table of hosts.
	Hosts bool `json:"hosts"`
}

type upHub struct {
	Hub         string `json:"hub"`
	Environment string `json:"environment"`
	URL         string `json:"url"`
}

type upHalted struct {
	Hub         string `json:"hub"`
	Environment string `json:"environment"`
	Reason      string `json:"reason"`
}

// tryoutUser is the first person of the forge, and somebody at the try-out's
// hubs, where one password is everybody's.
const tryoutUser = "admin"

// summary prints the addresses to open and the accounts to use. separated says
// that the forge has a password of its own since now.
func (a *command) summary(ctx context.Context, s install.Settings, took time.Duration, separated bool) error {
	st, err := a.server().Status(ctx)
	if err != nil {
		return err
	}
	paths := install.At(a.data)
	res := upResult{Dashboard: s.PeopleURL(), SignIn: signInWith(s), Forge: s.ForgeURL(), Repository: s.CloneURL(), Data: a.data, Took: took.Seconds(), Problems: st.Problems, Hubs: []upHub{}, Hosts: s.Hosts}
	if s.GitHub == nil {
		res.TokenFile = paths.GitToken
	}
	if st.Forge != nil && st.Forge.Trouble != "" {
		res.Problems = append(res.Problems, "the forge cannot be read: "+st.Forge.Trouble)
	}
	for _, e := range st.Environments {
		for _, r := range e.Releases {
			res.Hubs = append(res.Hubs, upHub{r.Observed.Target.Hub, e.Name, r.URL})
			if r.Halt != nil {
				res.Halted = append(res.Halted, upHalted{r.Observed.Target.Hub, e.Name, r.Halt.Reason})
			}
		}
	}
	if err := setHosts(s, res.Hubs); err != nil {
		res.Problems = append(res.Problems, err.Error())
	}
	password, err := os.ReadFile(paths.Password)
	if err == nil {
		res.User, res.PasswordFile = tryoutUser, paths.Password
	}
	ofForge, err := os.ReadFile(paths.ForgePassword)
	if err == nil && s.GitHub == nil {
		res.ForgeUser, res.ForgePasswordFile, res.ForgePasswordNew = tryoutUser, paths.ForgePassword, separated
	}
	if a.term.JSONOutput() {
		return a.term.JSON(res)
	}
	a.printSummary(res, strings.TrimSpace(string(password)), strings.TrimSpace(string(ofForge)))
	return nil
}

// setHosts keeps the names of hubs in the machine's table of hosts, or out of it.
// Those of a domain of one's own are left to DNS.
func setHosts(s install.Settings, hubs []upHub) error {
	var names []string
	for _, h := range hubs {
		if u, err := url.Parse(h.URL); s.Hosts && err == nil && strings.HasSuffix(u.Hostname(), ".localhost") {
			names = append(names, u.Hostname())
		}
	}
	return install.SetHosts(install.HostsFile, s.Name, names)
}

// signInWith is what people sign in to the dashboard with.
func signInWith(s install.Settings) string {
	switch {
	case s.GitHub == nil:
		return "an account of the forge"
	case s.GitHub.OAuth != nil:
		return "a GitHub account"
	}
	return ""
}

func (a *command) printSummary(res upResult, password, ofForge string) {
	a.term.Printf("\n%s (%s)\n\n", a.term.Good("hubship is up"), term.Duration(time.Duration(res.Took*float64(time.Second))))
	row := func(name, text string) { a.term.Printf("  %-22s %s\n", name, text) }
	row("dashboard", res.Dashboard)
	switch {
	case res.SignIn == "":
		row("", "nobody can sign in yet: pass --github-oauth-client-id and --github-oauth-client-secret-file to "+program()+" up")
	default:
		row("", "sign in with "+res.SignIn)
	}
	row("pull requests", res.Forge)
	for _, h := range res.Hubs {
		row("hub "+h.Hub+" "+h.Environment, h.URL)
	}
	if local := func(h upHub) bool { return strings.Contains(h.URL, ".localhost") }; !res.Hosts && slices.ContainsFunc(res.Hubs, local) {
		row("", "browsers and curl resolve these names; for other programs: "+program()+" up --hosts"+a.dataFlag())
	}
	login := func(to, user, password, flag string) {
		switch {
		case user == "":
		case a.term.OutputIsTerminal():
			a.term.Reveal("  %-22s user %s, password %s\n", "log in to "+to, user, password)
		default:
			row("log in to "+to, "user "+user+", password: "+program()+" status "+flag+a.dataFlag())
		}
	}
	login("the hubs", res.User, password, "--show-password")
	login("the forge", res.ForgeUser, ofForge, "--show-forge-password")
	if res.ForgePasswordNew {
		row("", "this password is new: until now the forge had the hubs' password, which everybody on a hub knows")
	}
	row("clone", "git clone "+res.Repository)
	if res.TokenFile != "" {
		row("", "with an account's token as the password: "+program()+" account token LOGIN"+a.dataFlag())
		row("more accounts", program()+" account add LOGIN"+a.dataFlag())
	}
	for _, h := range res.Halted {
		a.term.Printf("  %s hub %s in %s: %s\n", a.term.Bad("halted:"), h.Hub, h.Environment, h.Reason)
	}
	for _, p := range res.Problems {
		a.term.Printf("  %s %s\n", a.term.Bad("problem:"), p)
	}
	a.term.Printf("\n  Next: %s, or %s\n", a.term.Strong(program()+" demo"+a.dataFlag()), a.term.Strong(program()+" status"+a.dataFlag()))
}

// program is how the person called this program.
func program() string {
	if len(os.Args) > 0 && strings.HasSuffix(os.Args[0], "hubship") {
		return os.Args[0]
	}
	return "hubship"
}

// dataFlag is what has to be added to a command for this installation.
func (a *command) dataFlag() string {
	if a.data == install.DefaultData || os.Getenv("HUBSHIP_DATA") == a.data {
		return ""
	}
	return " --data " + a.data
}
