package attest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// TypeStanding is the predicate type of a release's standing.
const TypeStanding = "https://github.com/hubship/hubship/attestation/standing/v1"

// KeepEvidence is how many of a release's last records count.
const KeepEvidence = 20

// Standing is what has to be remembered about a release besides its evidence:
// its halt, and which records count. It is signed, and kept in two places, in
// the cluster and in hubship's database. Its rules are pure and in one place,
// here:
//
//   - Record makes the next record of some inputs the one that counts.
//   - Halt holds the release back, and voids all evidence of the inputs that
//     failed so far; the mark stays when the halt is cleared.
//   - Clear ends the halt.
//   - Merge makes one of the two copies, on the safe side.
type Standing struct {
	Cluster     string `json:"cluster"` // identity
	Environment string `json:"environment"`
	Hub         string `json:"hub"`
	Namespace   string `json:"namespace"`
	Release     string `json:"release"`

	Generation int64       `json:"generation"` // grows by each change
	Sequence   int64       `json:"sequence"`   // of the newest record
	Counting   []Counting  `json:"counting"`   // records that count, sorted by inputs
	Voided     []Void      `json:"voided"`     // sorted by inputs
	Halt       *model.Halt `json:"halt"`
}

// Counting names the newest record of some inputs.
type Counting struct {
	Shared   string `json:"shared"`
	Sequence int64  `json:"sequence"`
}

// Void says that evidence of some inputs does not count up to a record,
// because the inputs failed later.
type Void struct {
	Shared string `json:"shared"`
	UpTo   int64  `json:"upTo"` // sequence number
	Run    string `json:"run"`  // that failed
}

// NewStanding is that of a release of which nothing is known.
func NewStanding(w Want) Standing {
	return Standing{Cluster: w.Cluster, Environment: w.Environment, Hub: w.Hub, Namespace: w.Namespace, Release: w.Release}
}

func (s Standing) about(w Want) error {
	if s.Cluster != w.Cluster || s.Environment != w.Environment || s.Hub != w.Hub || s.Namespace != w.Namespace || s.Release != w.Release {
		return refuse(WrongRelease, "it is about %.80s@%.80s, release %.80s in namespace %.80s", s.Hub, s.Environment, s.Release, s.Namespace)
	}
	return nil
}

// floor is the last record that is too old to count.
func (s Standing) floor() int64 { return s.Sequence - KeepEvidence }

// counts says why a genuine record of the release does not count.
func (s Standing) counts(e Evidence) error {
	for _, v := range s.Voided {
		if v.Shared == e.Shared && e.Sequence <= v.UpTo {
			return refuse(Voided, "these inputs failed later, in run %.80s", v.Run)
		}
	}
	if e.Sequence <= s.floor() {
		return refuse(OutOfOrder, "it is older than the last %d records (it is number %d, the newest is %d)", KeepEvidence, e.Sequence, s.Sequence)
	}
	i, ok := s.counting(e.Shared)
	switch {
	case !ok || e.Sequence > s.Counting[i].Sequence:
		return refuse(OutOfOrder, "this installation does not remember writing it (it is number %d, the newest is %d)", e.Sequence, s.Sequence)
	case e.Sequence < s.Counting[i].Sequence:
		return refuse(Superseded, "a newer record of the same inputs was written (it is number %d, that one is %d)", e.Sequence, s.Counting[i].Sequence)
	}
	return nil
}

func (s Standing) counting(shared string) (int, bool) {
	return slices.BinarySearchFunc(s.Counting, shared, func(c Counting, t string) int { return strings.Compare(c.Shared, t) })
}

// clone shares nothing with s.
func (s Standing) clone() Standing {
	s.Counting, s.Voided = slices.Clone(s.Counting), slices.Clone(s.Voided)
	if s.Halt != nil {
		h := *s.Halt
		s.Halt = &h
	}
	return s
}

// Record returns the standing after the next record, which is about the inputs
// and takes the new Sequence.
func (s Standing) Record(shared string) Standing {
	s = s.clone()
	s.Generation++
	s.Sequence++
	i, ok := s.counting(shared)
	if !ok {
		s.Counting = slices.Insert(s.Counting, i, Counting{Shared: shared})
	}
	s.Counting[i].Sequence = s.Sequence
	// What is below the floor counts for no other reason any more.
	s.Counting = slices.DeleteFunc(s.Counting, func(c Counting) bool { return c.Sequence <= s.floor() })
	s.Voided = slices.DeleteFunc(s.Voided, func(v Void) bool { return v.UpTo <= s.floor() })
	return s
}

// Halted returns the standing with a halt.
func (s Standing) Halted(h model.Halt) Standing {
	s = s.clone()
	s.Generation++
	s.Halt = &h
	if h.Shared != "" {
		s.void(Void{Shared: h.Shared, UpTo: s.Sequence, Run: h.Run})
	}
	return s
}

// void adds a mark, and takes what it is about out of what counts.
func (s *Standing) void(v Void) {
	i, ok := slices.BinarySearchFunc(s.Voided, v.Shared, func(v Void, t string) int { return strings.Compare(v.Shared, t) })
	switch {
	case !ok:
		s.Voided = slices.Insert(s.Voided, i, v)
	case v.UpTo >= s.Voided[i].UpTo:
		s.Voided[i] = v
	}
	s.Counting = slices.DeleteFunc(s.Counting, func(c Counting) bool { return c.Shared == v.Shared && c.Sequence <= v.UpTo })
}

// Cleared returns the standing without a halt. What the halt voided stays so.
func (s Standing) Cleared() Standing {
	s = s.clone()
	s.Generation++
	s.Halt = nil
	return s
}

// Copy is a standing as it was found in one place.
type Copy struct {
	Standing
	Found bool
	// Trouble says why it is not believed; nil when it is.
	Trouble error
}

// Believed says that the copy is there, genuine and about the release.
func (c Copy) Believed() bool { return c.Found && c.Trouble == nil }

// Merge makes one standing of the two copies. The newer of those that are
// believed is taken, with the halt and the marks of the other: a halt stands
// if either says so, and evidence counts only if none objects. Where neither
// is believed nothing counts, and a halt that is there stands whoever wrote
// it: it can only hold back.
//
// What is in the database is hubship's own, so its halt stands also where its
// signature is not believed any more, because the key was removed. In the
// cluster others may write: where the database is believed, a copy there that
// is not changes nothing.
func Merge(w Want, database, cluster Copy) Standing {
	generation := max(database.Generation, cluster.Generation)
	out := NewStanding(w)
	switch {
	case database.Believed() && cluster.Believed():
		newer, older := database.Standing, cluster.Standing
		if older.Generation > newer.Generation {
			newer, older = older, newer
		}
		out = newer.clone()
		if out.Halt == nil {
			out.Halt = older.clone().Halt
		}
		for _, v := range older.Voided {
			if v.UpTo > out.floor() {
				out.void(v)
			}
		}
		if newer.Generation == older.Generation {
			out.Sequence = max(newer.Sequence, older.Sequence)
			out.Counting = slices.DeleteFunc(out.Counting, func(c Counting) bool { return !slices.Contains(older.Counting, c) })
		}
	case database.Believed():
		out = database.clone()
	case cluster.Believed():
		out = cluster.clone()
		if database.Found && database.Halt != nil && out.Halt == nil {
			out.Halt = database.clone().Halt
		}
	default:
		out.Sequence = max(database.Sequence, cluster.Sequence)
		if h := cmp.Or(database.Halt, cluster.Halt); h != nil {
			halt := *h
			out.Halt = &halt
		}
		// An unsigned number must not use up the numbers that there are.
		if out.Sequence < 0 || out.Sequence > maxUnsigned {
			out.Sequence = 0
		}
		if generation < 0 || generation > maxUnsigned {
			generation = 0
		}
	}
	if !cluster.Believed() && database.Believed() {
		generation = database.Generation
	}
	out.Generation = max(out.Generation, generation)
	return out
}

const maxUnsigned = 1 << 40

// Seal signs the standing with the newest key.
func (s Standing) Seal(keys Keys) ([]byte, error) {
	s = s.clone()
	if s.Halt != nil {
		s.Halt.Since = s.Halt.Since.UTC()
	}
	payload, err := s.payload()
	if err != nil {
		return nil, err
	}
	return seal(keys, payload)
}

func (s Standing) payload() ([]byte, error) {
	// A digest of the name, for a statement has to have one.
	sum := sha256.Sum256([]byte(s.Cluster + "\x00" + s.Namespace + "\x00" + s.Release))
	subject := Subject{Name: "release:" + s.Hub, Digest: map[string]string{"hubship-release": hex.EncodeToString(sum[:])}}
	return encode(TypeStanding, []Subject{subject}, s)
}

// OpenStanding reads a copy of the standing. What is not believed is in the
// Copy as its Trouble; the rest of it is then as somebody wrote it.
func OpenStanding(envelope []byte, keys []Public, w Want) (Copy, error) {
	c := Copy{Found: true}
	payload, _, err := open(envelope, keys)
	if err == nil {
		var s statement[Standing]
		if s, err = decode[Standing](payload, TypeStanding); err == nil {
			if err = s.Predicate.about(w); err == nil {
				c.Standing = s.Predicate
				return c, nil
			}
		}
	}
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return Copy{}, err
	}
	c.Trouble = refusal
	c.Standing = unsigned(envelope, w)
	return c, nil
}
