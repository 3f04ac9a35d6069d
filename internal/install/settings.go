// Package install knows one installation of hubship on this machine: its
// settings, and where in its data directory everything lies.
package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hubship/hubship/internal/clientaddr"
	"github.com/hubship/hubship/internal/model"
)

// DefaultData is the data directory when neither --data nor HUBSHIP_DATA
// names another.
const DefaultData = "/var/lib/hubship"

// Settings are what `hubship up` was first told. They are kept in
// installation.json of the data directory and hold from then on.
type Settings struct {
	Version int    `json:"version"` // of this format: 1
	Name    string `json:"name"`    // tells installations on one machine apart; a DNS label
	Port    int    `json:"port"`    // HTTP port on the loopback

	// Exactly one of the two is set.
	Node    *Node    `json:"node,omitempty"`    // the embedded node
	Cluster *Cluster `json:"cluster,omitempty"` // an existing cluster in its place

	GitHub *GitHub `json:"github,omitempty"` // in place of the embedded forge

	Keys   *Keys   `json:"keys,omitempty"`   // what opens encrypted files
	Charts *Charts `json:"charts,omitempty"` // what charts may do beyond the usual
	// ProcessBranch is the branch whose tip says what the process is; empty: the
	// forge's default branch.
	ProcessBranch string `json:"processBranch,omitempty"`

	// PublicURL is where people reach the dashboard through a reverse proxy,
	// for the links in what is reported; empty for this machine alone.
	PublicURL string `json:"publicURL,omitempty"`

	// Outbound is what the server may reach beyond the Internet; nil: nothing.
	Outbound *Outbound `json:"outbound,omitempty"`
	// TrustedProxies are the addresses of reverse proxies, as ranges such as
	// 10.0.0.0/8, whose word about who their client is counts.
	TrustedProxies []string `json:"trustedProxies,omitempty"`
	// Hosts: the names of hubs stand in the machine's table of hosts.
	Hosts bool `json:"hosts,omitempty"`
}

// Node are the settings of the embedded node that a person may choose.
type Node struct {
	Bridge      string `json:"bridge"`      // name of its network interface, at most 15 bytes
	PodCIDR     string `json:"podCIDR"`     // addresses of pods, IPv4
	ServiceCIDR string `json:"serviceCIDR"` // addresses of Services, IPv4
	PortBase    int    `json:"portBase"`    // its ports on the loopback start here
}

// Cluster says where an existing cluster, registry and BuildKit are.
type Cluster struct {
	Kubeconfig string `json:"kubeconfig"` // absolute path
	Context    string `json:"context"`    // context within it; never the current one
	Registry   string `json:"registry"`   // host:port, may be followed by a path
	BuildKit   string `json:"buildkit"`   // unix:///… or tcp://…

	// RegistryCredentials is a docker configuration file with what the registry
	// wants; empty for the one of hubship's user.
	RegistryCredentials string `json:"registryCredentials,omitempty"`

	// Files for BuildKit over tcp://, which takes mutual TLS alone.
	BuildKitCA   string `json:"buildkitCA,omitempty"`
	BuildKitCert string `json:"buildkitCert,omitempty"`
	BuildKitKey  string `json:"buildkitKey,omitempty"`
}

// PortCount is how many ports from Node.PortBase on belong to a node.
const PortCount = 40

// RegistryOffset is the port of the node's registry, from its PortBase.
const RegistryOffset = 20

// Default returns the settings of an installation that was told nothing.
func Default() Settings {
	return Settings{
		Version: 1, Name: "default", Port: 8080,
		Node: &Node{Bridge: "hubship0", PodCIDR: "10.201.0.0/24", ServiceCIDR: "10.202.0.0/24", PortBase: 17400},
	}
}

var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$`)

// branchName keeps a branch readable in commands and messages; git refuses more.
var branchName = regexp.MustCompile(`^[A-Za-z0-9_][-A-Za-z0-9_.+/]{0,199}$`)

// Validate says everything that is wrong with the settings.
func (s Settings) Validate() error {
	errs := []error{s.wellFormed()}
	if s.Cluster != nil {
		errs = append(errs, s.Cluster.guarded()...)
	}
	return errors.Join(errs...)
}

// wellFormed says what keeps the settings from being understood. What an older
// hubship has stored has to pass, so that `hubship up` can put it right.
func (s Settings) wellFormed() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Version != 1 {
		bad("this hubship reads version 1 of the settings, not version %d", s.Version)
	}
	if !label.MatchString(s.Name) {
		bad("name %q: expected lower-case letters, digits and dashes, at most 32", s.Name)
	}
	if s.Port < 1 || s.Port > 65535 {
		bad("port %d: expected 1 to 65535", s.Port)
	}
	if s.ProcessBranch != "" && !branchName.MatchString(s.ProcessBranch) {
		bad("process-branch %q: expected the name of a branch", s.ProcessBranch)
	}
	if u, err := url.Parse(s.PublicURL); s.PublicURL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		bad("public-url %q: expected an address such as https://hubship.example.edu/", s.PublicURL)
	}
	if _, err := clientaddr.ParsePrefixes(s.TrustedProxies); err != nil {
		bad("trusted-proxy: %v", err)
	}
	switch {
	case s.Node != nil && s.Cluster != nil:
		bad("both an embedded node and an existing cluster are set: choose one")
	case s.Node != nil:
		errs = append(errs, s.Node.problems()...)
		if s.Port >= s.Node.PortBase && s.Port < s.Node.PortBase+PortCount {
			bad("port %d is one of the node's ports %d to %d", s.Port, s.Node.PortBase, s.Node.PortBase+PortCount-1)
		}
	case s.Cluster != nil:
		errs = append(errs, s.Cluster.problems()...)
	default:
		bad("neither an embedded node nor an existing cluster is set")
	}
	if s.GitHub != nil {
		errs = append(errs, s.GitHub.problems()...)
	}
	errs = append(errs, s.Keys.problems()...)
	errs = append(errs, s.Charts.problems()...)
	errs = append(errs, s.Outbound.problems()...)
	return errors.Join(errs...)
}

func (n *Node) problems() []error {
	var errs []error
	if n.Bridge == "" || len(n.Bridge) > 15 || strings.ContainsAny(n.Bridge, "/ :\t\n") {
		errs = append(errs, fmt.Errorf("bridge %q: expected an interface name of at most 15 bytes", n.Bridge))
	}
	pods, perr := ipv4Range("pod-cidr", n.PodCIDR)
	services, serr := ipv4Range("service-cidr", n.ServiceCIDR)
	errs = append(errs, perr, serr)
	if perr == nil && serr == nil && pods.Overlaps(services) {
		errs = append(errs, fmt.Errorf("pod-cidr %s and service-cidr %s overlap", pods, services))
	}
	if n.PortBase < 1024 || n.PortBase+PortCount > 32768 {
		errs = append(errs, fmt.Errorf("port-base %d: expected 1024 to %d, below the system's ephemeral ports", n.PortBase, 32768-PortCount))
	}
	return errs
}

func ipv4Range(name, value string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(value)
	if err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() > 26 || p.Bits() < 12 {
		return netip.Prefix{}, fmt.Errorf("%s %q: expected an IPv4 range between /12 and /26, such as 10.201.0.0/24", name, value)
	}
	return p, nil
}

func (c *Cluster) problems() []error {
	var errs []error
	need := func(flag, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("--%s is missing: an existing cluster needs --kubeconfig, --context, --registry and --buildkit", flag))
		}
	}
	need("kubeconfig", c.Kubeconfig)
	need("context", c.Context)
	need("registry", c.Registry)
	need("buildkit", c.BuildKit)
	if c.Kubeconfig != "" && !filepath.IsAbs(c.Kubeconfig) {
		errs = append(errs, fmt.Errorf("kubeconfig %q: expected an absolute path", c.Kubeconfig))
	}
	if strings.Contains(c.Registry, "://") {
		errs = append(errs, fmt.Errorf("registry %q: expected host:port without a scheme", c.Registry))
	}
	if c.BuildKit != "" && !strings.HasPrefix(c.BuildKit, "unix://") && !strings.HasPrefix(c.BuildKit, "tcp://") {
		errs = append(errs, fmt.Errorf("buildkit %q: expected unix:///path or tcp://host:port", c.BuildKit))
	}
	return errs
}

// NodeIP is the node's own address: the first of its pod range.
func (n *Node) NodeIP() string {
	p, err := netip.ParsePrefix(n.PodCIDR)
	if err != nil {
		return ""
	}
	return p.Masked().Addr().Next().String()
}

// Registry is the address that images are pushed to and pulled from.
func (s Settings) Registry() string {
	if s.Cluster != nil {
		return s.Cluster.Registry
	}
	return fmt.Sprintf("127.0.0.1:%d", s.Node.PortBase+RegistryOffset)
}

// Changed compares new settings with those of an existing installation and
// returns an error for each that cannot change any more.
func (s Settings) Changed(to Settings) error {
	var errs []error
	fixed := func(what, old, new string) {
		if old != new {
			errs = append(errs, fmt.Errorf("%s is %q and cannot become %q", what, old, new))
		}
	}
	fixed("name", s.Name, to.Name)
	// The copy on this machine is that of one forge: what was pushed there would be
	// lost at another.
	fixed("the forge", s.forge(), to.forge())
	switch {
	case (s.Node == nil) != (to.Node == nil):
		kind := func(s Settings) string {
			if s.Node != nil {
				return "the embedded node"
			}
			return "an existing cluster"
		}
		fixed("the cluster", kind(s), kind(to))
	case s.Node != nil:
		fixed("bridge", s.Node.Bridge, to.Node.Bridge)
		fixed("pod-cidr", s.Node.PodCIDR, to.Node.PodCIDR)
		fixed("service-cidr", s.Node.ServiceCIDR, to.Node.ServiceCIDR)
		fixed("port-base", fmt.Sprint(s.Node.PortBase), fmt.Sprint(to.Node.PortBase))
	case s.Cluster != nil && to.Cluster != nil:
		fixed("context", s.Cluster.Context, to.Cluster.Context)
	}
	if err := errors.Join(errs...); err != nil {
		return model.Usage(fmt.Errorf("the installation exists with other settings:\n%w", err),
			"omit these options, use another --data for a second installation, or start over after `hubship down --purge`")
	}
	return nil
}

func (s Settings) forge() string {
	if s.GitHub == nil {
		return "embedded"
	}
	return s.GitHub.Web() + "/" + s.GitHub.Repository
}

// Load reads the settings of the installation below the data directory. The
// error wraps fs.ErrNotExist when there is none.
func Load(data string) (Settings, error) {
	file := At(data).Settings
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, model.WithHint(fmt.Errorf("no installation in %s: %w", data, err),
			"bring one up with `hubship up`, or name the right data directory with --data or HUBSHIP_DATA")
	}
	if err != nil {
		return Settings{}, fmt.Errorf("read the installation's settings: %w", err)
	}
	var s Settings
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return Settings{}, model.WithHint(fmt.Errorf("read %s: %w", file, err), "repair the file; `hubship up` wrote it")
	}
	if err := s.wellFormed(); err != nil {
		return Settings{}, model.WithHint(fmt.Errorf("%s: %w", file, err), "repair the file; `hubship up` wrote it")
	}
	return s, nil
}

// Save writes the settings below the data directory, which it creates with
// mode 0700. The file is replaced in one step.
func Save(data string, s Settings) error {
	if err := s.Validate(); err != nil {
		return model.Usage(err, "see `hubship up --help`")
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("create the data directory: %w", err)
	}
	return writeJSON(At(data).Settings, s)
}

// writeJSON replaces a file in one step, so that a reader or a crash never
// sees half of it.
func writeJSON(file string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(tmp.Name())
	_, werr := tmp.Write(append(raw, '\n'))
	err = errors.Join(werr, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
