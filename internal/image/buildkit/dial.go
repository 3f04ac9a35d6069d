package buildkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/moby/buildkit/client"

	"github.com/hubship/hubship/internal/model"
)

// TLS has the files, PEM each, with which hubship and a BuildKit elsewhere know
// each other.
type TLS struct {
	CA   string // authority of BuildKit's certificate
	Cert string // hubship's own certificate
	Key  string // its private key
}

// reachable says what is wrong with the way to BuildKit. Whoever may use
// BuildKit runs what they like on its machine, and whoever stands in its place
// is handed the registry's credentials: over a network both show a certificate,
// and a socket belongs to root or hubship's own user.
func (o Options) reachable() error {
	u, err := url.Parse(o.Address)
	if err != nil || (u.Scheme != "unix" && u.Scheme != "tcp") || (u.Path == "" && u.Host == "") {
		return fmt.Errorf("BuildKit address %q: want unix:///PATH or tcp://HOST:PORT", o.Address)
	}
	if u.Scheme == "unix" {
		if o.TLS != (TLS{}) {
			return fmt.Errorf("BuildKit address %q: certificates are only for tcp://", o.Address)
		}
		return nil
	}
	var missing []string
	for _, f := range []struct{ name, file string }{{"--buildkit-ca", o.TLS.CA}, {"--buildkit-cert", o.TLS.Cert}, {"--buildkit-key", o.TLS.Key}} {
		if f.file == "" {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return model.WithHint(fmt.Errorf("BuildKit at %s requires mutual TLS: %s is missing; without it anybody on the network path could build images and read the registry's credentials", o.Address, strings.Join(missing, ", ")),
			"start buildkitd with --tlscacert, --tlscert and --tlskey, and run `hubship up` with --buildkit-ca, --buildkit-cert and --buildkit-key; or use unix://")
	}
	return nil
}

// dialOptions are those of BuildKit's client. The files are read now, so that
// what is wrong with them is said before the first build.
func (o Options) dialOptions() ([]client.ClientOpt, error) {
	u, err := url.Parse(o.Address)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "unix" {
		return []client.ClientOpt{client.WithContextDialer(dialSocket)}, nil
	}
	if err := o.TLS.check(); err != nil {
		return nil, model.WithHint(fmt.Errorf("BuildKit at %s: %w", o.Address, err), "--buildkit-ca, --buildkit-cert and --buildkit-key must name PEM files; only hubship may be able to read the key")
	}
	return []client.ClientOpt{
		client.WithServerConfig(u.Hostname(), o.TLS.CA),
		client.WithCredentials(o.TLS.Cert, o.TLS.Key),
	}, nil
}

// check reads the files once.
func (t TLS) check() error {
	ca, err := os.ReadFile(t.CA)
	if err != nil {
		return fmt.Errorf("read the CA certificate: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(ca) {
		return fmt.Errorf("%s does not contain a certificate", t.CA)
	}
	info, err := os.Stat(t.Key)
	if err != nil {
		return fmt.Errorf("read the private key: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("everybody can read the private key %s (mode %04o): chmod 600 %s", t.Key, info.Mode().Perm(), t.Key)
	}
	if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
		return fmt.Errorf("certificate %s and key %s: %w", t.Cert, t.Key, err)
	}
	return nil
}

// dialSocket connects to a socket that others can neither have made nor open.
func dialSocket(ctx context.Context, address string) (net.Conn, error) {
	path := strings.TrimPrefix(address, "unix://")
	if err := trusted(path); err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, "unix", path)
}

// trusted looks at the socket's owner and mode.
func trusted(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("the owner of " + path + " is unknown")
	}
	return judgeSocket(path, info.Mode(), int(owner.Uid), os.Geteuid())
}

// judgeSocket decides about a socket by its mode and owner.
func judgeSocket(path string, mode os.FileMode, owner, self int) error {
	switch {
	case mode.Type() != os.ModeSocket:
		return fmt.Errorf("%s is not a socket", path)
	case owner != 0 && owner != self:
		return model.WithHint(fmt.Errorf("BuildKit's socket %s belongs to user %d, who could read what hubship sends there", path, owner), "run BuildKit as root or as hubship's user")
	case mode.Perm()&0o002 != 0: // connecting takes the right to write
		return model.WithHint(fmt.Errorf("everybody on this machine can use BuildKit's socket %s (mode %04o)", path, mode.Perm()), "chmod 660 "+path)
	}
	return nil
}
