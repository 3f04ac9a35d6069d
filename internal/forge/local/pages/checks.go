package pages

import (
	"cmp"
	"context"
	"slices"

	gh "github.com/google/go-github/v89/github"
)

// statusRow is a status or a check run of a commit.
type statusRow struct{ State, Name, Text, URL string }

func (v *visit) statuses(sha string) ([]statusRow, error) {
	var rows []statusRow
	combined, _, err := v.api.Repositories.GetCombinedStatus(v.ctx, v.owner, v.name, sha, &gh.ListOptions{PerPage: 100})
	if err != nil {
		return nil, err
	}
	for _, s := range combined.Statuses {
		rows = append(rows, statusRow{s.GetState(), s.GetContext(), s.GetDescription(), s.GetTargetURL()})
	}
	slices.SortFunc(rows, func(a, b statusRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows, nil
}

// shownLines is how much of a log the page of a check shows.
const shownLines = 1000

func (v *visit) pullChecks() (view, error) {
	d, _, err := v.look()
	if err != nil {
		return view{}, err
	}
	if d.Remarks, err = v.remarks(d.PR.GetHead().GetSHA()); err != nil {
		return view{}, err
	}
	out := view{Page: "pull", Title: d.title(), Tab: "checks", Data: d}
	if d.Check == nil {
		out.Refresh = 3
		return out, nil
	}
	d.Final = d.Check.State.Final()
	if !d.Final {
		out.Refresh = 3
	}
	if v.o.Lines != nil {
		if err := v.log(v.ctx, &d); err != nil {
			return view{}, err
		}
	}
	out.Data = d
	return out, nil
}

// log reads the end of a check's log.
func (v *visit) log(ctx context.Context, d *pullData) error {
	for {
		lines, err := v.o.Lines(ctx, d.Check.ID, d.After, 1000)
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			return nil
		}
		d.After = lines[len(lines)-1].Seq
		if d.Lines = append(d.Lines, lines...); len(d.Lines) > shownLines {
			d.Lines, d.Before = d.Lines[len(d.Lines)-shownLines:], true
		}
	}
}
