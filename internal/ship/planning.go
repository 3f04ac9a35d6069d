package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/hubship/hubship/internal/gate"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// runPlan is what a run is going to do, decided before it changes anything.
type runPlan struct {
	Process  string // commit of the process branch that it was decided by
	Verify   model.VerifySettings
	Releases []releasePlan
	Build    []model.Source // that no registry has, unique by ID
}

// releasePlan is what a run is going to do to one release.
type releasePlan struct {
	Cluster model.Cluster
	Desired model.Desired
	Before  model.Observed
	Action  plan.Action
	Reasons []string
	Images  []model.Built // known ones; those in runPlan.Build are missing
	// Resolved is what is known of what was made elsewhere. First says that the
	// rest is resolved now, since no environment comes before this one.
	Resolved model.Resolved
	First    bool
	Packages []model.Package // to import in verification
	// Passed is the commit of the newest evidence that counts; empty when there
	// is none. Helm's records do not say it: whoever may write Secrets in the
	// namespace can write those.
	Passed string
	Halted bool // a halt of this release stands and ends when it passes
}

// planRun plans a run of any kind.
func (e *Engine) planRun(ctx context.Context, in runInput) (runPlan, error) {
	r := in.Run
	fleet, err := e.fleet(ctx, r.Commit)
	if err != nil {
		return runPlan{}, err
	}
	p, err := e.planEnvironment(ctx, fleet, r)
	if err != nil {
		return p, err
	}
	for i := range p.Releases {
		rel := &p.Releases[i]
		if len(in.Packages) > 0 {
			rel.Packages = nil
			for _, name := range in.Packages {
				rel.Packages = append(rel.Packages, model.Package{Name: name})
			}
		}
		level := model.LevelInfo
		if rel.Action == plan.Refuse || rel.Action == plan.Hold {
			level = model.LevelWarn
		}
		e.say(r.ID, "plan", level, "%s: %s: %s", rel.Desired.Target, rel.Action, strings.Join(rel.Reasons, "; "))
	}
	e.preview(ctx, r, p.Releases)
	for _, src := range p.Build {
		e.say(r.ID, "plan", model.LevelInfo, "image %s: to be built: no image of these inputs (%.12s) is in the registry", src.ID, src.Hash)
	}
	return p, nil
}

// planEnvironment observes the releases of the run's environment and decides
// about each. It changes nothing, so the reconcile pass uses it too.
func (e *Engine) planEnvironment(ctx context.Context, fleet *model.Fleet, r model.Run) (runPlan, error) {
	p := runPlan{Process: fleet.Process, Verify: fleet.Verify}
	env, ok := fleet.Environment(r.Environment)
	if !ok {
		return p, model.Usage(fmt.Errorf("environment %q is not in the process at %.12s", r.Environment, fleet.Process),
			"`hubship status` lists the environments")
	}
	desired, err := e.Repository.Desired(ctx, fleet, env.Name)
	if err != nil {
		return p, err
	}
	desired = slices.DeleteFunc(desired, func(d model.Desired) bool {
		return len(r.Hubs) > 0 && !slices.Contains(r.Hubs, d.Target.Hub)
	})
	if len(desired) == 0 {
		return p, fmt.Errorf("no hub of %s matches %s at %.12s", env.Name, hubsText(r.Hubs), r.Commit)
	}
	around := surroundings{fleet: fleet, env: env, finder: newImageFinder(e.Images, e.Repository, r.Commit)}
	if around.taken, err = e.neighbours(ctx, fleet, env); err != nil {
		return p, err
	}
	if r.Kind == model.Deploy {
		if around.astray, err = e.astray(ctx, env, r.Commit); err != nil {
			return p, err
		}
	}
	p.Releases = make([]releasePlan, len(desired))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, d := range desired {
		group.Go(func() error {
			rel, err := e.planRelease(gctx, around, r, d)
			if err != nil {
				return fmt.Errorf("plan %s: %w", d.Target, err)
			}
			p.Releases[i] = rel
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return p, err
	}
	p.Build = missingImages(p.Releases)
	return p, nil
}

// surroundings are what decisions about the releases of a run have in common.
type surroundings struct {
	fleet  *model.Fleet
	env    model.Environment
	astray string            // why the commit is none for the environment; empty when it is
	taken  map[string]string // places of other environments' releases
	finder *imageFinder
}

// refused says why a release must be left alone before anything is asked about
// it, or "".
func (s surroundings) refused(d model.Desired) string {
	if d.Invalid != "" {
		return d.Invalid
	}
	if other, ok := s.taken[placeOf(d.Target)]; ok {
		return fmt.Sprintf("the namespace %s on cluster %s is that of %s", d.Target.Namespace, d.Target.Cluster, other)
	}
	return ""
}

// planRelease decides about one release.
func (e *Engine) planRelease(ctx context.Context, around surroundings, r model.Run, d model.Desired) (releasePlan, error) {
	rel := releasePlan{Desired: d}
	if why := around.refused(d); why != "" {
		rel.Action, rel.Reasons = plan.Refuse, []string{why}
		return rel, nil
	}
	cluster, err := e.cluster(ctx, d.Target)
	if errors.Is(err, model.ErrUnknownCluster) {
		rel.Action, rel.Reasons = plan.Refuse, []string{describe(err)}
		return rel, nil
	}
	if err != nil {
		return rel, err
	}
	rel.Cluster = cluster
	before, err := e.Releases.Observe(ctx, cluster, d.Target)
	if err != nil {
		return rel, err
	}
	rel.Before = before
	halt, halted, err := e.Ledger.Halted(ctx, cluster, d.Target)
	if err != nil {
		return rel, err
	}
	rel.Halted = halted
	proof, proven, err := e.Ledger.Evidence(ctx, cluster, d.Target, d.Shared)
	if err != nil {
		return rel, err
	}
	facts := plan.Facts{
		Kind: r.Kind, Force: r.Force, Observed: before,
		GitInputs: plan.Inputs(d, nil, model.Resolved{}),
	}
	if halted {
		facts.Halt = &halt
	}

	rel.First = around.env.After == ""
	if proven {
		rel.Resolved = proof.Resolved
	}
	verdict, err := e.enter(ctx, around, r, &rel, proven && before.Status == model.Deployed && before.Inputs == plan.Inputs(d, proof.Images, proof.Resolved))
	if err != nil {
		return rel, err
	}
	if rel.Images, err = e.chooseImages(ctx, around, d, proof, proven, &verdict); err != nil {
		return rel, err
	}
	complete := len(rel.Images) == len(d.Images)
	if complete {
		facts.Inputs = plan.Inputs(d, rel.Images, rel.Resolved)
		facts.Verified = proven && proof.Inputs == facts.Inputs
	}
	facts.Verdict = verdict
	rel.Action, rel.Reasons = plan.Decide(facts)
	if rel.Action == plan.Upgrade || rel.Action == plan.Test {
		if rel.Passed, err = e.lastPassed(ctx, cluster, d.Target); err != nil {
			return rel, err
		}
		rel.Packages, err = e.packagesToImport(ctx, r, rel.Passed, d)
	}
	return rel, err
}

// chooseImages returns the images that a release runs: those that ran here with
// the same inputs, those that the environment before has proved, or, in the first
// environment, what its sources were built into; there some may be missing. It
// refuses in the verdict what is proved and gone.
func (e *Engine) chooseImages(ctx context.Context, around surroundings, d model.Desired, proof model.Evidence, proven bool, verdict *model.HubVerdict) ([]model.Built, error) {
	if proven {
		// A revert runs these very bytes again.
		if all, err := e.allExist(ctx, proof.Images); err != nil || all {
			return proof.Images, err
		}
	}
	if verdict.Proof != nil {
		all, err := e.allExist(ctx, verdict.Proof.Images)
		if err != nil {
			return nil, err
		}
		if !all {
			verdict.Allowed = false
			verdict.Reasons = append(verdict.Reasons, fmt.Sprintf("an image that was verified in %s is no longer in the registry", around.env.After))
		}
		return verdict.Proof.Images, nil
	}
	if around.env.After != "" {
		return nil, nil
	}
	return around.finder.find(ctx, d.Images)
}

// lastPassed is the commit of the newest evidence of a release that counts, or
// "".
func (e *Engine) lastPassed(ctx context.Context, cluster model.Cluster, t model.Target) (string, error) {
	records, err := e.Ledger.Records(ctx, cluster, t)
	if err != nil {
		return "", err
	}
	for _, r := range records {
		if r.Believed && r.Evidence != nil {
			return r.Evidence.Commit, nil
		}
	}
	return "", nil
}

// enter asks the gate of the environment. runs says that the release runs what
// is wanted, proven here.
func (e *Engine) enter(ctx context.Context, around surroundings, r model.Run, rel *releasePlan, runs bool) (model.HubVerdict, error) {
	d, before := rel.Desired, rel.Before
	req := gate.Request{Target: d.Target, Desired: d, Force: r.Force, Astray: around.astray}
	if before.Commit != "" && before.Commit != d.Commit {
		older, err := e.Repository.IsAncestor(ctx, d.Commit, before.Commit)
		// What a force-push removed cannot be compared; that is no way back.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return model.HubVerdict{}, err
		}
		req.Older, req.Running = older, before.Commit
	}
	if around.env.After != "" {
		proof, err := e.proofFor(ctx, around.fleet, around.env, d)
		if err != nil {
			return model.HubVerdict{}, err
		}
		req.After = &proof
		if req.Names, err = e.names(ctx, rel, proof.Evidence, runs); err != nil {
			return model.HubVerdict{}, err
		}
	}
	return gate.Enter(req), nil
}

// proofFor gathers what the environment before says about the inputs.
func (e *Engine) proofFor(ctx context.Context, fleet *model.Fleet, env model.Environment, d model.Desired) (gate.Proof, error) {
	proof := gate.Proof{Environment: env.After}
	target, err := fleet.Target(d.Target.Hub, env.After)
	if err != nil {
		return proof, err
	}
	cluster, err := e.cluster(ctx, target)
	if errors.Is(err, model.ErrUnknownCluster) {
		proof.Unknown = describe(err)
		return proof, nil
	}
	if err != nil {
		return proof, err
	}
	ev, ok, err := e.Ledger.Evidence(ctx, cluster, target, d.Shared)
	if err != nil {
		return proof, err
	}
	if ok {
		proof.Evidence = &ev
	}
	if latest, ok, err := e.Ledger.Latest(ctx, cluster, target); err != nil {
		return proof, err
	} else if ok {
		proof.Latest = &latest
		if proof.Evidence == nil {
			// Words only: where they cannot be had, the refusal is as firm.
			proof.Changed, _ = e.Repository.Changed(ctx, latest.Commit, d.Commit, d.Target.Hub)
		}
	}
	if proof.Evidence == nil {
		records, err := e.Ledger.Records(ctx, cluster, target)
		if err != nil {
			return proof, err
		}
		proof.Refused = refusedRecords(records)
	}
	halt, ok, err := e.Ledger.Halted(ctx, cluster, target)
	if err != nil {
		return proof, err
	}
	if ok {
		proof.Halt = &halt
	}
	return proof, nil
}

// refusedNow says why a release that a plan let in may not be deployed any more,
// or "". Between the plan and now there may be hours: other hubs went first, the
// Lease was somebody else's, or this process was not there. Meanwhile a halt may
// have come, a key gone, or the process changed. What cannot be asked refuses;
// only the end of the context is an error.
func (e *Engine) refusedNow(ctx context.Context, in releaseInput) (string, error) {
	why, err := e.askAgain(ctx, in)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "whether it may still be deployed is not known: " + describe(err), nil
	}
	return why, nil
}

func (e *Engine) askAgain(ctx context.Context, in releaseInput) (string, error) {
	d := in.Plan.Desired
	fleet, err := e.fleet(ctx, d.Commit)
	if err != nil {
		return "", err
	}
	env, ok := fleet.Environment(d.Target.Environment)
	if !ok {
		return fmt.Sprintf("the process has no environment %s any more", d.Target.Environment), nil
	}
	if t, err := fleet.Target(d.Target.Hub, env.Name); err != nil || t != d.Target {
		return "the process says by now that it lives elsewhere", err
	}
	if cluster, err := e.cluster(ctx, d.Target); err != nil || cluster != in.Plan.Cluster {
		return fmt.Sprintf("the cluster %s is another one by now", d.Target.Cluster), err
	}
	astray, err := e.astray(ctx, env, d.Commit)
	if err != nil || astray != "" {
		return astray, err
	}
	if env.After == "" {
		return "", nil
	}
	proof, err := e.proofFor(ctx, fleet, env, d)
	if err != nil {
		return "", err
	}
	verdict := gate.Enter(gate.Request{Target: d.Target, Desired: d, After: &proof, Names: &gate.Names{Images: refs(in.Resolved.Images)}})
	if verdict.Allowed {
		return "", nil
	}
	return joinReasons(verdict.Reasons), nil
}

// allExist says whether the registry still has every one of the images. One
// that does not answer says neither: nothing is built or refused for that.
func (e *Engine) allExist(ctx context.Context, images []model.Built) (bool, error) {
	for _, b := range images {
		if ok, err := e.Images.Exists(ctx, b); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// missingImages lists the sources of releases to be upgraded that no registry
// has.
func missingImages(releases []releasePlan) []model.Source {
	var missing []model.Source
	for _, rel := range releases {
		if rel.Action != plan.Upgrade {
			continue
		}
		for _, src := range rel.Desired.Images {
			found := slices.ContainsFunc(rel.Images, func(b model.Built) bool { return b.ID == src.ID })
			listed := slices.ContainsFunc(missing, func(s model.Source) bool { return s.ID == src.ID })
			if !found && !listed {
				missing = append(missing, src)
			}
		}
	}
	return missing
}
