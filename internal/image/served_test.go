package image

import (
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// A program of another user that has the registry's port, while the node is down
// say, gets no request, and so no account.
func TestRegistryOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: it takes root to be somebody else")
	}
	listening := make(chan net.Listener)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread has another user's rights
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0))
		l, _ := net.Listen("tcp", "127.0.0.1:0")
		listening <- l
	}()
	l := <-listening
	if l == nil {
		t.Fatal("nobody listens")
	}
	asked := make(chan string, 100)
	stranger := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Authorization")
		w.Header().Set("WWW-Authenticate", `Basic realm="hubship"`)
		w.WriteHeader(http.StatusUnauthorized)
	})}
	go func() { _ = stranger.Serve(l) }()
	defer func() { _ = stranger.Close() }()
	at := l.Addr().String()
	r, err := NewRegistry(RegistryOptions{Address: at, Patience: -1, Keychain: everywhere{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Manifest(t.Context(), "datahub/user", "x"); err == nil || !strings.Contains(err.Error(), "user 65534 of this machine answers") {
		t.Errorf("%v", err)
	}
	if err := r.Attach(t.Context(), "datahub/user", "sha256:"+strings.Repeat("0", 64), []byte("{}")); err == nil {
		t.Error("something was written")
	}
	select {
	case with := <-asked:
		t.Errorf("it was asked, with %q", with)
	default:
	}
}

// everywhere is a keychain that trusts everybody.
type everywhere struct{}

func (everywhere) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "hubship", Password: "secret"}, nil
}
