package rest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hubship/hubship/devforge/internal/store"
)

// events are those that webhooks can ask for.
var events = []string{"*", "push", "pull_request", "pull_request_review", "pull_request_review_comment", "issue_comment", "status", "check_run", "deployment", "deployment_status", "fork", "create", "delete"}

func (a *API) hookRoutes() {
	const hooks = " /repos/{owner}/{repo}/hooks"
	for pattern, fn := range map[string]func(*call) error{
		"GET" + hooks: (*call).listHooks, "POST" + hooks: (*call).createHook,
		"DELETE" + hooks + "/{id}":                              (*call).deleteHook,
		"POST" + hooks + "/{id}/pings":                          (*call).pingHook,
		"GET" + hooks + "/{id}/deliveries":                      (*call).listDeliveries,
		"GET" + hooks + "/{id}/deliveries/{delivery}":           (*call).getDelivery,
		"POST" + hooks + "/{id}/deliveries/{delivery}/attempts": (*call).redeliver,
	} {
		a.handle(pattern, fn)
	}
}

func (a *API) hook(at string, h store.Hook, last []store.Delivery) obj {
	self := fmt.Sprintf("%s/hooks/%d", at, h.ID)
	config := obj{"url": h.URL, "content_type": h.ContentType, "insecure_ssl": "0"}
	if h.Insecure {
		config["insecure_ssl"] = "1"
	}
	if h.Secret != "" {
		config["secret"] = "********"
	}
	response := obj{"code": nil, "status": "unused", "message": nil}
	if len(last) > 0 && last[0].Attempts > 0 {
		response = obj{"code": last[0].Code, "status": "active", "message": last[0].Status}
	}
	return obj{"type": "Repository", "id": h.ID, "name": "web", "active": h.Active, "events": strings.Split(h.Events, ","), "config": config,
		"created_at": stamp(h.Created), "updated_at": stamp(h.Updated), "url": self, "test_url": self + "/test", "ping_url": self + "/pings",
		"deliveries_url": self + "/deliveries", "last_response": response}
}

func (c *call) hookOf() (store.Hook, error) {
	id, err := c.number("id")
	if err != nil {
		return store.Hook{}, err
	}
	return c.store.Hook(c.ctx, c.repo.ID, id)
}

func (c *call) renderHook(h store.Hook) (obj, error) {
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return nil, err
	}
	last, err := c.store.Deliveries(c.ctx, h.ID, 0, 1)
	return c.hook(at, h, last), err
}

func (c *call) listHooks() error {
	all, err := c.store.Hooks(c.ctx, c.repo.ID)
	if err != nil {
		return err
	}
	list, err := each(cut(c, all), c.renderHook)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

type hookInput struct {
	Name   string   `json:"name"`
	Active *bool    `json:"active"`
	Events []string `json:"events"`
	Config struct {
		URL         string `json:"url"`
		ContentType string `json:"content_type"`
		Secret      string `json:"secret"`
		Insecure    any    `json:"insecure_ssl"` // "0", "1", 0 or 1
	} `json:"config"`
}

// hook is the webhook that is asked for.
func (in hookInput) hook() (store.Hook, error) {
	h := store.Hook{URL: in.Config.URL, ContentType: cmp.Or(in.Config.ContentType, "form"), Secret: in.Config.Secret, Insecure: fmt.Sprint(in.Config.Insecure) == "1", Events: "push", Active: true}
	set(&h.Active, in.Active)
	if in.Events != nil {
		h.Events = strings.Join(in.Events, ",")
	}
	for _, e := range in.Events {
		if !slices.Contains(events, e) {
			return h, invalid("Hook", "events", "custom", "This forge does not have the event "+strconv.Quote(e)+".")
		}
	}
	switch {
	case in.Name != "" && in.Name != "web":
		return h, invalid("Hook", "name", "invalid", "")
	case h.URL == "":
		return h, invalid("Hook", "url", "missing_field", "")
	case !webAddress(h.URL):
		return h, invalid("Hook", "url", "invalid", "")
	case h.ContentType != "json" && h.ContentType != "form":
		return h, invalid("Hook", "content_type", "invalid", "")
	case h.Events == "":
		return h, invalid("Hook", "events", "missing_field", "")
	}
	return h, nil
}

func (c *call) createHook() error {
	var in hookInput
	if err := c.read(&in); err != nil {
		return err
	}
	h, err := in.hook()
	if err != nil {
		return err
	}
	h.Repository = c.repo.ID
	if err := c.store.AddHook(c.ctx, &h); errors.Is(err, store.ErrTooManyHooks) {
		return invalid("Hook", "base", "custom", err.Error())
	} else if err != nil {
		return err
	}
	if err := c.ping(c.ctx, c.repo, h, c.who); err != nil {
		return err
	}
	o, err := c.renderHook(h)
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, o)
}

func (c *call) deleteHook() error {
	h, err := c.hookOf()
	if err != nil {
		return err
	}
	if err := c.store.DeleteHook(c.ctx, c.repo.ID, h.ID); err != nil {
		return err
	}
	return c.none()
}

func (c *call) pingHook() error {
	h, err := c.hookOf()
	if err != nil {
		return err
	}
	if err := c.ping(c.ctx, c.repo, h, c.who); err != nil {
		return err
	}
	return c.none()
}

func (c *call) delivery(d store.Delivery) obj {
	delivered := stamp(d.Delivered)
	if delivered == nil {
		delivered = stamp(d.Due) // the attempt is still to come
	}
	return obj{"id": d.ID, "guid": d.GUID, "delivered_at": delivered, "redelivery": d.Redelivery, "duration": d.Duration.Seconds(), "status": d.Status,
		"status_code": d.Code, "event": d.Event, "action": orNull(d.Action), "installation_id": nil, "repository_id": c.repo.ID, "throttled_at": nil}
}

// listDeliveries pages by cursor: the id of the last delivery of a page.
func (c *call) listDeliveries() error {
	h, err := c.hookOf()
	if err != nil {
		return err
	}
	var before int64
	if s := c.r.URL.Query().Get("cursor"); s != "" {
		if before, err = strconv.ParseInt(s, 10, 64); err != nil || before < 1 {
			return &httpError{status: http.StatusBadRequest, message: "Invalid cursor"}
		}
	}
	size := c.page().size
	all, err := c.store.Deliveries(c.ctx, h.ID, before, size+1)
	if err != nil {
		return err
	}
	if len(all) > size {
		all = all[:size]
		q := c.r.URL.Query()
		q.Set("cursor", strconv.FormatInt(all[size-1].ID, 10))
		c.w.Header().Set("Link", fmt.Sprintf(`<%s%s?%s>; rel="next"`, c.opts.URL, c.r.URL.EscapedPath(), q.Encode()))
	}
	list, _ := each(all, func(d store.Delivery) (obj, error) { return c.delivery(d), nil })
	return c.answer(http.StatusOK, list)
}

func (c *call) deliveryOf() (store.Hook, store.Delivery, error) {
	h, err := c.hookOf()
	if err != nil {
		return h, store.Delivery{}, err
	}
	id, err := c.number("delivery")
	if err != nil {
		return h, store.Delivery{}, err
	}
	d, err := c.store.Delivery(c.ctx, h.ID, id)
	return h, d, err
}

func (c *call) getDelivery() error {
	h, d, err := c.deliveryOf()
	if err != nil {
		return err
	}
	o := c.delivery(d)
	raw := func(s string) any {
		if s == "" {
			return nil
		}
		return json.RawMessage(s)
	}
	o["url"] = h.URL
	o["request"] = obj{"headers": raw(d.ReqHeaders), "payload": raw(d.Payload)}
	o["response"] = obj{"headers": raw(d.ResHeaders), "payload": orNull(d.ResBody)}
	return c.answer(http.StatusOK, o)
}

func (c *call) redeliver() error {
	h, d, err := c.deliveryOf()
	if err != nil {
		return err
	}
	if _, err := c.opts.Sender.Queue(c.ctx, h, d.Event, d.Action, []byte(d.Payload), d.GUID); err != nil {
		return err
	}
	return c.answer(http.StatusAccepted, obj{})
}
