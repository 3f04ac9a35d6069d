package serve

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/hubship/hubship/internal/loopback"
)

// What hubship's door says of who is behind a request. It is the only one at
// the other end of the public socket, and passes on no header of these names
// from elsewhere.
const (
	clientHeader = "X-Forwarded-For" // one address
	peerHeader   = "X-Hubship-Peer"  // the user of this machine whose program it is
)

// fromDoor gives a request the client that the door names: its address, by which
// wrong passwords are counted, and its user on this machine, whose sessions open
// nothing for others.
func fromDoor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(loopback.With(r.Context(), r.Header.Get(peerHeader)))
		if said := r.Header.Values(clientHeader); len(said) == 1 {
			if addr, err := netip.ParseAddr(said[0]); err == nil {
				r.RemoteAddr = net.JoinHostPort(addr.String(), "0")
			}
		}
		r.Header.Del(clientHeader)
		r.Header.Del(peerHeader)
		next.ServeHTTP(w, r)
	})
}
