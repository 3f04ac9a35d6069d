package settings

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	s, err := Load(write(t, `{"name":"dev","portBase":18400,"fsync":false}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Name, want.PortBase, want.Fsync = "dev", 18400, false
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"unknown key":    {`{"nmae":"x"}`, "nmae"},
		"wrong type":     {`{"portBase":"x"}`, "portBase"},
		"two values":     {`{} {}`, "more than one"},
		"name":           {`{"name":"Dev"}`, "lower-case"},
		"relative path":  {`{"dataDir":"x"}`, "absolute"},
		"root":           {`{"dataDir":"/"}`, "two levels"},
		"volatile data":  {`{"dataDir":"/run/x"}`, "not persistent"},
		"nested":         {`{"dataDir":"/srv/x","runDir":"/srv/x/run"}`, "neither may be inside"},
		"long runDir":    {`{"runDir":"/srv/` + strings.Repeat("x", 80) + `"}`, "sockets"},
		"interface":      {`{"bridge":"a-name-that-is-too-long"}`, "15 bytes"},
		"port":           {`{"portBase":80}`, "1024"},
		"node address":   {`{"nodeIP":"10.201.0.2"}`, "first address"},
		"overlap":        {`{"serviceCIDR":"10.201.0.128/25"}`, "overlap"},
		"not a start":    {`{"podCIDR":"10.201.0.1/24"}`, "start of the range"},
		"too small":      {`{"podCIDR":"10.201.0.0/28"}`, "length"},
		"reach, a name":  {`{"buildReach":["mirror.example"]}`, "buildReach"},
		"reach, IPv6":    {`{"buildReach":["fd00::1"]}`, "buildReach"},
		"reach, a port":  {`{"buildReach":["10.0.0.1:0"]}`, "10.0.0.1:0"},
		"reach, a range": {`{"buildReach":["10.0.0.1/8"]}`, "10.0.0.1/8"},
		"IPv6":           {`{"podCIDR":"fd00::/24"}`, "IPv4"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(write(t, test.content))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestDerivedAddresses(t *testing.T) {
	s := Default()
	for name, test := range map[string]struct{ got, want string }{
		"kubernetes":  {s.KubernetesIP().String(), "10.202.0.1"},
		"dns":         {s.DNSIP().String(), "10.202.0.10"},
		"host":        {s.HostIP().String(), "10.201.0.254"},
		"first pod":   {s.FirstPodIP().String(), "10.201.0.2"},
		"last pod":    {s.LastPodIP().String(), "10.201.0.191"},
		"first build": {s.FirstBuildIP().String(), "10.201.0.192"},
		"last build":  {s.LastBuildIP().String(), "10.201.0.223"},
		"builds":      {s.Builds().String(), "10.201.0.192/27"},
		"registry":    {s.Registry(), "127.0.0.1:17420"},
		"api":         {s.APIServer(), "https://10.201.0.1:17400"},
		"buildkit":    {s.BuildKit(), "unix:///run/hubship/default/buildkitd.sock"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %s, want %s", name, test.got, test.want)
		}
	}
	if s.Builds().Masked() != s.Builds() {
		t.Errorf("builds %s is not aligned", s.Builds())
	}
}

func TestReach(t *testing.T) {
	s, err := Load(write(t, `{"buildReach":["10.0.5.7","10.1.0.0/16","10.0.5.8:3128"]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Reach{
		{To: netip.MustParsePrefix("10.0.5.7/32")},
		{To: netip.MustParsePrefix("10.1.0.0/16")},
		{To: netip.MustParsePrefix("10.0.5.8/32"), Port: 3128},
	}
	if got := s.Reached(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The ranges of pods and builds must not meet, whatever the size.
func TestPodsAndBuildsAreApart(t *testing.T) {
	for _, cidr := range []string{"10.0.0.0/16", "10.0.0.0/20", "10.0.4.0/22", "10.0.0.0/24"} {
		s := Default()
		s.PodCIDR = cidr
		builds := s.Builds().Masked()
		if builds.Contains(s.LastPodIP()) || builds.Contains(s.HostIP()) || !s.Pods().Contains(s.LastBuildIP()) {
			t.Errorf("%s: pods to %s, builds %s, host %s", cidr, s.LastPodIP(), builds, s.HostIP())
		}
	}
}
