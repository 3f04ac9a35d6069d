package signin

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/loopback"
)

// names of the cookies of an installation. Ports of one host share cookies, so
// each installation has its own. Where people come over HTTPS the browser holds
// by the prefix that hubship itself set it, over HTTPS, for this host alone:
// see https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie
func (s *Sessions) cookieName(what string) string {
	sum := sha256.Sum256([]byte(s.o.Name + "\n" + s.origin()))
	name := "hubship_" + what + "_" + hex.EncodeToString(sum[:4])
	if s.secure() {
		return "__Host-" + name
	}
	return name
}

func (s *Sessions) secure() bool { return strings.EqualFold(s.o.URL.Scheme, "https") }

// cookie has no Domain: it goes to this very host, and to no hub, which have
// hosts of their own.
func (s *Sessions) cookie(what, value string, age time.Duration) *http.Cookie {
	c := &http.Cookie{Name: s.cookieName(what), Value: value, Path: "/", MaxAge: int(age.Seconds()), HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode}
	if age <= 0 {
		c.MaxAge = -1
	}
	return c
}

// only returns the value of a cookie. When there are several, one was put there
// by another host of the same domain: which one is not to be told, so none of
// them counts.
func (s *Sessions) only(r *http.Request, what string) string {
	found := r.CookiesNamed(s.cookieName(what))
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// opener is what opens the session of a request, "" for none: what its browser
// has, for programs of the same user of this machine.
func (s *Sessions) opener(r *http.Request) string {
	secret := s.only(r, "session")
	if len(secret) != secretSize {
		return ""
	}
	return loopback.Bind(secret, loopback.Whose(r.Context()))
}
