package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/app"
	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/node"
)

// upOptions are the options of `hubship up` that are not settings.
type upOptions struct {
	follow    bool
	timeout   time.Duration
	allowExec bool // a kubeconfig may have a program run for its credentials
}

// upFlags are the settings as given on the command line; only those that were
// given count.
type upFlags struct {
	name, bridge, podCIDR, serviceCIDR      string
	publicURL, processBranch                string
	trustedProxies                          []string
	hosts                                   bool
	port, portBase                          int
	kubeconfig, context, registry, buildkit string
	allowOutbound                           []string
	backend                                 upBackend
	github                                  upGitHub
}

// upGitHub are the settings of GitHub as given.
type upGitHub struct {
	repository, url, tokenFile, appID, appKeyFile, webhookSecretFile string
	oauthClientID, oauthClientSecretFile                             string
}

func (a *command) upCommand() *cobra.Command {
	var opts upOptions
	var given upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the installation up, or repair it",
		Long: `Up brings up a whole installation on this machine: a Kubernetes node, a registry,
an image builder, a forge with the Git repository of a staging and a prod
JupyterHub, and hubship itself. You can run it again at any time: it leaves alone
what is running and starts what is not.

The settings of the first run apply to all later ones, unless options are given
again. Before it changes anything, it checks the machine: Linux, root, free ports,
10 GiB of disk, 4 GiB of memory.

With --kubeconfig, --context, --registry and --buildkit it uses an existing
cluster, registry and builder instead of the embedded node. BuildKit over tcp://
requires mutual TLS: --buildkit-ca, --buildkit-cert and --buildkit-key.

Changes arrive as pull requests: at the embedded forge or, with --github, in your
repository on GitHub, with a GitHub App or a token; then no forge runs here.
Secrets are read from files, which others on the machine must not be able to read.
Without a webhook secret, GitHub needs no access to this machine: hubship then
finds changes within a minute.

People who may read the repository can open the dashboard. With the embedded
forge they sign in with their account there. With GitHub, give the client ID and a
client secret of the GitHub App, or of an OAuth App, whose callback URL is
/signin/callback below the address where people reach hubship; without them the
pages stay closed. The command line on this machine needs no session.`,
		Example: `  hubship up
  hubship up --port 9090
  hubship --data /srv/hubship-b up --name b --port 8090 --bridge hubshipb0 \
    --pod-cidr 10.203.0.0/24 --service-cidr 10.204.0.0/24 --port-base 18400
  hubship up --kubeconfig ~/.kube/config --context campus --registry registry.example.edu/hubs \
    --registry-credentials /etc/hubship/registry.json \
    --buildkit tcp://builder.example.edu:1234 --buildkit-ca /etc/hubship/buildkit/ca.pem \
    --buildkit-cert /etc/hubship/buildkit/cert.pem --buildkit-key /etc/hubship/buildkit/key.pem
  hubship up --github berkeley-dsep-infra/datahub --github-app-id 123456 \
    --github-app-key-file /etc/hubship/app.pem --github-webhook-secret-file /etc/hubship/webhook
  hubship up --github hubs/deployment --github-url https://github.example.edu/api/v3/ \
    --github-token-file /etc/hubship/token
  hubship up --public-url https://hubship.example.edu/ --trusted-proxy 10.0.0.0/8 \
    --github-oauth-client-id Iv1.0123456789abcdef --github-oauth-client-secret-file /etc/hubship/client`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, old, err := a.settings(cmd, given)
			if err != nil {
				return err
			}
			return a.up(cmd.Context(), settings, old, opts)
		},
	}
	def := install.Default()
	f := cmd.Flags()
	f.BoolVar(&opts.follow, "follow", true, "follow the first runs until the hubs answer")
	f.DurationVar(&opts.timeout, "timeout", 40*time.Minute, "give up waiting for the hubs after this long")
	f.StringVar(&given.name, "name", def.Name, "name of the installation on this machine")
	f.IntVar(&given.port, "port", def.Port, "HTTP port on the loopback interface")
	f.StringVar(&given.bridge, "bridge", def.Node.Bridge, "network interface of the embedded node")
	f.StringVar(&given.podCIDR, "pod-cidr", def.Node.PodCIDR, "address range of pods")
	f.StringVar(&given.serviceCIDR, "service-cidr", def.Node.ServiceCIDR, "address range of Services")
	f.IntVar(&given.portBase, "port-base", def.Node.PortBase, "first of the embedded node's ports on the loopback interface")
	f.StringVar(&given.kubeconfig, "kubeconfig", "", "kubeconfig of an existing cluster")
	f.StringVar(&given.context, "context", "", "context in that kubeconfig")
	f.StringVar(&given.registry, "registry", "", "registry of the existing cluster: host:port, optionally with a path")
	f.StringVar(&given.buildkit, "buildkit", "", "BuildKit to build with: unix:///path or tcp://host:port")
	f.BoolVar(&opts.allowExec, "allow-exec", false, "let the kubeconfig run a program to get credentials, with hubship's permissions")
	f.StringVar(&given.processBranch, "process-branch", "", "branch whose tip defines the process (default: the repository's default branch)")
	given.backend.flags(cmd)
	f.StringVar(&given.publicURL, "public-url", "", "where people reach the dashboard through a reverse proxy, for links in statuses and comments: https://HOST/")
	f.StringSliceVar(&given.allowOutbound, "allow-outbound", nil, "private address, range or host, optionally with a port, that changes and contributors may make the server contact; repeated or separated by commas, '' for none")
	f.BoolVar(&given.hosts, "hosts", false, "write the hubs' names below .localhost to "+install.HostsFile+", for programs other than browsers and curl; down --purge removes them")
	f.StringSliceVar(&given.trustedProxies, "trusted-proxy", nil, "addresses of the reverse proxies in front of hubship whose X-Forwarded headers count, such as 10.0.0.0/8")
	given.github.flags(cmd)
	for _, file := range append([]string{"kubeconfig", "github-oauth-client-secret-file", "github-token-file", "github-app-key-file", "github-webhook-secret-file"}, backendFlags...) {
		_ = cmd.MarkFlagFilename(file)
	}
	return cmd
}

func (g *upGitHub) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&g.repository, "github", "", "deployment repository on GitHub, OWNER/NAME, instead of the embedded forge")
	f.StringVar(&g.url, "github-url", "", "base URL of a GitHub Enterprise Server's API: https://HOST/api/v3/ (default: github.com)")
	f.StringVar(&g.tokenFile, "github-token-file", "", "file with a token of hubship's account on GitHub")
	f.StringVar(&g.appID, "github-app-id", "", "App ID or client ID of hubship's GitHub App, instead of a token")
	f.StringVar(&g.appKeyFile, "github-app-key-file", "", "file with the App's private key, PEM")
	f.StringVar(&g.webhookSecretFile, "github-webhook-secret-file", "", "file with the secret that GitHub signs deliveries to /hooks/github with")
	f.StringVar(&g.oauthClientID, "github-oauth-client-id", "", "client ID of the GitHub App or OAuth App that people sign in with")
	f.StringVar(&g.oauthClientSecretFile, "github-oauth-client-secret-file", "", "file with a client secret of that App")
}

// settings merges what was given with what an earlier `up` stored. old is nil
// for the first one.
func (a *command) settings(cmd *cobra.Command, given upFlags) (now install.Settings, old *install.Settings, err error) {
	now = install.Default()
	stored, err := install.Load(a.data)
	switch {
	case err == nil:
		old = &stored
		now = stored
		if stored.Node != nil {
			n := *stored.Node
			now.Node = &n
		}
		if stored.Cluster != nil {
			c := *stored.Cluster
			now.Cluster = &c
		}
		if stored.GitHub != nil {
			g := *stored.GitHub
			if g.App != nil {
				app := *g.App
				g.App = &app
			}
			if g.OAuth != nil {
				o := *g.OAuth
				g.OAuth = &o
			}
			now.GitHub = &g
		}
	case !errors.Is(err, fs.ErrNotExist):
		return now, nil, err
	}
	if err := given.apply(cmd.Flags().Changed, &now); err != nil {
		return now, nil, err
	}
	if err := now.Validate(); err != nil {
		return now, nil, model.Usage(err, "see `hubship up --help`")
	}
	if old != nil {
		if err := old.Changed(now); err != nil {
			return now, nil, err
		}
	}
	if now.Cluster != nil {
		if err := now.Cluster.CheckFiles(); err != nil {
			return now, nil, model.Usage(err, "name files that exist and that only their owner can read: mode 0600")
		}
	}
	if now.GitHub != nil {
		if err := now.GitHub.Check(); err != nil {
			return now, nil, model.Usage(err, "write the secret to a file that only its owner can read: mode 0600")
		}
	}
	return now, old, nil
}

func (g upFlags) apply(changed func(string) bool, s *install.Settings) error {
	set := func(flag string, to *string, value string) {
		if changed(flag) {
			*to = value
		}
	}
	set("name", &s.Name, g.name)
	set("public-url", &s.PublicURL, g.publicURL)
	set("process-branch", &s.ProcessBranch, g.processBranch)
	if changed("allow-outbound") {
		s.Outbound = nil
		if len(g.allowOutbound) > 0 {
			s.Outbound = &install.Outbound{Allow: g.allowOutbound}
		}
	}
	if changed("hosts") {
		s.Hosts = g.hosts
	}
	if changed("trusted-proxy") {
		s.TrustedProxies = slices.DeleteFunc(slices.Clone(g.trustedProxies), func(p string) bool { return p == "" })
	}
	if err := g.github.apply(changed, s); err != nil {
		return err
	}
	if changed("port") {
		s.Port = g.port
	}
	ofNode := changed("bridge") || changed("pod-cidr") || changed("service-cidr") || changed("port-base")
	ofCluster := changed("kubeconfig") || changed("context") || changed("registry") || changed("buildkit") || slices.ContainsFunc(backendFlags, changed)
	if ofNode && ofCluster {
		return model.Usage(errors.New("options of the embedded node and of an existing cluster were given together"), "choose one of the two")
	}
	if ofCluster && s.Cluster == nil {
		s.Node, s.Cluster = nil, &install.Cluster{}
	}
	if ofNode && s.Node == nil {
		s.Node, s.Cluster = install.Default().Node, nil
	}
	if n := s.Node; n != nil {
		set("bridge", &n.Bridge, g.bridge)
		set("pod-cidr", &n.PodCIDR, g.podCIDR)
		set("service-cidr", &n.ServiceCIDR, g.serviceCIDR)
		if changed("port-base") {
			n.PortBase = g.portBase
		}
	}
	if c := s.Cluster; c != nil {
		file, err := filepath.Abs(g.kubeconfig)
		if err != nil {
			return model.Usage(fmt.Errorf("--kubeconfig %q: %w", g.kubeconfig, err), "name a file")
		}
		if g.kubeconfig != "" {
			set("kubeconfig", &c.Kubeconfig, file)
		}
		set("context", &c.Context, g.context)
		set("registry", &c.Registry, g.registry)
		set("buildkit", &c.BuildKit, g.buildkit)
		if err := g.backend.apply(changed, c); err != nil {
			return err
		}
	}
	return nil
}

// apply sets what was given about GitHub. A token replaces an App, and an App a
// token.
func (g upGitHub) apply(changed func(string) bool, s *install.Settings) error {
	flags := []string{"github", "github-url", "github-token-file", "github-app-id", "github-app-key-file", "github-webhook-secret-file", "github-oauth-client-id", "github-oauth-client-secret-file"}
	if !slices.ContainsFunc(flags, changed) {
		return nil
	}
	if s.GitHub == nil {
		if !changed("github") {
			return model.Usage(errors.New("GitHub options were given without --github"), "name the repository: --github OWNER/NAME")
		}
		s.GitHub = &install.GitHub{}
	}
	to := s.GitHub
	asApp, asToken := changed("github-app-id") || changed("github-app-key-file"), changed("github-token-file")
	if asToken && !asApp {
		to.App = nil
	}
	if asApp && !asToken {
		to.TokenFile = ""
	}
	if asApp && to.App == nil {
		to.App = &install.GitHubApp{}
	}
	set := func(flag string, field *string, value string) {
		if changed(flag) {
			*field = value
		}
	}
	set("github", &to.Repository, g.repository)
	set("github-url", &to.URL, g.url)
	for flag, file := range map[string]*string{"github-token-file": &g.tokenFile, "github-app-key-file": &g.appKeyFile, "github-webhook-secret-file": &g.webhookSecretFile, "github-oauth-client-secret-file": &g.oauthClientSecretFile} {
		if *file == "" {
			continue // as it is, or taken away
		}
		abs, err := filepath.Abs(*file)
		if err != nil {
			return model.Usage(fmt.Errorf("--%s %q: %w", flag, *file, err), "name a file")
		}
		*file = abs
	}
	set("github-token-file", &to.TokenFile, g.tokenFile)
	if asApp {
		set("github-app-id", &to.App.ID, g.appID)
		set("github-app-key-file", &to.App.KeyFile, g.appKeyFile)
	}
	set("github-webhook-secret-file", &to.WebhookSecretFile, g.webhookSecretFile)
	if changed("github-oauth-client-id") || changed("github-oauth-client-secret-file") {
		if to.OAuth == nil {
			to.OAuth = &install.GitHubOAuth{}
		}
		set("github-oauth-client-id", &to.OAuth.ClientID, g.oauthClientID)
		set("github-oauth-client-secret-file", &to.OAuth.ClientSecretFile, g.oauthClientSecretFile)
		if *to.OAuth == (install.GitHubOAuth{}) {
			to.OAuth = nil // both were given empty: nobody signs in any more
		}
	}
	return nil
}

// up runs the phases of `hubship up` in order.
func (a *command) up(ctx context.Context, s install.Settings, old *install.Settings, opts upOptions) error {
	begin := time.Now()
	var launcher *node.Launcher
	if s.Node != nil {
		var err error
		if launcher, err = node.Find(s, a.data); err != nil {
			return err
		}
	}
	if s.GitHub == nil {
		if _, err := devforge.Find(); err != nil {
			return err
		}
	}
	phase := a.term.Phase("check the machine")
	if err := a.preflight(ctx, s, launcher); err != nil {
		phase.Fail("")
		return err
	}
	phase.Done("")
	if err := install.Save(a.data, s); err != nil {
		return err
	}
	if err := os.MkdirAll(install.At(a.data).Logs, 0o700); err != nil {
		return fmt.Errorf("create the folder for logs: %w", err)
	}
	if launcher != nil {
		if err := a.upNode(ctx, launcher); err != nil {
			return err
		}
	}
	if err := app.RegisterLocal(a.data, s, opts.allowExec); err != nil {
		return err
	}
	// The server reads its settings when it starts.
	restart := old != nil && !reflect.DeepEqual(*old, s)
	_, none := os.Stat(install.At(a.data).ForgePassword)
	if err := a.upServer(ctx, s, restart); err != nil {
		return err
	}
	separated := old != nil && errors.Is(none, fs.ErrNotExist)
	if opts.follow {
		waiting, cancel := context.WithTimeout(ctx, opts.timeout)
		defer cancel()
		if err := a.waitForHubs(waiting, s); err != nil {
			return err
		}
	}
	return a.summary(ctx, s, time.Since(begin), separated)
}

// upNode attaches to the embedded node or starts it, and waits until it is
// ready; each of the supervisor's steps is shown as a phase. A node that is on
// its way down or has given up is ended first.
func (a *command) upNode(ctx context.Context, l *node.Launcher) error {
	now, err := l.Client().Status(ctx)
	switch {
	case err == nil && now.Phase != node.Failed && now.Phase != node.Stopping:
		_, err := l.Wait(ctx, nil, a.showSteps())
		return err
	case err == nil:
		phase := a.term.Phase("stop the embedded node, which is " + now.Phase)
		if err := l.Stop(ctx, func(node.Status) {}); err != nil {
			phase.Fail("")
			return err
		}
		phase.Done(now.Error)
	case !errors.Is(err, node.ErrNotRunning):
		return err
	}
	started, err := l.Start()
	if err != nil {
		return err
	}
	_, err = l.Wait(ctx, started, a.showSteps())
	return err
}
