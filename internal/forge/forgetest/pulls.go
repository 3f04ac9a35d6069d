package forgetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
)

// hostile is what a title must come through as it is.
const hostile = `<script>alert(1)</script> & "quotes" $(id) ` + "\u202e" + ` ünïcode 🎉 [x](javascript:x)`

func testAccounts(t *testing.T, w *world) {
	maintainer, contributor := w.login(w.Maintainer), w.login(w.Contributor)
	if maintainer == contributor || maintainer == "" || contributor == "" {
		t.Errorf("logins %q and %q", maintainer, contributor)
	}
	same(t, "the fork's owner", w.Fork.Repository().Owner, contributor)
	if w.Fork.Repository() == w.Maintainer.Repository() || w.Contributor.Repository() != w.Maintainer.Repository() {
		t.Errorf("repositories %v, %v, %v", w.Maintainer.Repository(), w.Contributor.Repository(), w.Fork.Repository())
	}
	may, err := w.Maintainer.Permission(t.Context(), maintainer)
	ok(t, err)
	if !may.Includes(forge.Write) {
		t.Errorf("the maintainer may %s", may)
	}
	may, err = w.Maintainer.Permission(t.Context(), contributor)
	ok(t, err)
	if may.Includes(forge.Write) {
		t.Errorf("the contributor may %s", may)
	}
	for _, branch := range []string{"staging", "prod"} {
		id, err := w.Contributor.Branch(t.Context(), branch)
		ok(t, err)
		out := w.git(w.Contributor, w.tree, "ls-remote", w.remote(w.Contributor).URL, "refs/heads/"+branch)
		same(t, branch, id+"\trefs/heads/"+branch, out)
	}
}

// Whoever asks learns who maintains, who merely reviews and who does neither:
// a change of the process needs the first.
func testPermissions(t *testing.T, w *world) {
	for _, who := range []struct {
		name                string
		as                  forge.Participant
		maintains, mayWrite bool
	}{
		{"maintainer", w.Maintainer, true, true},
		{"reviewer", w.Reviewer, false, true},
		{"contributor", w.Contributor, false, false},
	} {
		may, err := w.Maintainer.Permission(t.Context(), w.login(who.as))
		ok(t, err)
		same(t, "whether the "+who.name+" maintains", may.Includes(forge.Maintain), who.maintains)
		same(t, "whether the "+who.name+" writes", may.Includes(forge.Write), who.mayWrite)
		same(t, "whether the "+who.name+" reads", may.Includes(forge.Read), true)
	}
	// The account is told apart from its name, which can change hands.
	p := w.propose("numpy")
	c, err := w.Contributor.Comment(t.Context(), p.Number, "x")
	ok(t, err)
	r, err := w.Reviewer.Review(t.Context(), p.Number, forge.NewReview{State: forge.Approved})
	ok(t, err)
	if p.AuthorID == 0 || r.AuthorID == 0 || p.AuthorID == r.AuthorID {
		t.Errorf("accounts %d and %d", p.AuthorID, r.AuthorID)
	}
	same(t, "the account of a comment", c.AuthorID, p.AuthorID)
}

func testForkToMerge(t *testing.T, w *world) {
	began := time.Now().Add(-time.Minute)
	before, err := w.Maintainer.Branch(t.Context(), "staging")
	ok(t, err)
	p := w.propose("numpy")
	head := w.git(w.Fork, w.tree, "rev-parse", "numpy")
	same(t, "state", p.State, forge.Open)
	same(t, "title", p.Title, "Add numpy")
	same(t, "text", p.Body, "Because.")
	same(t, "author", p.Author, w.login(w.Contributor))
	same(t, "head", p.Head, forge.Ref{Repository: w.Fork.Repository(), Branch: "numpy", Commit: head})
	same(t, "base", p.Base, forge.Ref{Repository: w.Maintainer.Repository(), Branch: "staging", Commit: before})
	if p.Number <= 0 || p.Draft || p.Merged || p.MergeCommit != "" || p.URL == "" || p.Created.Before(began) || p.Updated.Before(p.Created) || !p.FromFork() {
		t.Errorf("%+v", p)
	}
	_, err = w.Contributor.Open(t.Context(), forge.NewPullRequest{Title: "Again", Head: w.head("numpy"), Base: "staging"})
	wants(t, err, forge.ErrConflict)

	// Its head can be fetched from the repository of its base.
	w.git(w.Maintainer, w.tree, "fetch", "--quiet", w.remote(w.Maintainer).URL, forge.PullHead(p.Number))
	same(t, "the fetched head", w.git(w.Fork, w.tree, "rev-parse", "FETCH_HEAD"), head)

	commits, err := w.Maintainer.Commits(t.Context(), p.Number)
	ok(t, err)
	if len(commits) != 1 || commits[0].ID != head || strings.TrimSpace(commits[0].Message) != "Add numpy" || commits[0].Author != "Ada" || !slices.Equal(commits[0].Parents, []string{before}) {
		t.Errorf("commits %+v", commits)
	}
	same(t, "number of files", w.mergeable(p.Number).Files, 1)

	_, err = w.Contributor.Merge(t.Context(), p.Number, forge.Merge{Head: head})
	wants(t, err, forge.ErrForbidden, forge.ErrNotFound, forge.ErrConflict)
	merged, err := w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: head, Title: "Merge numpy", Message: "For the class."})
	ok(t, err)
	now, err := w.Maintainer.Branch(t.Context(), "staging")
	ok(t, err)
	same(t, "staging", now, merged)
	w.git(w.Maintainer, w.tree, "fetch", "--quiet", w.remote(w.Maintainer).URL, "staging")
	same(t, "the merge's parents", w.git(w.Fork, w.tree, "log", "-1", "--format=%P", merged), before+" "+head)
	same(t, "the merge's message", w.git(w.Fork, w.tree, "log", "-1", "--format=%B", merged), "Merge numpy\n\nFor the class.")

	p, err = w.Contributor.PullRequest(t.Context(), p.Number)
	ok(t, err)
	if p.State != forge.Closed || !p.Merged || p.MergeCommit != merged || p.MergedBy != w.login(w.Maintainer) || p.MergedAt.Before(began) {
		t.Errorf("%+v", p)
	}
	_, err = w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: head})
	wants(t, err, forge.ErrConflict)
	state := forge.Open
	_, err = w.Maintainer.Update(t.Context(), p.Number, forge.Change{State: &state})
	wants(t, err, forge.ErrInvalid)
}

// A promotion is a pull request from a branch that lives on to another one.
func testPromotion(t *testing.T, w *world) {
	promote := forge.NewPullRequest{Title: "Promote", Head: "staging", Base: "prod"}
	_, err := w.Maintainer.Open(t.Context(), promote)
	wants(t, err, forge.ErrInvalid)
	var last string
	for _, round := range []string{"one", "two"} {
		change := w.propose(round)
		staging, err := w.Maintainer.Merge(t.Context(), w.mergeable(change.Number).Number, forge.Merge{Head: change.Head.Commit})
		ok(t, err)
		p, err := w.Maintainer.Open(t.Context(), promote)
		ok(t, err)
		same(t, "head", p.Head, forge.Ref{Repository: w.Maintainer.Repository(), Branch: "staging", Commit: staging})
		same(t, "from a fork", p.FromFork(), false)
		commits, err := w.Maintainer.Commits(t.Context(), p.Number)
		ok(t, err)
		same(t, "number of commits", len(commits), 2)
		last, err = w.Maintainer.Merge(t.Context(), w.mergeable(p.Number).Number, forge.Merge{Head: staging})
		ok(t, err)
		_, err = w.Maintainer.Open(t.Context(), promote)
		wants(t, err, forge.ErrInvalid) // staging has nothing that prod has not
		found, err := w.Maintainer.PullRequests(t.Context(), forge.Filter{State: forge.All, Base: "prod", Head: w.Maintainer.Repository().Owner + ":staging"})
		ok(t, err)
		same(t, "the last promotion", found[0].MergeCommit, last)
	}
	prod, err := w.Maintainer.Branch(t.Context(), "prod")
	ok(t, err)
	same(t, "prod", prod, last)
}

func testMethods(t *testing.T, w *world) {
	plain := w.propose("plain")
	last, err := w.Maintainer.Merge(t.Context(), w.mergeable(plain.Number).Number, forge.Merge{Head: plain.Head.Commit})
	ok(t, err)
	w.git(w.Maintainer, w.tree, "fetch", "--quiet", w.remote(w.Maintainer).URL, "staging")
	merger := w.git(w.Fork, w.tree, "log", "-1", "--format=%an", last)
	for _, method := range []string{forge.Squash, forge.Rebase} {
		before, err := w.Maintainer.Branch(t.Context(), "staging")
		ok(t, err)
		w.commit(method, "First of "+method, map[string]*string{method + ".txt": text("1\n")})
		p := w.propose(method)
		merged, err := w.Maintainer.Merge(t.Context(), w.mergeable(p.Number).Number, forge.Merge{Method: method, Head: p.Head.Commit})
		ok(t, err)
		now, err := w.Maintainer.Branch(t.Context(), "staging")
		ok(t, err)
		same(t, "staging", now, merged)
		w.git(w.Maintainer, w.tree, "fetch", "--quiet", w.remote(w.Maintainer).URL, "staging")
		commits := strings.Split(w.git(w.Fork, w.tree, "log", "--format=%s|%an|%P", before+".."+merged), "\n")
		want := 1
		if method == forge.Rebase {
			want = 2
		}
		if len(commits) != want {
			t.Errorf("%s made %q", method, commits)
		}
		for _, c := range commits {
			parts := strings.Split(c, "|")
			if strings.Contains(parts[2], " ") {
				t.Errorf("%s made a merge: %q", method, c)
			}
			// Whose work it is stays known: a squash is by the account that
			// proposed it, whatever that is called.
			if parts[1] == merger || method == forge.Rebase && parts[1] != "Ada" {
				t.Errorf("%s made %q, by %s", method, c, parts[1])
			}
		}
		same(t, "the tree after "+method, w.git(w.Fork, w.tree, "show", merged+":"+method+".txt"), "1")
		p, err = w.Maintainer.PullRequest(t.Context(), p.Number)
		ok(t, err)
		if !p.Merged || p.MergeCommit != merged {
			t.Errorf("%+v", p)
		}
	}
}

func testHeadMoved(t *testing.T, w *world) {
	p := w.propose("numpy")
	second := w.commit("numpy", "More", map[string]*string{"more.yaml": text("x\n")})
	w.push("numpy")
	w.read(p.Number, "at its new head", func(p forge.PullRequest) bool { return p.Head.Commit == second })
	_, err := w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: p.Head.Commit})
	wants(t, err, forge.ErrConflict)
	// A push that takes commits away moves the head as well.
	w.git(w.Fork, w.tree, "reset", "--quiet", "--hard", "HEAD~2")
	third := w.commit("numpy", "Anew", map[string]*string{"anew.yaml": text("x\n")})
	w.push("numpy")
	now := w.read(p.Number, "at its rewritten head", func(p forge.PullRequest) bool { return p.Head.Commit == third })
	if now.Updated.Before(p.Updated) {
		t.Errorf("updated at %v, before at %v", now.Updated, p.Updated)
	}
	w.mergeable(p.Number)
	_, err = w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: third})
	ok(t, err)
}

func testMergesAtOnce(t *testing.T, w *world) {
	one, two := w.propose("one"), w.propose("two")
	w.mergeable(one.Number)
	w.mergeable(two.Number)
	var group sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		group.Go(func() {
			p := []forge.PullRequest{one, two}[i%2]
			from := []forge.Participant{w.Maintainer, w.Elsewhere}[i/2%2]
			_, results[i] = from.Merge(t.Context(), p.Number, forge.Merge{Head: p.Head.Commit})
		})
	}
	group.Wait()
	for side := range 2 {
		merged := 0
		for i := side; i < len(results); i += 2 {
			if results[i] == nil {
				merged++
			} else {
				wants(t, results[i], forge.ErrConflict)
			}
		}
		if merged > 1 {
			t.Errorf("pull request %d was merged %d times", side+1, merged)
		}
	}
	// A merge that lost against the other pull request's is asked for again.
	for _, p := range []forge.PullRequest{one, two} {
		if now, err := w.Maintainer.PullRequest(t.Context(), p.Number); err != nil || !now.Merged {
			_, err = w.Maintainer.Merge(t.Context(), w.mergeable(p.Number).Number, forge.Merge{Head: p.Head.Commit})
			ok(t, err)
		}
	}
	w.git(w.Maintainer, w.tree, "fetch", "--quiet", w.remote(w.Maintainer).URL, "staging")
	for _, name := range []string{"one", "two"} {
		same(t, name, w.git(w.Fork, w.tree, "show", "FETCH_HEAD:"+name+".yaml"), "# "+name)
	}
	same(t, "number of merges", w.git(w.Fork, w.tree, "rev-list", "--merges", "--count", "origin/staging..FETCH_HEAD"), "2")
}

func testMergeConflict(t *testing.T, w *world) {
	var pulls []forge.PullRequest
	for _, branch := range []string{"left", "right"} {
		w.commit(branch, "Go "+branch, map[string]*string{"way.txt": text("%s\n", branch)})
		pulls = append(pulls, w.propose(branch))
	}
	for _, p := range pulls {
		w.mergeable(p.Number)
	}
	_, err := w.Maintainer.Merge(t.Context(), pulls[0].Number, forge.Merge{Head: pulls[0].Head.Commit})
	ok(t, err)
	w.read(pulls[1].Number, "in conflict", func(p forge.PullRequest) bool { return p.Mergeable != nil && !*p.Mergeable })
	_, err = w.Maintainer.Merge(t.Context(), pulls[1].Number, forge.Merge{Head: pulls[1].Head.Commit})
	wants(t, err, forge.ErrConflict)
}

func testDraft(t *testing.T, w *world) {
	w.commit("draft", "Try", map[string]*string{"a.yaml": text("a\n")})
	w.push("draft")
	p, err := w.Contributor.Open(t.Context(), forge.NewPullRequest{Title: "Try", Head: w.head("draft"), Base: "staging", Draft: true})
	ok(t, err)
	same(t, "draft", p.Draft, true)
	_, err = w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: p.Head.Commit})
	wants(t, err, forge.ErrConflict)
}

func testNothing(t *testing.T, w *world) {
	w.git(w.Fork, w.tree, "branch", "same", "origin/staging")
	w.push("same")
	for name, request := range map[string]forge.NewPullRequest{
		"nothing new":    {Title: "x", Head: w.head("same"), Base: "staging"},
		"no head":        {Title: "x", Head: w.head("missing"), Base: "staging"},
		"no base":        {Title: "x", Head: w.head("same"), Base: "missing"},
		"no title":       {Head: w.head("same"), Base: "staging"},
		"unknown fork":   {Title: "x", Head: "nobody-of-this-name:staging", Base: "prod"},
		"onto itself":    {Title: "x", Head: "staging", Base: "staging"},
		"head of a path": {Title: "x", Head: "../../etc:passwd", Base: "staging"},
		"long title":     {Title: strings.Repeat("x", forge.MaxTitle+1), Head: w.head("same"), Base: "staging"},
	} {
		if p, err := w.Contributor.Open(t.Context(), request); !errors.Is(err, forge.ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func testUpdate(t *testing.T, w *world) {
	p := w.propose("numpy")
	closed, open, body := forge.Closed, forge.Open, "line\r\n\n"+hostile
	title := hostile
	now, err := w.Contributor.Update(t.Context(), p.Number, forge.Change{Title: &title, Body: &body})
	ok(t, err)
	same(t, "title", now.Title, hostile)
	same(t, "text", now.Body, body)
	same(t, "state", now.State, forge.Open)
	now, err = w.Contributor.Update(t.Context(), p.Number, forge.Change{State: &closed})
	ok(t, err)
	same(t, "state", now.State, forge.Closed)
	same(t, "merged", now.Merged, false)
	same(t, "title", now.Title, hostile)
	_, err = w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: p.Head.Commit})
	wants(t, err, forge.ErrConflict)
	now, err = w.Maintainer.Update(t.Context(), p.Number, forge.Change{State: &open})
	ok(t, err)
	same(t, "state", now.State, forge.Open)
	read, err := w.Maintainer.PullRequest(t.Context(), p.Number)
	ok(t, err)
	same(t, "title", read.Title, hostile)
	empty, state := "", "merged"
	_, err = w.Contributor.Update(t.Context(), p.Number, forge.Change{Title: &empty})
	wants(t, err, forge.ErrInvalid)
	_, err = w.Contributor.Update(t.Context(), p.Number, forge.Change{State: &state})
	wants(t, err, forge.ErrInvalid)
}

func testLists(t *testing.T, w *world) {
	a, b, c := w.propose("a"), w.propose("b"), w.propose("c")
	closed := forge.Closed
	_, err := w.Contributor.Update(t.Context(), b.Number, forge.Change{State: &closed})
	ok(t, err)
	for _, test := range []struct {
		filter forge.Filter
		want   []int
	}{
		{forge.Filter{}, []int{a.Number, c.Number}},
		{forge.Filter{State: forge.Closed}, []int{b.Number}},
		{forge.Filter{State: forge.All}, []int{a.Number, b.Number, c.Number}},
		{forge.Filter{Head: w.head("c")}, []int{c.Number}},
		{forge.Filter{Head: w.Maintainer.Repository().Owner + ":c"}, nil},
		{forge.Filter{Base: "staging"}, []int{a.Number, c.Number}},
		{forge.Filter{Base: "prod"}, nil},
		{forge.Filter{State: forge.All, UpdatedSince: time.Now().Add(time.Hour)}, nil},
		{forge.Filter{State: forge.All, UpdatedSince: time.Now().Add(-time.Hour)}, []int{a.Number, b.Number, c.Number}},
	} {
		list, err := w.Maintainer.PullRequests(t.Context(), test.filter)
		ok(t, err)
		var got []int
		for i, p := range list {
			got = append(got, p.Number)
			if i > 0 && p.Updated.After(list[i-1].Updated) {
				t.Errorf("%+v: not the last updated first", test.filter)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: %v, expected %v", test.filter, got, test.want)
		}
	}
}

func testManyFiles(t *testing.T, w *world) {
	files := map[string]*string{}
	for i := range 500 {
		files[fmt.Sprintf("many/%03d.txt", i)] = text("%d\n", i)
	}
	w.commit("many", "Add many", files)
	p := w.propose("many")
	got, err := w.Maintainer.Files(t.Context(), p.Number)
	ok(t, err)
	seen := map[string]bool{}
	for _, f := range got {
		seen[f.Path] = true
		if f.Status != forge.FileAdded || f.Additions != 1 || f.Deletions != 0 {
			t.Fatalf("%+v", f)
		}
	}
	same(t, "number of listed files", len(seen), 501)
	same(t, "number of files", w.mergeable(p.Number).Files, 501)
}

func testKindsOfChanges(t *testing.T, w *world) {
	long := strings.Repeat("a line that stays\n", 20)
	w.commit("prepare", "Prepare", map[string]*string{"keep.txt": text("one\ntwo\n"), "old name.txt": &long, "gone.txt": text("x\n")})
	p := w.propose("prepare")
	w.mergeable(p.Number)
	_, err := w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: p.Head.Commit})
	ok(t, err)
	w.git(w.Maintainer, w.tree, "fetch", "--quiet", w.remote(w.Maintainer).URL, "+staging:refs/remotes/origin/staging")
	w.commit("change", "Change", map[string]*string{"keep.txt": text("one\n2\nthree\n"), "old name.txt": nil, "dir/new é.txt": &long, "gone.txt": nil, "picture.bin": text("\x00\x01\xff")})
	p = w.propose("change")
	files, err := w.Contributor.Files(t.Context(), p.Number)
	ok(t, err)
	got := map[string]forge.File{}
	for _, f := range files {
		got[f.Path] = f
	}
	for _, want := range []forge.File{
		{Path: "keep.txt", Status: forge.FileModified, Additions: 2, Deletions: 1},
		{Path: "dir/new é.txt", Previous: "old name.txt", Status: forge.FileRenamed},
		{Path: "gone.txt", Status: forge.FileRemoved, Deletions: 1},
		{Path: "picture.bin", Status: forge.FileAdded},
		{Path: "change.yaml", Status: forge.FileAdded, Additions: 1},
	} {
		f := got[want.Path]
		if want.Path == "keep.txt" && (!strings.HasPrefix(f.Patch, "@@ -1,2 +1,3 @@") || !strings.Contains(f.Patch, "\n-two\n+2\n+three")) {
			t.Errorf("patch %q", f.Patch)
		}
		f.Patch = ""
		same(t, want.Path, f, want)
	}
	same(t, "number of files", len(files), 5)
}

func testHeadDeleted(t *testing.T, w *world) {
	p := w.propose("numpy")
	w.git(w.Fork, w.tree, "push", "--quiet", "origin", ":numpy")
	now, err := w.Maintainer.PullRequest(t.Context(), p.Number)
	ok(t, err)
	same(t, "head", now.Head.Commit, p.Head.Commit)
	w.git(w.Maintainer, w.tree, "fetch", "--quiet", w.remote(w.Maintainer).URL, forge.PullHead(p.Number))
	same(t, "the fetched head", w.git(w.Fork, w.tree, "rev-parse", "FETCH_HEAD"), p.Head.Commit)
}

func testBaseDeleted(t *testing.T, w *world) {
	url := w.remote(w.Maintainer).URL
	w.git(w.Maintainer, w.tree, "push", "--quiet", url, "origin/staging:refs/heads/short-lived")
	w.commit("numpy", "Add numpy", map[string]*string{"numpy.yaml": text("x\n")})
	w.push("numpy")
	p, err := w.Contributor.Open(t.Context(), forge.NewPullRequest{Title: "x", Head: w.head("numpy"), Base: "short-lived"})
	ok(t, err)
	w.git(w.Maintainer, w.tree, "push", "--quiet", url, ":refs/heads/short-lived")
	w.read(p.Number, "closed", func(p forge.PullRequest) bool { return p.State == forge.Closed && !p.Merged })
	_, err = w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: p.Head.Commit})
	wants(t, err, forge.ErrConflict)
	files, err := w.Maintainer.Files(t.Context(), p.Number)
	ok(t, err)
	same(t, "number of files", len(files), 1)
}

func testPoll(t *testing.T, w *world) {
	a := w.propose("a")
	first, err := w.Maintainer.Poll(t.Context(), time.Time{})
	ok(t, err)
	if len(first.PullRequests) != 1 || first.PullRequests[0].Number != a.Number || first.Next.Before(a.Updated) {
		t.Errorf("%+v", first)
	}
	staging, err := w.Maintainer.Branch(t.Context(), "staging")
	ok(t, err)
	if len(first.Branches) != 2 || first.Branches["staging"] != staging || first.Branches["prod"] == "" {
		t.Errorf("branches %v", first.Branches)
	}
	time.Sleep(1100 * time.Millisecond) // times are in whole seconds
	b := w.propose("b")
	_, err = w.Contributor.Comment(t.Context(), a.Number, "ping")
	ok(t, err)
	second, err := w.Maintainer.Poll(t.Context(), first.Next.Add(time.Second))
	ok(t, err)
	got := []int{}
	for _, p := range second.PullRequests {
		got = append(got, p.Number)
	}
	slices.Sort(got)
	if !slices.Equal(got, []int{a.Number, b.Number}) {
		t.Errorf("a comment and a new pull request: found %v", got)
	}
	time.Sleep(1100 * time.Millisecond)
	_, err = w.Maintainer.Review(t.Context(), a.Number, forge.NewReview{State: forge.Approved})
	ok(t, err)
	second, err = w.Maintainer.Poll(t.Context(), second.Next.Add(time.Second))
	ok(t, err)
	if len(second.PullRequests) != 1 || second.PullRequests[0].Number != a.Number {
		t.Errorf("a review: found %+v", second.PullRequests)
	}
	time.Sleep(1100 * time.Millisecond)
	w.mergeable(b.Number)
	merged, err := w.Maintainer.Merge(t.Context(), b.Number, forge.Merge{Head: b.Head.Commit})
	ok(t, err)
	third, err := w.Maintainer.Poll(t.Context(), second.Next.Add(time.Second))
	ok(t, err)
	if len(third.PullRequests) != 1 || !third.PullRequests[0].Merged || third.PullRequests[0].MergeCommit != merged || third.Branches["staging"] != merged {
		t.Errorf("a merge: found %+v", third)
	}
}
