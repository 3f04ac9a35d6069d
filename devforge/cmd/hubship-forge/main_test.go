package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		args      string
		code      int
		out, errs string
	}{
		{"version", model.ExitDone, "dev\n", ""},
		{"help", model.ExitDone, "hubship-forge serve --settings FILE", ""},
		{"", model.ExitUsage, "", "no command was given"},
		{"fly", model.ExitUsage, "", `unknown command "fly"`},
		{"serve", model.ExitUsage, "", "serve needs --settings FILE"},
		{"serve --port 1", model.ExitUsage, "", "hint:"},
		{"serve --settings /nothing/forge.json", model.ExitFailed, "", "read the forge's settings"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &out, &errs)
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) {
			t.Errorf("%q: code %d, want %d\n%s%s", c.args, code, c.code, &out, &errs)
		}
	}
}
