package report

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

// packed is one change of a package, with all images that have it.
type packed struct {
	Change plan.ChangeKind
	Text   string
	Loose  bool
	Images []string
	Place  string // of the first
}

// packs says each change of a package once: those that several images have
// come first, then those of one image, image by image. A package that goes from
// one ecosystem to another is one change.
func packs(list []plan.Package) []packed {
	at := map[string]int{}
	var out []packed
	for i, p := range list {
		text := looseText(p)
		switch from, to := moved(list, i); {
		case from != nil:
			continue // said where it goes
		case to != nil:
			text = packageText(*to) + ", now " + looseText(p)
			p.Change = plan.Changed
		}
		key := string(p.Change) + " " + text
		n, ok := at[key]
		if !ok {
			n = len(out)
			at[key] = n
			out = append(out, packed{Change: p.Change, Text: text, Loose: loose(p), Place: fmt.Sprintf("%s:%d", p.File, p.Line)})
		}
		if !slices.Contains(out[n].Images, p.Image) {
			out[n].Images = append(out[n].Images, p.Image)
		}
	}
	slices.SortStableFunc(out, func(a, b packed) int {
		switch x, y := len(a.Images) > 1, len(b.Images) > 1; {
		case x && y:
			return len(b.Images) - len(a.Images)
		case x:
			return -1
		case y:
			return 1
		}
		return 0
	})
	return out
}

// moved finds the other half of a package that goes from one ecosystem to
// another within an image: with what it is now for the one that goes, with what
// it was for the one that comes.
func moved(list []plan.Package, i int) (now, was *plan.Package) {
	p := list[i]
	if p.Change != plan.Added && p.Change != plan.Removed {
		return nil, nil
	}
	for n := range list {
		q := &list[n]
		if q.Image != p.Image || q.Ecosystem == p.Ecosystem || !strings.EqualFold(q.Name, p.Name) {
			continue
		}
		switch {
		case p.Change == plan.Removed && q.Change == plan.Added:
			return q, nil
		case p.Change == plan.Added && q.Change == plan.Removed:
			return nil, q
		}
	}
	return nil, nil
}

// where names the images, or the place when there is but one.
func (p packed) where() string {
	if len(p.Images) == 1 {
		return p.Place
	}
	names := make([]string, len(p.Images))
	for i, id := range p.Images {
		names[i] = path.Base(id)
	}
	return fmt.Sprintf("in %d images: %s", len(names), few(names, 4))
}

// packageText is a package's change in words: its ecosystem, its name, and the
// specification before and after.
func packageText(p plan.Package) string {
	spec := func(s string) string {
		if s == "" || strings.HasPrefix(s, p.Name) {
			return s
		}
		return p.Name + " " + s
	}
	text := p.Ecosystem + " "
	switch before, after := spec(p.Before), spec(p.After); {
	case before+after == "":
		text += p.Name
	case p.Change == plan.Added, before == "":
		text += after
	case p.Change == plan.Removed, after == "":
		text += before
	default:
		text += before + " → " + p.After // the name stands before the arrow
	}
	return text
}

// looseText marks a package whose new specification leaves the version open.
func looseText(p plan.Package) string {
	if loose(p) {
		return packageText(p) + " (not pinned)"
	}
	return packageText(p)
}

// loose says that a package's new specification names no version, where people
// name one: Debian's packages are held by the release of the base image.
func loose(p plan.Package) bool {
	return !p.Pinned && p.Change != plan.Removed && p.Ecosystem != "apt"
}
