package check

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/logging"
	"github.com/zricethezav/gitleaks/v8/report"

	"github.com/hubship/hubship/internal/plan"
)

const (
	// maxLine is the longest line, in bytes, that is searched; the rest of a
	// longer one is left out.
	maxLine = 64 << 10
	// maxAdded bounds what is searched of one change, in bytes.
	maxAdded = 20 << 20
	// pieceSize is about how much is searched at once, in bytes: the rules that
	// are tried on a piece are those whose words are in it.
	pieceSize = 4 << 10
	// maxKeyLines is the longest private key, in lines, that stays in one
	// piece.
	maxKeyLines = 200
	// searchTime bounds the search of one change.
	searchTime = 10 * time.Second
	// maxFindings bounds what is said of one change.
	maxFindings = 200
)

// Line is a line that a change adds.
type Line struct {
	Number int // in the file as the change leaves it, from 1
	Text   string
}

// File is a file that a change adds or alters, with the lines that it adds.
type File struct {
	Name  string // path from the root of the repository
	Added []Line
}

// Gitleaks are the files that tell gitleaks, and hubship as well, what a
// repository holds against credentials and what it lets pass. Taken from the
// base of a change they cannot be used by the change to excuse itself.
type Gitleaks struct {
	Config []byte // .gitleaks.toml; nil when there is none
	Ignore []byte // .gitleaksignore; nil when there is none
}

// Credentials searches the lines that a change adds for credentials, by the
// rules of gitleaks and those of the repository. A finding is told by file,
// line and rule; the value is not told, not logged and not kept. What SOPS
// encrypted is no credential, nor is a line with the comment gitleaks:allow.
func Credentials(ctx context.Context, changed []File, own Gitleaks) []plan.Problem {
	silenceGitleaks()
	pieces, cut := split(changed)
	if len(pieces) == 0 {
		return nil
	}
	rules, problems := loadRules(own.Config)
	ignored := ignoreList(own.Ignore)
	detector, err := rules.detector(pieces)
	if err != nil {
		return append(problems, plan.Problem{Severity: plan.Warning, Check: CheckCredential, Message: "the change could not be searched for credentials: " + err.Error()})
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	seen := map[string]bool{}
	for _, p := range pieces {
		if ctx.Err() != nil {
			break
		}
		//lint:ignore SA1019 the method takes nothing else
		for _, f := range detector.DetectContext(ctx, detect.Fragment{Raw: p.text, FilePath: p.name}) {
			line := p.lineOf(f.StartLine)
			key := fmt.Sprintf("%s:%s:%d", p.name, f.RuleID, line)
			if seen[key] || ignored[key] || len(seen) >= maxFindings || isHarmless(f) {
				continue
			}
			seen[key] = true
			problems = append(problems, finding(p.name, line, f.RuleID, f.Description))
		}
	}
	if cut || ctx.Err() != nil {
		problems = append(problems, plan.Problem{Severity: plan.Warning, Check: CheckCredential,
			Message: "the change is too large to search all of it for credentials",
			Hint:    "run `gitleaks git` on the branch"})
	}
	slices.SortStableFunc(problems, func(a, b plan.Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Message, b.Message))
	})
	return onePerLine(problems)
}

// finding words a finding. Nothing that was found in the change goes into it.
func finding(name string, line int, rule, description string) plan.Problem {
	p := plan.Problem{
		Severity: plan.Error,
		Check:    CheckCredential,
		Message:  "a plaintext credential (" + rule + ")",
		Hint:     "revoke it, even if a later commit removes it: it stays in the history; if it is not a credential, end the line with the comment gitleaks:allow",
		File:     name,
		Line:     line,
	}
	if what, _, _ := strings.Cut(description, ", "); what != "" {
		p.Message += ": " + lowerFirst(strings.TrimSuffix(what, "."))
	}
	if rule == generic {
		p.Severity = plan.Warning
		p.Message = "this may be a plaintext credential (" + rule + ")"
	}
	return p
}

// generic is the rule that goes by the name of a setting and by how random
// its value looks.
const generic = "generic-api-key"

// onePerLine leaves out what the general rule says of a line that a rule for
// one kind of credential speaks of.
func onePerLine(problems []plan.Problem) []plan.Problem {
	named := map[string]bool{}
	at := func(p plan.Problem) string { return fmt.Sprintf("%s:%d", p.File, p.Line) }
	for _, p := range problems {
		if p.Severity == plan.Error {
			named[at(p)] = true
		}
	}
	return slices.DeleteFunc(problems, func(p plan.Problem) bool {
		return p.Severity == plan.Warning && p.Line > 0 && named[at(p)]
	})
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// piece is a run of lines that stand one below the other.
type piece struct {
	name  string
	first int // number of its first line
	text  string
	lower string // text in lower case
}

// lineOf turns gitleaks' line, from 0 within the piece, into that of the file.
func (p piece) lineOf(n int) int {
	if p.first == 0 {
		return 0
	}
	return p.first + max(n, 0)
}

// encrypted matches what SOPS made of a value.
var encrypted = regexp.MustCompile(`ENC\[AES256_GCM,data:[^,\]]*,iv:[^,\]]*,tag:[^,\]]*,type:[a-z]+\]`)

// split makes pieces of a change: runs of lines, without what SOPS encrypted
// or wrote about it. cut says that some of it was left out for its size.
func split(changed []File) (pieces []piece, cut bool) {
	total := 0
	for _, f := range changed {
		if len(f.Added) == 0 {
			// There are rules that go by the name alone.
			pieces = append(pieces, piece{name: f.Name})
			continue
		}
		c := cutter{name: f.Name}
		for _, l := range f.Added {
			line := strings.TrimRight(l.Text, "\r\n")
			if len(line) > maxLine {
				line, cut = line[:maxLine], true
			}
			if total += len(line) + 1; total > maxAdded {
				return append(pieces, c.finish()...), true
			}
			if strings.Contains(line, "ENC[") {
				line = encrypted.ReplaceAllString(line, "")
			}
			if aboutSOPS.MatchString(line) {
				line = ""
			}
			c.add(l.Number, line)
		}
		pieces = append(pieces, c.finish()...)
	}
	return pieces, cut
}

// cutter cuts the lines of one file into pieces.
type cutter struct {
	name   string
	pieces []piece
	text   strings.Builder
	first  int // number of the first line in text
	last   int
	key    int // lines since the beginning of a private key; 0 outside of one
}

func (c *cutter) add(number int, line string) {
	if number != c.last+1 || c.text.Len() == 0 {
		c.flush()
		c.first, c.key = number, 0
	}
	c.last = number
	c.text.WriteString(line)
	c.text.WriteByte('\n')
	switch {
	case strings.Contains(line, "-----END"):
		c.key = 0
	case c.key > 0 || strings.Contains(line, "-----BEGIN"):
		c.key++
	}
	if c.text.Len() >= pieceSize && (c.key == 0 || c.key > maxKeyLines) {
		// The next piece begins with this line again: a value may stand on
		// the line after its name.
		c.flush()
		c.first = number
		c.text.WriteString(line)
		c.text.WriteByte('\n')
	}
}

func (c *cutter) flush() {
	if text := c.text.String(); text != "" {
		c.pieces = append(c.pieces, piece{name: c.name, first: c.first, text: text, lower: strings.ToLower(text)})
	}
	c.text.Reset()
}

func (c *cutter) finish() []piece {
	c.flush()
	return c.pieces
}

// aboutSOPS matches the lines that SOPS keeps about the keys of a file.
var aboutSOPS = regexp.MustCompile(`^\s*(?:- )?"?(?:sops_[a-z0-9_]*|enc|mac|arn|resource_id|recipient|fp|vault_address|vault_url|engine_path|key_name|lastmodified|created_at)"?\s*[:=]`)

// harmless matches settings whose names have the words that the general rule
// goes by, and whose values are no secrets: the public half of an OAuth
// client, names of Kubernetes' Secrets, addresses.
var harmless = regexp.MustCompile(`(?i)(?:[_.-]?id|ids|url|uri|urls|endpoint|name|names|path|paths|file|filename|dir|scopes?|modes?|class|version|checksum|digest|image|key_?ref|public_?key)["']?\s*(?:=|:|,|>)`)

// isHarmless says that the value is taken from elsewhere when the file is
// used, stands in for one, or is not meant to be secret.
func isHarmless(f report.Finding) bool {
	if f.Secret == "" {
		return false // found by the name of the file
	}
	s := strings.Trim(f.Secret, `"' `)
	if strings.Contains(s, "{{") || strings.HasPrefix(s, "${") || strings.HasPrefix(s, "$(") ||
		strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") || strings.Trim(s, s[:min(1, len(s))]) == "" {
		return true
	}
	before, _, _ := strings.Cut(f.Match, f.Secret)
	return f.RuleID == generic && harmless.MatchString(before)
}

func ignoreList(data []byte) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(string(data[:min(len(data), maxAdded)])) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(strings.ReplaceAll(line, `\`, "/"), ":")
		if len(parts) == 4 {
			// With the commit first, which this change's commits are not
			// compared with: the file and line decide.
			parts = parts[1:]
		}
		out[strings.Join(parts, ":")] = true
	}
	return out
}

// silenceGitleaks keeps gitleaks from logging, and with it what it finds.
var silenceGitleaks = sync.OnceFunc(func() { logging.Logger = zerolog.Nop() })
