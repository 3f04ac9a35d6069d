package pulls

import (
	"errors"
	"net/http"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Webhook reads what a forge delivers. An error that has the method HTTPStatus
// says what to answer with.
type Webhook interface {
	Read(r *http.Request) (forge.Event, error)
}

// Deliveries takes what a forge delivers and has it looked at.
func (c *Controller) Deliveries(hook Webhook) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := hook.Read(r)
		if err == nil {
			c.Handle(event)
			w.WriteHeader(http.StatusAccepted)
			return
		}
		status := http.StatusBadRequest
		var bad interface{ HTTPStatus() int }
		if errors.As(err, &bad) {
			status = bad.HTTPStatus()
		}
		c.o.Logger.Debug("a delivery is refused", "from", r.RemoteAddr, "error", err)
		text := err.Error()
		if hint := model.HintOf(err); hint != "" {
			text += ": " + hint
		}
		http.Error(w, "hubship: "+text, status)
	})
}
