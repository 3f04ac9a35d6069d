package helm

import (
	"errors"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// clean takes secrets out of an error's text, and keeps its hint and exit
// code.
func clean(err error, red *release.Redactor) error {
	if err == nil {
		return nil
	}
	safe := red.Error(err)
	var e *model.Error
	if safe == err || !errors.As(err, &e) { //nolint:errorlint // the very error comes back when there is nothing to take out
		return safe
	}
	code := model.ExitCodeOf(err)
	if code == model.ExitFailed {
		code = 0
	}
	return &model.Error{Code: code, Hint: red.Text(model.HintOf(err)), Err: safe}
}
