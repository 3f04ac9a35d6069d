package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/hubship/hubship/internal/model"
)

// isAbsent says that the registry answered, and has no such image.
func isAbsent(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.StatusCode == http.StatusNotFound
}

// isDenied says that the registry answered, and does not let us see.
func isDenied(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && (te.StatusCode == http.StatusUnauthorized || te.StatusCode == http.StatusForbidden)
}

// isUnreachable says that nothing useful answered, which another try may
// change.
func isUnreachable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var te *transport.Error
	if errors.As(err, &te) {
		return te.StatusCode >= 500 || te.StatusCode == http.StatusTooManyRequests
	}
	var ne net.Error
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		(errors.As(err, &ne) && ne.Timeout())
}

// explain wraps an error of the installation's registry with a hint.
func (r *Registry) explain(operation, ref string, err error) error {
	err = fmt.Errorf("%s %s in the registry: %w", operation, ref, err)
	switch {
	case isDenied(err):
		return model.WithHint(err, fmt.Sprintf("log in to %s with an account that can read it, so that this user's docker configuration file has its credentials", r.Host()))
	case isUnreachable(err):
		return model.WithHint(err, fmt.Sprintf("check that the registry at %s is running: `hubship status` shows it for the embedded one", r.Host()))
	}
	return err
}

// plain is what an error says without the address that was asked.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
