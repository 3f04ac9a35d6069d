package jupyter

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"time"
)

// protocolVersion is the version of the messaging protocol that is spoken.
const protocolVersion = "5.3"

// header identifies a message.
type header struct {
	ID       string `json:"msg_id"`
	Type     string `json:"msg_type"`
	Session  string `json:"session"`
	Username string `json:"username"`
	Date     string `json:"date"`
	Version  string `json:"version"`
}

// message is a kernel message in the JSON form of the websocket's default
// subprotocol.
type message struct {
	Header   header          `json:"header"`
	Parent   json.RawMessage `json:"parent_header"` // a header, or {} for what no request caused
	Metadata json.RawMessage `json:"metadata"`
	Content  json.RawMessage `json:"content"`
	Channel  string          `json:"channel"` // "shell", "iopub", "control", "stdin"
	Buffers  []any           `json:"buffers"`
}

// parent returns the id of the request that the message answers, or "".
func (m message) parent() string {
	var h header
	if json.Unmarshal(m.Parent, &h) != nil {
		return ""
	}
	return h.ID
}

// newRequest builds a request for the shell channel.
func newRequest(session, kind string, content any) (message, error) {
	data, err := json.Marshal(content)
	if err != nil {
		return message{}, fmt.Errorf("encode %s: %w", kind, err)
	}
	return message{
		Header: header{
			ID: rand.Text(), Type: kind, Session: session, Username: "hubship",
			Date: time.Now().UTC().Format(time.RFC3339Nano), Version: protocolVersion,
		},
		Parent:   json.RawMessage(`{}`),
		Metadata: json.RawMessage(`{}`),
		Content:  data,
		Channel:  "shell",
		Buffers:  []any{},
	}, nil
}

// decodeMessage reads a message from a text frame.
func decodeMessage(data []byte) (message, error) {
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		return message{}, fmt.Errorf("a message from the kernel is not the expected JSON: %w", err)
	}
	if m.Header.Type == "" {
		return message{}, fmt.Errorf("a message from the kernel has no type")
	}
	return m, nil
}

// executeRequest asks a kernel to run code.
type executeRequest struct {
	Code         string            `json:"code"`
	Silent       bool              `json:"silent"`
	StoreHistory bool              `json:"store_history"`
	Expressions  map[string]string `json:"user_expressions"`
	AllowStdin   bool              `json:"allow_stdin"`
	StopOnError  bool              `json:"stop_on_error"`
}

// raised is an exception as the protocol carries it, in an execute_reply, in
// an error message and in a user expression.
type raised struct {
	Status    string   `json:"status"` // "ok", "error" or "aborted"
	Name      string   `json:"ename"`
	Value     string   `json:"evalue"`
	Traceback []string `json:"traceback"`
}

func (r raised) exception() *Exception {
	e := &Exception{Name: StripANSI(r.Name), Value: StripANSI(r.Value)}
	for _, frame := range r.Traceback {
		e.Traceback = append(e.Traceback, StripANSI(frame))
	}
	return e
}

// executeReply is the kernel's answer to an executeRequest.
type executeReply struct {
	raised
	Expressions map[string]struct {
		raised
		Data map[string]json.RawMessage `json:"data"`
	} `json:"user_expressions"`
}

// infoReply is the kernel's answer to a kernel_info_request.
type infoReply struct {
	Status         string `json:"status"`
	Implementation string `json:"implementation"`
	Version        string `json:"implementation_version"`
	Language       struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"language_info"`
}

// ansi matches the escape sequences that terminals interpret: CSI, OSC and
// two-character ones.
var ansi = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])`)

// StripANSI removes terminal escape sequences and carriage returns from a
// text that a kernel produced.
func StripANSI(text string) string {
	text = ansi.ReplaceAllString(text, "")
	out := make([]rune, 0, len(text))
	for _, r := range text {
		if r == '\n' || r == '\t' || (r >= ' ' && r != 0x7f) {
			out = append(out, r)
		}
	}
	return string(out)
}
