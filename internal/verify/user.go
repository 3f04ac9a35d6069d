package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

// attempt bounds one question to the hub, so that a connection that hangs is
// not waited for as long as the check may take. Requests that change something
// have no such bound: the hub goes on with them after the client has left.
const attempt = 5 * time.Second

// ask repeats a question until it is answered, until it fails for good
// (permanent) or until ctx ends; the error then holds the last one of f.
func ask(ctx context.Context, permanent func(error) bool, f func(ctx context.Context) error) error {
	return retry(ctx, permanent, func(ctx context.Context) error {
		one, cancel := context.WithTimeout(ctx, attempt)
		defer cancel()
		return f(one)
	})
}

// retry is ask without a bound on each attempt.
func retry(ctx context.Context, permanent func(error) bool, f func(ctx context.Context) error) error {
	for pause := minPause; ; pause = min(pause*3/2, maxPause) {
		err := f(ctx)
		if err == nil || permanent != nil && permanent(err) {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				return err
			}
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// hubAnswers waits until the hub answers through the proxy.
func (s *session) hubAnswers(ctx context.Context) (finding, error) {
	var version, last string
	err := ask(ctx, nil, func(ctx context.Context) (err error) {
		if version, err = s.hub.Version(ctx); err == nil {
			err = s.hub.Health(ctx)
		}
		if err != nil && ctx.Err() == nil {
			last = err.Error()
		}
		return err
	})
	if err != nil {
		return finding{detail: last}, err
	}
	return finding{detail: "JupyterHub " + version}, nil
}

// tokenAccepted checks that the service's token works and may do what the
// later checks need.
func (s *session) tokenAccepted(ctx context.Context) (finding, error) {
	service := s.req.Settings.Service
	values := "values that provide it:\n" + Values(service, s.user)
	token, err := s.token(ctx)
	if err == nil && token == "" {
		err = fmt.Errorf("%w %s", ErrNoToken, service)
	}
	if errors.Is(err, ErrNoToken) {
		return finding{log: values}, model.WithHint(err, "Add the values shown in the log to the hub's configuration")
	}
	if err != nil {
		return finding{}, &undecided{fmt.Errorf("read the token of service %s: %w", service, err)}
	}
	s.hub = s.hub.WithToken(token)
	var id jupyter.Identity
	err = ask(ctx, definite, func(ctx context.Context) (err error) {
		id, err = s.hub.Identity(ctx)
		return err
	})
	switch status := jupyter.StatusOf(err); {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return finding{}, model.WithHint(fmt.Errorf("the hub refuses the token of service %s (%d)", service, status),
			"The hub reads tokens when it starts: restart it if the Secret is newer than its pod")
	case err != nil:
		return finding{}, err
	}
	if lacking := missing(id.Scopes, s.user); len(lacking) > 0 {
		return finding{log: values}, model.WithHint(
			fmt.Errorf("%s %s lacks the scopes %s", id.Kind, id.Name, strings.Join(lacking, ", ")),
			"Add them to the hub's loadRoles as shown in the log")
	}
	return finding{detail: id.Kind + " " + id.Name}, nil
}

// definite says whether an answer of the hub will not change by asking again.
func definite(err error) bool {
	status := jupyter.StatusOf(err)
	return status >= 400 && status < 500 && status != http.StatusTooManyRequests
}

// userCreated creates the dedicated user, after removing what a run that was
// killed left behind.
func (s *session) userCreated(ctx context.Context) (finding, error) {
	detail := s.user
	if s.user == s.req.Settings.Service {
		return finding{}, model.WithHint(fmt.Errorf("the user and the service are both named %s, and a hub does not let an account remove itself", s.user),
			"Choose another name as verify.user in hubship.yaml")
	}
	found, err := s.lookUp(ctx)
	if err != nil {
		return finding{}, err
	}
	if found != nil {
		if found.Admin {
			return finding{}, model.WithHint(fmt.Errorf("user %s is an administrator of the hub and does not belong to verification", s.user),
				"Choose another name as verify.user in hubship.yaml")
		}
		s.touched = true
		if err := s.remove(ctx); err != nil {
			return finding{}, fmt.Errorf("remove what an earlier verification left: %w", err)
		}
		detail += ", after removing what an earlier verification left"
	}
	if remains, err := s.removed(ctx); err != nil {
		return remains, err
	}
	s.touched = true
	err = retry(ctx, definite, func(ctx context.Context) error { return s.hub.CreateUser(ctx, s.user) })
	return finding{detail: detail}, err
}

// removed waits until the cluster has removed what an earlier verification
// had. KubeSpawner takes a claim that exists for one that it can use: a server
// that is started while the claim goes away never gets any.
func (s *session) removed(ctx context.Context) (finding, error) {
	last := ""
	err := ask(ctx, nil, func(ctx context.Context) error {
		names, err := s.removing(ctx)
		if err != nil && ctx.Err() == nil {
			// Whether they may be listed says nothing about the hub.
			s.progress("could not find out whether the remains of an earlier verification are gone: " + err.Error())
			return nil
		}
		if err == nil && len(names) > 0 {
			if last == "" {
				s.progress("waiting until the cluster has removed " + strings.Join(names, ", ") + " of an earlier verification")
			}
			last = strings.Join(names, ", ") + " of an earlier verification is still being removed"
			err = errors.New(last)
		}
		return err
	})
	return finding{detail: last}, err
}

// lookUp returns the dedicated user, or nil when there is none.
func (s *session) lookUp(ctx context.Context) (*jupyter.User, error) {
	var user jupyter.User
	err := ask(ctx, definite, func(ctx context.Context) (err error) {
		user, err = s.hub.User(ctx, s.user)
		return err
	})
	if jupyter.StatusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &user, nil
}

// startGrace is how long a server that starts is left to get ready before it
// is stopped. KubeSpawner, told to stop a server whose pod it is just making,
// can wait for that pod until its own start timeout, minutes later.
const startGrace = 20 * time.Second

// stop stops the user's server and waits until the hub knows of none. A hub
// that cannot stop a server that still starts is asked again.
func (s *session) stop(ctx context.Context) error {
	asked, began := false, time.Now()
	return retry(ctx, nil, func(ctx context.Context) error {
		user, err := s.lookUp(ctx)
		if err != nil || user == nil || user.Idle() {
			return err
		}
		if user.Pending == "spawn" && time.Since(began) < startGrace {
			return errors.New("the server is still starting")
		}
		if asked && user.Pending == "stop" {
			return errors.New("the server is still stopping")
		}
		stopped, err := s.hub.StopServer(ctx, s.user)
		if err != nil {
			return err
		}
		asked = true
		if !stopped {
			return errors.New("the server is still stopping")
		}
		return nil
	})
}

// remove stops the user's server, removes the user and checks that it is
// gone.
func (s *session) remove(ctx context.Context) error {
	if err := s.stop(ctx); err != nil {
		return err
	}
	return s.delete(ctx)
}

func (s *session) delete(ctx context.Context) error {
	return retry(ctx, nil, func(ctx context.Context) error {
		if err := s.hub.DeleteUser(ctx, s.user); err != nil {
			return err
		}
		user, err := s.lookUp(ctx)
		if err == nil && user != nil {
			err = errors.New("the hub still knows the user")
		}
		return err
	})
}

// serverStopped stops the server, whatever state it is in.
func (s *session) serverStopped(ctx context.Context) (finding, error) {
	if !s.touched {
		return finding{}, &skipped{"nothing was started"}
	}
	s.close()
	if err := s.stop(ctx); err != nil {
		return finding{}, model.WithHint(err, "The next verification tries again; until then the server of "+s.user+" may run")
	}
	return finding{}, nil
}

// userRemoved removes the dedicated user, and with it what the spawner keeps
// for it.
func (s *session) userRemoved(ctx context.Context) (finding, error) {
	if !s.touched {
		return finding{}, &skipped{"no user was created"}
	}
	if err := s.delete(ctx); err != nil {
		return finding{}, model.WithHint(err, "The next verification tries again; until then user "+s.user+" stays")
	}
	return finding{}, nil
}
