package node

import (
	"fmt"
	"strings"
	"testing"
)

func TestReachProxy(t *testing.T) {
	for value, want := range map[string]string{
		"http://10.0.0.7:3128":       "10.0.0.7/32 3128",
		"http://me:secret@10.0.0.7/": "10.0.0.7/32 80",
		"socks5://10.0.0.7":          "10.0.0.7/32 1080",
	} {
		got, err := reachProxy(t.Context(), value)
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", value, got, err)
			continue
		}
		if text := fmt.Sprintf("%s %d", got[0].To, got[0].Port); text != want {
			t.Errorf("%s: got %s, want %s", value, text, want)
		}
	}
	for _, value := range []string{"proxy", "http://", "ftp://me:secret@10.0.0.7", "http://me:secret@%zz"} {
		if got, err := reachProxy(t.Context(), value); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v; want an error without the password", value, got, err)
		}
	}
}
