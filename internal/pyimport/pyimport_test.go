package pyimport

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// A Python of this machine says what the code reports.
func TestCode(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	for name, want := range map[string]Report{
		"hubship-no-such-thing":     {Problem: "hubship-no-such-thing is not installed"},
		`"); raise SystemExit(7) #`: {Problem: `"); raise SystemExit(7) # is not installed`},
		"hubship-é\n\"\"\"":         {Problem: "is not installed"},
	} {
		code, err := Code(name, "==1")
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(python, "-c", code+"print(repr("+Variable+"))").Output()
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		var got Report
		if err := json.Unmarshal(out, &got); err != nil || !strings.HasSuffix(got.Problem, want.Problem) || len(got.Modules) != 0 {
			t.Errorf("%q: %s, %v", name, out, err)
		}
	}
	if code, err := Code("x", ""); err != nil || !strings.HasSuffix(code, "\")\n") {
		t.Errorf("%v", err)
	}
}

func TestSummary(t *testing.T) {
	for want, r := range map[string]Report{
		"2.14 (dateutil)":        {Version: "2.14", Modules: []string{"dateutil"}},
		"1.0":                    {Version: "1.0", Modules: []string{"python-dateutil"}},
		"1.0 (a, b); and more":   {Version: "1.0", Modules: []string{"a", "b"}, Note: "and more"},
		"not wanted here: never": {Note: "not wanted here: never"},
	} {
		if got := r.Summary("python-dateutil"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
