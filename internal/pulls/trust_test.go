package pulls

import (
	"strings"
	"testing"
)

func TestApproveCommand(t *testing.T) {
	command := Approval(strings.Repeat("a", 40))
	for _, tt := range []struct {
		name, body string
		want       bool
	}{
		{"alone", command, true},
		{"after text", "Looks good.\r\n\r\n" + command + "\r\n", true},
		{"after a block", "```\r\nx\r\n```\r\n" + command, true},
		{"part of a commit", Approval("aaaaaaaaaaaa"), false},
		{"in a sentence", "Write " + command, false},
		{"quoted", "> " + command, false},
		{"indented", "    " + command, false},
		{"fenced", "So:\r\n\r\n```\r\n" + command + "\r\n```\r\n", false},
		{"fence without an end", "~~~text\n" + command, false},
		{"hidden", "<!--\n" + command + "\n-->", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := approveCommand.MatchString(said(tt.body)); got != tt.want {
				t.Errorf("%q approves: %v, want %v", tt.body, got, tt.want)
			}
		})
	}
}
