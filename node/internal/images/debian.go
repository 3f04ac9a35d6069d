package images

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The Debian base image, under the name that Dockerfiles use.
const (
	DebianRepository = "library/debian"
	DebianTag        = "bookworm-slim"
	debianSuite      = "bookworm"
)

// bundle is where Debian keeps all trusted certificates, on the machine and in
// the image.
const bundle = "/etc/ssl/certs/ca-certificates.crt"

// Debian says how to make the base image.
type Debian struct {
	// WorkDir takes the archive while it is made; the caller makes it.
	WorkDir string
	// Log takes the output of mmdebstrap.
	Log *os.File
	// Env is the environment of mmdebstrap.
	Env []string
	// Start starts mmdebstrap: inside the node's namespaces it ends with the
	// node, and its mounts with it.
	Start func(*exec.Cmd) error
}

// PushDebian makes a minimal Debian from the machine's own package sources and
// pushes it as docker.io's debian image would be called. The machine's own
// certificate authorities come along, because package downloads inside a build
// pass the same proxies as the machine's.
func (r *Registry) PushDebian(ctx context.Context, d Debian) error {
	if err := os.MkdirAll(d.WorkDir, 0o755); err != nil {
		return fmt.Errorf("build the Debian base image: %w", err)
	}
	defer func() { _ = os.RemoveAll(d.WorkDir) }()
	archive, hasOwn, err := bootstrap(ctx, d)
	if err != nil {
		return fmt.Errorf("build the Debian base image: %w", err)
	}
	layer, err := tarball.LayerFromFile(archive, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
	if err != nil {
		return fmt.Errorf("build the Debian base image: %w", err)
	}
	image, err := assemble(layer, v1.Config{
		Cmd: []string{"/bin/bash"},
		Env: debianEnv(hasOwn),
	}, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return fmt.Errorf("build the Debian base image: %w", err)
	}
	return r.push(ctx, DebianRepository, DebianTag, image)
}

// debianEnv is the image's environment. Programs that bring their own list of
// authorities are pointed to the system's when the machine has some to add.
func debianEnv(hasOwn bool) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if !hasOwn {
		return env
	}
	for _, key := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"} {
		env = append(env, key+"="+bundle)
	}
	return env
}

// bootstrap runs mmdebstrap and returns the archive's path, and whether the
// machine has authorities of its own.
func bootstrap(ctx context.Context, d Debian) (archive string, hasOwn bool, err error) {
	sources, err := debianSources("/etc/apt")
	if err != nil {
		return "", false, err
	}
	list := filepath.Join(d.WorkDir, "debian.sources")
	if err := os.WriteFile(list, []byte(sources), 0o644); err != nil {
		return "", false, err
	}
	archive = filepath.Join(d.WorkDir, "debian.tar")
	args := []string{
		"--variant=minbase", "--mode=root", "--format=tar",
		"--include=ca-certificates",
		// An image that was not finished is not used: there is nothing to save
		// from a power cut, here and in builds.
		"--dpkgopt=force-unsafe-io",
		`--aptopt=APT::Install-Recommends "false"`,
		`--aptopt=Acquire::Languages "none"`,
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-include=/usr/share/locale/locale.alias",
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-include=/usr/share/doc/*/copyright",
	}
	for _, option := range aptOptions(ctx) {
		args = append(args, "--aptopt="+option)
	}
	own, err := ownAuthorities(d.WorkDir)
	if err != nil {
		return "", false, err
	}
	if len(own) > 0 {
		args = append(args,
			"--customize-hook=copy-in "+strings.Join(own, " ")+" /usr/local/share/ca-certificates",
			`--customize-hook=chroot "$1" update-ca-certificates`)
	}
	args = append(args, debianSuite, archive, list)
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(d.Env, "TMPDIR="+d.WorkDir), d.Log, d.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	err = d.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", false, fmt.Errorf("run mmdebstrap: %w; its output is in %s", err, d.Log.Name())
	}
	return archive, len(own) > 0, nil
}

// debianSources picks Debian's own archives from the machine's apt sources.
// Other vendors' archives have no place in a base image.
func debianSources(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*.sources"))
	if err != nil {
		return "", err
	}
	var stanzas []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read apt's sources: %w", err)
		}
		for _, stanza := range strings.Split(string(data), "\n\n") {
			if isDebianStanza(stanza) {
				stanzas = append(stanzas, withoutComments(stanza))
			}
		}
	}
	if len(stanzas) > 0 {
		return strings.Join(stanzas, "\n") + "\n", nil
	}
	lines, err := debianLines(dir)
	if err != nil {
		return "", err
	}
	if len(lines) == 0 {
		return "", fmt.Errorf("no source for Debian's %s in %s; add the line \"deb URL %s main\" of a Debian mirror to sources.list", debianSuite, dir, debianSuite)
	}
	return strings.Join(lines, "\n") + "\n", nil
}

func isDebianStanza(stanza string) bool {
	fields := map[string]string{}
	for _, line := range strings.Split(stanza, "\n") {
		if key, value, found := strings.Cut(line, ":"); found && !strings.HasPrefix(line, "#") {
			fields[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return strings.Contains(fields["uris"], "debian") && !strings.EqualFold(fields["enabled"], "no") &&
		hasWord(fields["types"], "deb") && strings.Contains(fields["suites"], debianSuite)
}

func hasWord(text, word string) bool {
	for _, field := range strings.Fields(text) {
		if field == word {
			return true
		}
	}
	return false
}

func withoutComments(stanza string) string {
	var lines []string
	for _, line := range strings.Split(stanza, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// debianLines picks the one-line sources.
func debianLines(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*.list"))
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, file := range append([]string{filepath.Join(dir, "sources.list")}, files...) {
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt's sources: %w", err)
		}
		for _, line := range strings.Split(string(data), "\n") {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "deb ") && strings.Contains(line, "debian") && strings.Contains(line, " "+debianSuite) {
				lines = append(lines, line)
			}
		}
	}
	return lines, nil
}

// aptOptions lists the machine's own settings without which its sources may not
// work: those of a mirror that lags behind.
func aptOptions(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump", "--no-empty",
		"Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::http::Proxy", "Acquire::https::Proxy").Output()
	if err != nil {
		return nil // mmdebstrap says better what is wrong with apt.
	}
	var options []string
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if line = strings.TrimSuffix(line, ";"); line != "" {
			options = append(options, line)
		}
	}
	return options
}

// ownAuthorities writes every authority that the machine trusts and Debian does
// not to a file of its own, and returns the files.
func ownAuthorities(dir string) ([]string, error) {
	trusted, err := os.ReadFile(bundle)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the machine's certificate authorities: %w", err)
	}
	shipped, err := shippedAuthorities()
	if err != nil {
		return nil, fmt.Errorf("read the certificate authorities of Debian: %w", err)
	}
	var files []string
	for block, rest := pem.Decode(trusted); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" || shipped[string(block.Bytes)] {
			continue
		}
		file := filepath.Join(dir, fmt.Sprintf("machine-%d.crt", len(files)+1))
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o644); err != nil {
			return nil, fmt.Errorf("copy the machine's certificate authorities: %w", err)
		}
		files = append(files, file)
	}
	return files, nil
}

// shippedAuthorities returns the certificates that Debian's package brings.
func shippedAuthorities() (map[string]bool, error) {
	files, err := filepath.Glob("/usr/share/ca-certificates/mozilla/*.crt")
	if err != nil {
		return nil, err
	}
	shipped := make(map[string]bool, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if block, _ := pem.Decode(bytes.TrimSpace(data)); block != nil {
			shipped[string(block.Bytes)] = true
		}
	}
	return shipped, nil
}
