package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/server/access"
)

// standing is what the forge said last about the person of a session.
type standing struct {
	mu         sync.Mutex
	permission forge.Permission
	asked      time.Time // when it said so; zero before
	failed     time.Time // when it last did not answer
	why        error     // of that
}

// standing returns what somebody may do and how old that knowledge is. It asks
// the forge when it is not fresh: one request at a time for a session, which
// the others wait for. A verdict against the person ends the session.
func (s *Sessions) standing(ctx context.Context, hash, secret string, r *record) (forge.Permission, time.Duration, error) {
	if s.o.Forge == nil {
		return forge.None, 0, ErrNone // the way in was taken away
	}
	st := &standing{}
	if had, ok, _ := s.known.PeekOrAdd(hash, st); ok {
		st = had
		s.known.Get(hash) // it counts as used
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	now := s.o.Now()
	if !st.asked.IsZero() && now.Sub(st.asked) < s.o.Fresh && !now.Before(st.asked) {
		return st.permission, now.Sub(st.asked), nil
	}
	if st.failed.IsZero() || now.Sub(st.failed) >= askAgain || now.Before(st.failed) {
		person, permission, err := s.ask(ctx, secret, r)
		switch {
		case errors.Is(err, ErrNone):
			return forge.None, 0, s.over(ctx, hash, r, err)
		case err == nil && !permission.Includes(forge.Read):
			return forge.None, 0, s.over(ctx, hash, r, &NoPermission{r.Person.Login})
		case err == nil:
			r.Person = person
			st.permission, st.asked, st.failed, st.why = permission, now, time.Time{}, nil
			return permission, 0, nil
		}
		st.failed, st.why = now, err
		s.o.Log.Warn("the forge does not say what somebody may do", "login", r.Person.Login, "error", err)
	}
	age := now.Sub(st.asked)
	if st.asked.IsZero() || age > access.Patience || age < 0 {
		return forge.None, 0, fmt.Errorf("the forge does not say what %s may do: %w", r.Person.Login, st.why)
	}
	return st.permission, age, nil
}

// ask asks the forge. ErrNone is its verdict that this is nobody (any more).
func (s *Sessions) ask(ctx context.Context, secret string, r *record) (forge.Person, forge.Permission, error) {
	token, err := unseal(secret, r.Token)
	if err != nil {
		return forge.Person{}, forge.None, ErrNone
	}
	// Others wait for the answer, too: it does not end with one request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
	defer cancel()
	person, err := s.o.Forge.Person(ctx, token)
	switch {
	case errors.Is(err, forge.ErrSignedOut), err == nil && person.ID != r.Person.ID:
		return forge.Person{}, forge.None, ErrNone
	case err != nil:
		return forge.Person{}, forge.None, err
	}
	permission, err := s.o.Forge.Granted(ctx, person)
	return person, permission, err
}

// over ends a session by the forge's verdict, and returns why.
func (s *Sessions) over(ctx context.Context, hash string, r *record, why error) error {
	s.o.Log.Info("a session is over", "login", r.Person.Login, "account", r.Person.ID, "why", why)
	s.known.Remove(hash)
	return errors.Join(why, s.o.Keep.Forget(context.WithoutCancel(ctx), kindSession, hash))
}

func encode(r record) string {
	raw, _ := json.Marshal(r) // strings, numbers and times
	return string(raw)
}

func decode(body string) (r record, err error) {
	err = json.Unmarshal([]byte(body), &r)
	return r, err
}
