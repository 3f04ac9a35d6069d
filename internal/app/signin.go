package app

import (
	"errors"
	"net/netip"
	"net/url"
	"time"

	"github.com/hubship/hubship/internal/clientaddr"
	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/server/signin"
)

// freshHere is how long the embedded forge's word about somebody holds: asking
// it costs a request within the machine.
const freshHere = 5 * time.Second

// entrance is how people get in to hubship's own pages.
type entrance struct {
	sessions *signin.Sessions
	public   string
	trusted  []netip.Prefix
}

// newEntrance makes the way in, through whatever forge there is.
func newEntrance(p *forgeRuntime, with deps) (*entrance, error) {
	e := &entrance{public: with.settings.PublicURL}
	var err error
	if e.trusted, err = clientaddr.ParsePrefixes(with.settings.TrustedProxies); err != nil {
		return nil, err
	}
	people, err := url.Parse(with.settings.PeopleURL())
	if err != nil {
		return nil, err
	}
	people = &url.URL{Scheme: people.Scheme, Host: people.Host}
	o := signin.Options{Keep: with.keep, URL: people, Name: with.settings.Name, Trusted: e.trusted, Log: with.log}
	if g := with.settings.GitHub; g != nil {
		err = e.throughGitHub(p, *g, &o)
	} else {
		err = e.throughEmbedded(p, with, &o)
	}
	if err == nil {
		e.sessions, err = signin.New(o)
	}
	return e, err
}

// throughGitHub lets people in with their account at GitHub.
func (e *entrance) throughGitHub(p *forgeRuntime, g install.GitHub, o *signin.Options) error {
	o.Title = "GitHub"
	if g.OAuth == nil {
		o.SetUp = "pass the client ID and a client secret of the GitHub App, or of an OAuth App, to `hubship up` with --github-oauth-client-id and --github-oauth-client-secret-file; its callback URL is " + o.URL.String() + signin.CallbackPath
		return nil
	}
	secret, err := install.ReadSecret(g.OAuth.ClientSecretFile)
	if err != nil {
		return err
	}
	client, ok := p.forge.(*github.Client)
	if !ok {
		return errors.New("sign in: the forge does not support the OAuth web flow")
	}
	way, err := client.SignIn(github.OAuthOptions{Web: g.Web(), ClientID: g.OAuth.ClientID, ClientSecret: secret})
	if err == nil {
		o.Forge = way
	}
	return err
}

// throughEmbedded lets people in with their account at the embedded forge, by
// the same flow.
func (e *entrance) throughEmbedded(p *forgeRuntime, with deps, o *signin.Options) error {
	secret, err := install.ReadSecret(with.paths.OAuthSecret)
	if err != nil {
		return err
	}
	way, err := p.local.client.SignIn(github.OAuthOptions{
		Web: o.URL.String() + "/forge", TokenWeb: p.local.base + "/forge", ClientID: devforge.ClientID, ClientSecret: secret, Transport: p.local.transport,
	})
	if err != nil {
		return err
	}
	o.Forge, o.Title, o.Fresh = way, "an account of the forge", freshHere
	return nil
}

// mount gives the server its way in.
func (e *entrance) mount(o *server.Options) {
	o.SignIn, o.PublicURL, o.Trusted = e.sessions, e.public, e.trusted
}
