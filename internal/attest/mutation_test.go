package attest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/model"
)

// mutants is how many altered records are tried.
const mutants = 10_000

// TestMutationsAreRefused alters a valid record in every way that somebody
// could who may write where records are kept, and reads what the installation
// ever signed, but has none of its keys. A mutation is any envelope of other
// bytes than the record, and any use of it for something that it does not say;
// none of them is accepted. There is no mutation that decodes to the same
// statement and is let through: an envelope has one spelling.
func TestMutationsAreRefused(t *testing.T) {
	began := time.Now()
	m := newMutator(t)
	if _, err := accepted(m.valid, m.keys, want, m.standing); err != nil {
		t.Fatalf("the record itself is refused: %v", err)
	}
	kinds := []struct {
		name string
		make func() attempt
	}{
		{"bit", m.bit}, {"bits of the payload", m.payloadBits}, {"byte inserted", m.insert}, {"byte removed", m.remove},
		{"truncated", m.truncate}, {"concatenated", m.concatenate}, {"field edited", m.field}, {"field edited and signed by another", m.resigned},
		{"signatures", m.signatures}, {"base64", m.base64}, {"JSON", m.spelling}, {"statement's JSON", m.statementSpelling},
		{"type", m.confusion}, {"another target", m.elsewhere}, {"replay", m.replay}, {"removed key", m.removedKey},
	}
	reasons := map[attest.Reason]int{}
	for i := range mutants {
		k := kinds[i%len(kinds)]
		a := k.make()
		if bytes.Equal(a.envelope, m.valid) && a.untouched {
			t.Fatalf("mutation %d (%s) is none", i, k.name)
		}
		e, err := accepted(a.envelope, a.keys, a.want, a.standing)
		if err == nil {
			t.Fatalf("mutation %d (%s: %s) was accepted as %+v\n%s", i, k.name, a.what, e, a.envelope)
		}
		if reasonOf(err) == "" {
			t.Fatalf("mutation %d (%s: %s) is no refusal but an error: %v", i, k.name, a.what, err)
		}
		reasons[reasonOf(err)]++
	}
	t.Logf("%d mutations in %s, refused for: %v", mutants, time.Since(began).Round(time.Millisecond), reasons)
	for _, r := range []attest.Reason{attest.Malformed, attest.BadSignature, attest.WrongType, attest.WrongHub, attest.WrongEnv, attest.WrongCluster,
		attest.WrongRelease, attest.WrongInputs, attest.Voided, attest.Superseded, attest.OutOfOrder, attest.NotPassed} {
		if reasons[r] == 0 {
			t.Errorf("nothing was refused for its %s: the mutations do not reach that", r)
		}
	}
}

// attempt is an envelope that somebody presents for what is wanted.
type attempt struct {
	envelope  []byte
	keys      []attest.Public
	want      attest.Want
	standing  attest.Standing
	what      string
	untouched bool // all but the envelope is as it should be
}

type mutator struct {
	t        *testing.T
	r        *rand.Rand
	valid    []byte
	keys     []attest.Public
	stranger attest.Keys
	standing attest.Standing
	envelope dsse.Envelope
	payload  []byte
	genuine  [][]byte // other things that the installation has signed
}

func newMutator(t *testing.T) *mutator {
	own, old := folder(t), folder(t)
	m := &mutator{t: t, r: rand.New(rand.NewPCG(2026, 9)), stranger: folder(t), keys: public(t, own)}
	m.valid = seal(t, own, evidenceOf(want, 3))
	m.standing = attest.NewStanding(want).Record("older").Record("old").Record(shared)
	if err := json.Unmarshal(m.valid, &m.envelope); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.payload, err = base64.StdEncoding.DecodeString(m.envelope.Payload); err != nil {
		t.Fatal(err)
	}
	standing, err := m.standing.Seal(own)
	if err != nil {
		t.Fatal(err)
	}
	image := attest.Provenance{Image: evidenceOf(want, 1).Images[0], Commit: strings.Repeat("c", 40), Approval: attest.Approved, Run: "r"}
	provenance, err := image.Seal(own)
	if err != nil {
		t.Fatal(err)
	}
	m.genuine = [][]byte{standing, provenance}
	for _, change := range []func(*attest.Evidence){
		func(e *attest.Evidence) { e.Hub = "other" },
		func(e *attest.Evidence) { e.Environment = "prod" },
		func(e *attest.Evidence) { e.Evidence.Cluster = "other" },
		func(e *attest.Evidence) { e.Namespace = "other" },
		func(e *attest.Evidence) { e.Release = "other" },
		func(e *attest.Evidence) { e.Shared = "other" },
		func(e *attest.Evidence) { e.Sequence = 2 },
		func(e *attest.Evidence) { e.Sequence = 4 },
		func(e *attest.Evidence) { e.Verified.Passed = false },
	} {
		e := evidenceOf(want, 3)
		change(&e)
		m.genuine = append(m.genuine, seal(t, own, e))
	}
	m.genuine = append(m.genuine, seal(t, old, evidenceOf(want, 3)))
	return m
}

// as presents an envelope where the record would be believed.
func (m *mutator) as(envelope []byte, format string, args ...any) attempt {
	return attempt{envelope, m.keys, want, m.standing, fmt.Sprintf(format, args...), true}
}

func (m *mutator) encode(e dsse.Envelope) []byte {
	raw, err := json.Marshal(e)
	if err != nil {
		m.t.Fatal(err)
	}
	return raw
}

func (m *mutator) bit() attempt {
	raw := bytes.Clone(m.valid)
	i := m.r.IntN(len(raw) * 8)
	raw[i/8] ^= 1 << (i % 8)
	return m.as(raw, "bit %d", i)
}

// payloadBits flips bits of what is signed, and encodes it properly again.
func (m *mutator) payloadBits() attempt {
	e, raw := m.envelope, bytes.Clone(m.payload)
	for range 1 + m.r.IntN(3) {
		i := m.r.IntN(len(raw) * 8)
		raw[i/8] ^= 1 << (i % 8)
	}
	if bytes.Equal(raw, m.payload) {
		raw[0] ^= 1
	}
	e.Payload = base64.StdEncoding.EncodeToString(raw)
	return m.as(m.encode(e), "bits")
}

func (m *mutator) insert() attempt {
	i := m.r.IntN(len(m.valid) + 1)
	b := byte(m.r.IntN(256))
	return m.as(append(append(bytes.Clone(m.valid[:i]), b), m.valid[i:]...), "%q at %d", b, i)
}

func (m *mutator) remove() attempt {
	i := m.r.IntN(len(m.valid))
	return m.as(append(bytes.Clone(m.valid[:i]), m.valid[i+1:]...), "at %d", i)
}

func (m *mutator) truncate() attempt {
	i := m.r.IntN(len(m.valid))
	if m.r.IntN(2) == 0 {
		return m.as(m.valid[:i], "after %d", i)
	}
	return m.as(m.valid[i+1:], "before %d", i)
}

func (m *mutator) concatenate() attempt {
	other := m.valid
	if m.r.IntN(2) == 0 {
		other = m.genuine[m.r.IntN(len(m.genuine))]
	}
	between := []string{"", "\n", " ", ",", "\x00"}[m.r.IntN(5)]
	if m.r.IntN(2) == 0 {
		return m.as([]byte(string(m.valid)+between+string(other)), "behind")
	}
	return m.as([]byte(string(other)+between+string(m.valid)), "before")
}

// edit changes one value anywhere in the statement.
func (m *mutator) edit() ([]byte, string) {
	var s map[string]any
	if err := json.Unmarshal(m.payload, &s); err != nil {
		m.t.Fatal(err)
	}
	what := m.change(s, "")
	raw, err := json.Marshal(s)
	if err != nil {
		m.t.Fatal(err)
	}
	return raw, what
}

func (m *mutator) change(at map[string]any, path string) string {
	keys := make([]string, 0, len(at))
	for k := range at {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	k := keys[m.r.IntN(len(keys))]
	path += "." + k
	switch m.r.IntN(8) {
	case 0:
		delete(at, k)
		return path + " removed"
	case 1:
		at[k+"_"] = "new"
		return path + "_ added"
	}
	switch v := at[k].(type) {
	case map[string]any:
		if len(v) > 0 {
			return m.change(v, path)
		}
	case []any:
		if len(v) > 0 {
			i := m.r.IntN(len(v))
			if inner, ok := v[i].(map[string]any); ok && m.r.IntN(3) > 0 {
				return m.change(inner, fmt.Sprintf("%s[%d]", path, i))
			}
			at[k] = append(v, v[i])
			return path + " doubled"
		}
	case string:
		at[k] = v + "x"
		return path
	case float64:
		at[k] = v + 1
		return path
	case bool:
		at[k] = !v
		return path
	}
	at[k] = "other"
	return path
}

func (m *mutator) field() attempt {
	e := m.envelope
	raw, what := m.edit()
	e.Payload = base64.StdEncoding.EncodeToString(raw)
	return m.as(m.encode(e), "%s", what)
}

// resigned is what somebody with a key of their own makes, under its id or
// under that of the installation's.
func (m *mutator) resigned() attempt {
	key, err := m.stranger.Newest()
	if err != nil {
		m.t.Fatal(err)
	}
	raw, what := m.payload, "as it is"
	if m.r.IntN(3) > 0 {
		raw, what = m.edit()
	}
	sig, _ := key.Sign(m.t.Context(), dsse.PAE(m.envelope.PayloadType, raw))
	e := m.envelope
	e.Payload = base64.StdEncoding.EncodeToString(raw)
	id := []string{key.ID, m.keys[0].ID, ""}[m.r.IntN(3)]
	theirs := dsse.Signature{KeyID: id, Sig: base64.StdEncoding.EncodeToString(sig)}
	e.Signatures = []dsse.Signature{theirs}
	if m.r.IntN(3) == 0 {
		e.Signatures = append(e.Signatures, m.envelope.Signatures...)
	}
	return m.as(m.encode(e), "%s, key %.8q", what, id)
}

func (m *mutator) signatures() attempt {
	e := m.envelope
	own := e.Signatures[0]
	raw, _ := base64.StdEncoding.DecodeString(own.Sig)
	b64 := base64.StdEncoding.EncodeToString
	options := [][]dsse.Signature{
		nil, {}, {own, own}, {own, {}}, {{}, own}, {{KeyID: own.KeyID}}, {{Sig: own.Sig}}, {{KeyID: strings.ToUpper(own.KeyID), Sig: own.Sig}},
		{{KeyID: own.KeyID[:16], Sig: own.Sig}}, {{KeyID: own.KeyID + " ", Sig: own.Sig}}, {{KeyID: own.KeyID, Sig: b64(raw[:63])}},
		{{KeyID: own.KeyID, Sig: b64(append(bytes.Clone(raw), 0))}}, {{KeyID: own.KeyID, Sig: b64(make([]byte, 64))}},
		{{KeyID: own.KeyID, Sig: b64(plusOrder(raw))}}, {own, {KeyID: "x", Sig: own.Sig}}, {{KeyID: own.KeyID, Sig: b64(flip(raw, m.r.IntN(512)))}},
	}
	i := m.r.IntN(len(options))
	e.Signatures = options[i]
	return m.as(m.encode(e), "signatures %d", i)
}

func flip(raw []byte, bit int) []byte {
	raw = bytes.Clone(raw)
	raw[bit/8] ^= 1 << (bit % 8)
	return raw
}

// plusOrder adds the order of the group to S: the equation still holds, and
// only a check of S's range refuses it (RFC 8032, 5.1.7).
func plusOrder(sig []byte) []byte {
	order := []byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}
	out := bytes.Clone(sig)
	carry := 0
	for i, b := range order {
		n := int(out[32+i]) + int(b) + carry
		out[32+i], carry = byte(n), n>>8
	}
	return out
}

// base64 spells the same bytes in another way.
func (m *mutator) base64() attempt {
	e := m.envelope
	raw := m.payload
	respell := func(text string, raw []byte) string {
		switch m.r.IntN(6) {
		case 0:
			return base64.RawStdEncoding.EncodeToString(raw) + " "
		case 1:
			return base64.URLEncoding.EncodeToString(raw) + "\n"
		case 2:
			i := m.r.IntN(len(text))
			return text[:i] + "\n" + text[i:]
		case 3:
			return text + "="
		case 4: // bits that padding hides
			if i := strings.IndexByte(text, '='); i > 0 {
				const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
				return text[:i-1] + string(digits[strings.IndexByte(digits, text[i-1])|1]) + text[i:]
			}
		}
		i := m.r.IntN(len(text))
		return text[:i] + "\r\n" + text[i:]
	}
	if m.r.IntN(2) == 0 {
		e.Payload = respell(e.Payload, raw)
	} else {
		sig, _ := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
		e.Signatures = []dsse.Signature{{KeyID: e.Signatures[0].KeyID, Sig: respell(e.Signatures[0].Sig, sig)}}
	}
	return m.as(m.encode(e), "base64")
}

// respell says the same JSON in other bytes.
func (m *mutator) respell(raw []byte, extra string) []byte {
	text := string(raw)
	names := []string{"payload", "payloadType", "signatures", "keyid", "sig", "_type", "subject", "predicateType", "predicate", "result", "hubship_evidence", "hub", "shared", "passed"}
	for {
		switch m.r.IntN(7) {
		case 0:
			return []byte(text[:1] + extra + "," + text[1:])
		case 1:
			return []byte(text[:len(text)-1] + "," + extra + text[len(text)-1:])
		case 2: // Go's decoder does not mind
			n := names[m.r.IntN(len(names))]
			if s := strings.Replace(text, `"`+n+`":`, `"`+strings.ToUpper(n)+`":`, 1); s != text {
				return []byte(s)
			}
		case 3:
			spaces := []string{" ", "\n", "\t", "\r"}
			at := []string{`{"`, `":`, `,"`, `"}`}[m.r.IntN(4)]
			i := strings.Index(text, at)
			if i >= 0 {
				return []byte(text[:i+1] + spaces[m.r.IntN(4)] + text[i+1:])
			}
		case 4:
			return []byte(text + []string{" ", "\n", "{}", "\x00", "]"}[m.r.IntN(5)])
		case 5: // a letter, escaped
			n := names[m.r.IntN(len(names))]
			if s := strings.Replace(text, `"`+n+`"`, fmt.Sprintf(`"\u%04x%s"`, n[0], n[1:]), 1); s != text {
				return []byte(s)
			}
		case 6: // the second one wins
			n := names[m.r.IntN(len(names))]
			if i := strings.Index(text, `"`+n+`":`); i >= 0 {
				return []byte(text[:i] + `"` + n + `":null,` + text[i:])
			}
		}
	}
}

func (m *mutator) spelling() attempt {
	return m.as(m.respell(m.valid, `"extra":1`), "envelope")
}

func (m *mutator) statementSpelling() attempt {
	e := m.envelope
	e.Payload = base64.StdEncoding.EncodeToString(m.respell(m.payload, `"extra":1`))
	return m.as(m.encode(e), "statement")
}

// confusion passes something else that the installation signed, or the record
// under another type.
func (m *mutator) confusion() attempt {
	if m.r.IntN(3) == 0 {
		e := m.envelope
		e.PayloadType = []string{"", "application/json", "application/vnd.in-toto+JSON", "application/vnd.in-toto+json ", "text/plain"}[m.r.IntN(5)]
		return m.as(m.encode(e), "payload type %q", e.PayloadType)
	}
	i := m.r.IntN(len(m.genuine))
	if i < len(m.genuine)-1 && m.r.IntN(3) == 0 { // its payload under the record's signature; the last one's is the record's own
		var other dsse.Envelope
		if err := json.Unmarshal(m.genuine[i], &other); err != nil {
			m.t.Fatal(err)
		}
		other.Signatures = m.envelope.Signatures
		return m.as(m.encode(other), "the payload of %d", i)
	}
	return m.as(m.genuine[i], "genuine record %d", i)
}

// elsewhere presents the record itself for what it does not say.
func (m *mutator) elsewhere() attempt {
	a := m.as(m.valid, "")
	a.untouched = false
	field := []*string{&a.want.Hub, &a.want.Environment, &a.want.Cluster, &a.want.Namespace, &a.want.Release, &a.want.Shared}
	i := m.r.IntN(len(field))
	was := *field[i]
	*field[i] = []string{was + "x", "other", was[:len(was)-1], strings.ToUpper(was)}[m.r.IntN(4)]
	a.what = fmt.Sprintf("%q for %q", was, *field[i])
	// Its standing fits what is wanted, so that the record alone is at fault.
	a.standing = attest.NewStanding(a.want).Record("older").Record("old").Record(shared).Record(a.want.Shared)
	if a.want.Shared == shared {
		a.standing = attest.NewStanding(a.want).Record("older").Record("old").Record(shared)
	}
	return a
}

// replay presents the record itself after what it says has ceased to hold.
func (m *mutator) replay() attempt {
	a := m.as(m.valid, "")
	a.untouched = false
	s := m.standing
	for range m.r.IntN(4) {
		s = s.Record(fmt.Sprint("other ", m.r.IntN(5)))
	}
	switch m.r.IntN(4) {
	case 0:
		s, a.what = s.Halted(model.Halt{Shared: shared, Run: "r"}), "while halted"
	case 1:
		s, a.what = s.Halted(model.Halt{Shared: shared, Run: "r"}).Cleared(), "after a halt"
	case 2:
		s, a.what = s.Record(shared), "after a newer record"
	case 3:
		s, a.what = attest.NewStanding(want), "after everything was lost"
	}
	for range m.r.IntN(3) {
		s = s.Record(fmt.Sprint("other ", m.r.IntN(5)))
	}
	a.standing = s
	return a
}

func (m *mutator) removedKey() attempt {
	a := m.as(m.valid, "its key was removed")
	a.untouched = false
	a.keys = public(m.t, m.stranger)
	if m.r.IntN(4) == 0 {
		a.keys = nil
	}
	return a
}
