package buildkit

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hubship/hubship/internal/model"
)

// inside lists what code in a container must not reach, as the place of bash's
// /dev/tcp: HOST/PORT. Somebody listens at each.
func inside(t *testing.T, b *Builder) map[string]string {
	t.Helper()
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	port := listener.Addr().(*net.TCPAddr).Port
	targets := map[string]string{"a private network": "192.168.77.1/80", "metadata": "169.254.169.254/80", "a shared network": "100.64.0.1/443"}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if ip := addr.(*net.IPNet).IP.To4(); ip != nil {
			targets["the machine at "+ip.String()] = fmt.Sprintf("%s/%d", ip, port)
		}
	}
	_, registryPort, err := net.SplitHostPort(b.registry.Host())
	if err != nil {
		t.Fatal(err)
	}
	targets["the registry"] = "127.0.0.1/" + registryPort
	raw, err := os.ReadFile(os.Getenv("HUBSHIP_TEST_KUBECONFIG"))
	if err != nil {
		t.Logf("without a kubeconfig the cluster is not tried: %v", err)
		return targets
	}
	server, err := url.Parse(string(regexp.MustCompile(`(?m)server: *(\S+)`).FindSubmatch(raw)[1]))
	if err != nil {
		t.Fatal(err)
	}
	node := server.Hostname()
	targets["the API server"] = node + "/" + server.Port()
	targets["the registry at the node"] = node + "/" + registryPort
	targets["SSH at the node"] = node + "/22"
	var apiPort int
	if _, err := fmt.Sscan(server.Port(), &apiPort); err == nil {
		targets["etcd"] = fmt.Sprintf("%s/%d", node, apiPort+1)
		targets["kubelet"] = fmt.Sprintf("%s/%d", node, apiPort+3)
	}
	// The embedded node's Services are in the range behind its pods'.
	if ip := net.ParseIP(node).To4(); ip != nil {
		targets["the Service kubernetes"] = fmt.Sprintf("%d.%d.%d.1/443", ip[0], ip[1]+1, ip[2])
		targets["the name server of the cluster"] = fmt.Sprintf("%d.%d.%d.10/53", ip[0], ip[1]+1, ip[2])
		targets["the machine at its end of the link"] = fmt.Sprintf("%d.%d.%d.254/%d", ip[0], ip[1], ip[2], port)
		targets["a pod"] = fmt.Sprintf("%d.%d.%d.2/53", ip[0], ip[1], ip[2])
		targets["an unclaimed pod"] = fmt.Sprintf("%d.%d.%d.190/80", ip[0], ip[1], ip[2])
	}
	return targets
}

// probes is a shell script that tells which of the targets it reaches, and
// whether it reaches the outside.
func probes(targets map[string]string) string {
	var s strings.Builder
	for what, at := range targets {
		fmt.Fprintf(&s, "(timeout 3 bash -c '</dev/tcp/%s' 2>/dev/null && echo 'REACHED %s at %s') & ", at, what, at)
	}
	s.WriteString("timeout 10 bash -c '</dev/tcp/deb.debian.org/80' && echo OUTSIDE; wait; echo PROBED")
	return s.String()
}

func checkProbes(t *testing.T, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if i := strings.Index(line, "REACHED "); i >= 0 && !strings.Contains(line, "echo 'REACHED") {
			t.Error(strings.TrimSpace(line[i:]))
		}
	}
	if !strings.Contains(log, "PROBED\n") {
		t.Errorf("the probes did not run:\n%s", log)
	}
	if conn, err := net.DialTimeout("tcp", "deb.debian.org:80", 5*time.Second); err == nil {
		_ = conn.Close()
		if !strings.Contains(log, "OUTSIDE\n") {
			t.Errorf("the outside is not reached:\n%s", log)
		}
	}
}

func TestLiveContainersReachTheOutsideOnly(t *testing.T) {
	b := live(t)
	script := probes(inside(t, b))
	t.Run("test", func(t *testing.T) {
		var log syncBuffer
		got, err := b.Test(limited(t, 3*time.Minute), t.TempDir(), model.Test{Name: "probe", Image: debian, Command: []string{"bash", "-c", script}}, &log)
		if err != nil || !got.Passed {
			t.Fatalf("%+v, %v\n%s", got, err, log.String())
		}
		checkProbes(t, log.String())
	})
	for name, untrusted := range map[string]bool{"untrusted build": true, "trusted build": false} {
		t.Run(name, func(t *testing.T) {
			dir := contextDir(t, map[string]string{
				"Dockerfile": "FROM " + debian + "\nCOPY probe.sh /\nRUN bash /probe.sh # " + t.Name() + "\n",
				"probe.sh":   script,
			})
			var log syncBuffer
			if _, err := b.Build(limited(t, 3*time.Minute), dir, source(t, ""), model.BuildOptions{Untrusted: untrusted}, &log); err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			checkProbes(t, log.String())
		})
	}
}

// Both ways by which an untrusted build could leave something for a trusted one
// with the same instructions: the cache mount itself, and the result of a step
// that used it.
func TestLiveUntrustedPoisonsNoCache(t *testing.T) {
	b := live(t)
	nonce := fmt.Sprint(time.Now().UnixNano())
	mounts := map[string]string{
		"default": "--mount=type=cache,target=/cache-" + nonce,
		"named":   "--mount=type=cache,id=pip-" + nonce + ",target=/cache",
		"locked":  "--mount=type=cache,id=apt-" + nonce + ",target=/cache,sharing=locked",
	}
	for name, mount := range mounts {
		t.Run(name, func(t *testing.T) {
			target := regexp.MustCompile(`target=([^,]+)`).FindStringSubmatch(mount)[1]
			step := "RUN " + mount + " : " + nonce + "; sleep 3; mkdir -p /out; cp " + target + "/* /out/ 2>/dev/null; ls /out; echo installed\n"
			hostile := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim AS poison\n" +
				"RUN " + mount + " echo evil > " + target + "/evil; touch /done\n" +
				"FROM debian:bookworm-slim\n" + step + "COPY --from=poison /done /done\n"})
			honest := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\n" + step + "RUN ls /out; test ! -e /out/evil\n"})
			var first, second syncBuffer
			if _, err := b.Build(limited(t, time.Minute), hostile, source(t, "hostile"), model.BuildOptions{Untrusted: true}, &first); err != nil {
				t.Fatalf("%v\n%s", err, first.String())
			}
			if name != "locked" && !strings.Contains(first.String(), "| evil\n") {
				t.Logf("the attack itself did not work, so this shows less:\n%s", first.String())
			}
			if _, err := b.Build(limited(t, time.Minute), honest, source(t, "honest"), deploy, &second); err != nil {
				t.Errorf("the trusted build got what the untrusted one left: %v\n%s", err, second.String())
			}
		})
	}
}

// The same files by size and time, with other content: what BuildKit keeps of
// one build's context must not show in another's.
func TestLiveUntrustedLeavesNoFiles(t *testing.T) {
	b := live(t)
	at := time.Now().Add(-time.Hour)
	lay := func(content string) string {
		dir := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\nCOPY f /f\nRUN cat /f\n", "f": content})
		if err := os.Chtimes(dir+"/f", at, at); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	src, other := source(t, "a"), source(t, "b")
	nonce := fmt.Sprint(time.Now().UnixNano())
	var log syncBuffer
	if _, err := b.Build(limited(t, time.Minute), lay("evil "+nonce+"\n"), src, model.BuildOptions{Untrusted: true}, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	log = syncBuffer{}
	if _, err := b.Build(limited(t, time.Minute), lay("good "+nonce+"\n"), other, deploy, &log); err != nil || !strings.Contains(log.String(), "| good "+nonce+"\n") {
		t.Errorf("%v\n%s", err, log.String())
	}
}

func TestLiveUntrustedIsRefused(t *testing.T) {
	b := live(t)
	// Something of the installation's own to reach for.
	dir := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\nRUN echo private > /private\n"})
	src := source(t, "own")
	src.Repository = "datahub/user"
	own, err := b.Build(limited(t, time.Minute), dir, src, deploy, nil)
	if err != nil {
		t.Fatal(err)
	}
	trigger := pushTrigger(t, b, "COPY --from=docker.io/datahub/user:"+own.Tag+" /private /p")
	for name, tt := range map[string]struct{ dockerfile, want string }{
		"own registry":         {"FROM " + own.Ref() + "\nRUN cat /private\n", "Dockerfile:1"},
		"own registry, mirror": {"FROM docker.io/datahub/user:" + own.Tag + "\nRUN cat /private\n", "does not have it"},
		"mirror by digest":     {"FROM datahub/user@" + own.Digest + "\nRUN cat /private\n", "the installation has built it"},
		"copy":                 {"FROM debian:bookworm-slim\nCOPY --from=" + own.Ref() + " /private /p\nRUN cat /p\n", "Dockerfile:2"},
		"secret":               {"FROM debian:bookworm-slim\nRUN --mount=type=secret,id=x,required=true cat /run/secrets/x\n", "Dockerfile:2"},
		"host network":         {"FROM debian:bookworm-slim\nRUN --network=host true\n", "Dockerfile:2"},
		"add":                  {"FROM debian:bookworm-slim\nADD http://deb.debian.org/debian/README /r\n", "Dockerfile:2"},
		// What the build file does not show, BuildKit finds.
		"add by variable":         {"FROM debian:bookworm-slim\nARG U=http://deb.debian.org/debian/README\nADD $U /r\nRUN cat /r\n", "Dockerfile: http://deb.debian.org/debian/README is not given to an untrusted build"},
		"trigger of the base":     {"FROM " + trigger + "\nRUN cat /p\n", "is not given to an untrusted build"},
		"trigger in a stage":      {"FROM " + trigger + " AS a\nFROM debian:bookworm-slim\nCOPY --from=a /p /p\n", "is not given to an untrusted build"},
		"secret type by variable": {"FROM debian:bookworm-slim\nARG T=secret\nRUN --mount=type=$T,id=x,required=true,uid=$T cat /run/secrets/x\n", "Dockerfile:3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := contextDir(t, map[string]string{"Dockerfile": tt.dockerfile})
			var log syncBuffer
			_, err := b.Build(limited(t, time.Minute), dir, source(t, ""), model.BuildOptions{Untrusted: true}, &log)
			if err == nil || !strings.Contains(err.Error(), tt.want) || model.HintOf(err) == "" {
				t.Errorf("error %v, hint %q; want %s\n%s", err, model.HintOf(err), tt.want, log.String())
			}
			if strings.Contains(log.String(), "| private") {
				t.Errorf("it has read the installation's image:\n%s", log.String())
			}
		})
	}
}

// pushTrigger makes a base image, as anybody may publish one, that brings an
// instruction into the builds that start from it. It lies where the node's
// registry lets anybody read.
func pushTrigger(t *testing.T, b *Builder, instruction string) string {
	t.Helper()
	base, err := name.ParseReference(b.o.Registry+"/library/"+debian, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(base)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := file.Config
	config.OnBuild = []string{instruction}
	if img, err = mutate.Config(img, config); err != nil {
		t.Fatal(err)
	}
	written := fmt.Sprintf("library/debian:trigger-%d", time.Now().UnixNano())
	ref, err := name.ParseReference(b.o.Registry+"/"+written, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithAuthFromKeychain(registryCredentials())); err != nil {
		t.Fatal(err)
	}
	return "docker.io/" + written
}

// Whatever a build file says, the image goes where its source belongs.
func TestLiveBuildPushesItsOwnNameOnly(t *testing.T) {
	b := live(t)
	before := catalog(t, b)
	src := source(t, "")
	src.Repository = fmt.Sprintf("hubship-test/own-%d", time.Now().UnixNano())
	// Nobody has approved it: it lies where no release looks.
	repository := model.UnapprovedRepository + "/" + src.Repository
	dir := contextDir(t, map[string]string{"Dockerfile": `# name=` + b.o.Registry + `/datahub/stolen
ARG IMAGE_NAME=` + b.o.Registry + `/datahub/stolen
FROM debian:bookworm-slim AS stolen
LABEL hubship.key=stolen hubship.source=stolen org.opencontainers.image.ref.name=` + b.o.Registry + `/datahub/stolen:1
ENV name=` + b.o.Registry + `/datahub/stolen push=true
RUN touch /done
`})
	built, err := b.Build(limited(t, time.Minute), dir, src, model.BuildOptions{Untrusted: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if built.Name != b.o.Registry+"/"+repository || !strings.HasPrefix(built.Tag, "h-") {
		t.Errorf("built %+v", built)
	}
	checkPushed(t, t.Context(), built) // its labels are the source's
	after := catalog(t, b)
	for other := range after {
		if !before[other] && other != repository {
			t.Errorf("repository %s is new", other)
		}
	}
	if !after[repository] {
		t.Errorf("repository %s is not there", repository)
	}
}

func catalog(t *testing.T, b *Builder) map[string]bool {
	t.Helper()
	registry, err := name.NewRegistry(b.registry.Host(), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	all, err := remote.Catalog(t.Context(), registry, remote.WithAuthFromKeychain(registryCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, repository := range all {
		out[repository] = true
	}
	return out
}
