package image

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"

	"github.com/hubship/hubship/internal/outbound"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	home, ours, inside := serve(t, nil), serve(t, nil), serve(t, nil)
	img := push(t, home.addr+"/team/x:1", "")
	mirrored := push(t, ours.addr+"/library/debian:12", "")
	own := push(t, ours.addr+"/datahub/user:h-1", "")
	away := refusing(t)
	code := http.StatusServiceUnavailable
	busy := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	})
	shut := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	})
	r := open(t, RegistryOptions{Address: ours.addr, Patience: -1, Outside: letting(t, home.addr, away, busy.addr, shut.addr)})
	digest := "sha256:" + strings.Repeat("ab", 32)
	for ref, want := range map[string]string{
		home.addr + "/team/x:1":              digestOf(t, img),
		"debian:12":                          digestOf(t, mirrored),
		ours.addr + "/datahub/user:h-1":      digestOf(t, own),
		home.addr + "/team/x:1@" + digest:    digest,
		inside.addr + "/not/asked@" + digest: digest,
	} {
		if got, err := r.Resolve(t.Context(), ref); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", ref, got, err, want)
		}
	}
	push(t, home.addr+"/team/x:1", "")
	if got, _ := r.Resolve(t.Context(), home.addr+"/team/x:1"); got == digestOf(t, img) {
		t.Error("a tag that moved is remembered")
	}
	for ref, want := range map[string]func(error) bool{
		home.addr + "/team/x:2":   func(err error) bool { return errors.Is(err, fs.ErrNotExist) },
		home.addr + "/team/y:1":   func(err error) bool { return errors.Is(err, fs.ErrNotExist) },
		"No Image":                func(err error) bool { return errors.Is(err, fs.ErrNotExist) },
		away + "/team/x:1":        func(err error) bool { return errors.Is(err, model.ErrUnknown) },
		busy.addr + "/team/x:1":   func(err error) bool { return errors.Is(err, model.ErrUnknown) },
		shut.addr + "/team/x:1":   func(err error) bool { return errors.Is(err, model.ErrUnknown) },
		inside.addr + "/team/x:1": outbound.IsRefused,
	} {
		if got, err := r.Resolve(t.Context(), ref); got != "" || !want(err) {
			t.Errorf("%s: %q, %v", ref, got, err)
		}
	}
}
