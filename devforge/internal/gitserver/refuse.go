package gitserver

import (
	"bytes"
	"fmt"
	"strings"
)

// report is what a client is told of a push, as git does it: failed says why
// references did not move, and then none of them did.
func report(can map[string]bool, commands []command, failed map[string]string) []byte {
	packet := func(out *bytes.Buffer, payload string) { fmt.Fprintf(out, "%04x%s", len(payload)+4, payload) }
	var report, out bytes.Buffer
	packet(&report, "unpack ok\n")
	for _, c := range commands {
		reason, ok := failed[c.ref]
		switch {
		case len(failed) == 0:
			packet(&report, "ok "+c.ref+"\n")
			continue
		case !ok:
			reason = "another reference in this push was refused"
		}
		packet(&report, "ng "+c.ref+" "+strings.ToValidUTF8(strings.Join(strings.Fields(reason), " "), "")+"\n")
	}
	report.WriteString("0000")
	switch {
	case !can["report-status"] && !can["report-status-v2"]:
		return []byte("0000")
	case !can["side-band-64k"]:
		return report.Bytes()
	}
	const most = 60_000 // bytes of a packet
	for rest := report.Bytes(); len(rest) > 0; {
		n := min(len(rest), most)
		packet(&out, "\x01"+string(rest[:n]))
		rest = rest[n:]
	}
	out.WriteString("0000")
	return out.Bytes()
}
