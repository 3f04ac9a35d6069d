package planner

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
)

// fleetSizes show how cost grows with the number of hubs.
var fleetSizes = []int{27, 270, 1000}

// BenchmarkAffected finds out what a change of one hub affects, in a fleet whose
// commits were not read before.
func BenchmarkAffected(b *testing.B) {
	for _, n := range fleetSizes {
		b.Run(fmt.Sprintf("hubs=%d", n), func(b *testing.B) {
			f := newFleet(b, manyHubs(n)...)
			base := f.head
			head := f.commit("change one", map[string]string{"deployments/hub0003/config/common.yaml": "singleuser: {memory: {limit: 3G}}\n"})
			for b.Loop() {
				p := f.planner()
				w, err := p.open(b.Context(), Request{Base: base, Head: head})
				if err != nil {
					b.Fatal(err)
				}
				if err := w.affected(b.Context()); err != nil || len(w.plan.Releases) != 2 {
					b.Fatalf("%+v, %v", w.plan.Releases, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/hub")
		})
	}
}

// BenchmarkPlanChart plans a change of the chart, rendered on both sides, which
// affects every release of the fleet.
func BenchmarkPlanChart(b *testing.B) {
	for _, n := range fleetSizes {
		b.Run(fmt.Sprintf("hubs=%d", n), func(b *testing.B) {
			f := newFleet(b, manyHubs(n)...)
			base := f.head
			head := f.commit("change all", map[string]string{"hub/values.yaml": strings.Replace(chart["hub/values.yaml"], `tag: "4"`, `tag: "5"`, 1)})
			benchmarkPlan(b, f.planner, Request{Base: base, Head: head, Render: true}, 2*n)
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/hub")
		})
	}
}

// BenchmarkPlanHub plans a change of one hub, rendered on both sides.
func BenchmarkPlanHub(b *testing.B) {
	f := newFleet(b, manyHubs(27)...)
	base := f.head
	head := f.commit("change one", map[string]string{"deployments/hub0003/config/common.yaml": "singleuser: {memory: {limit: 3G}}\n"})
	benchmarkPlan(b, f.planner, Request{Base: base, Head: head, Render: true}, 2)
}

func benchmarkPlan(b *testing.B, planner func() *Planner, q Request, releases int) {
	b.Helper()
	for b.Loop() {
		p, err := planner().Plan(b.Context(), q)
		if err != nil || len(p.Releases) != releases || len(p.Problems) > 0 {
			b.Fatalf("%d releases, %+v, %v", len(p.Releases), p.Problems, err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "heap-MiB")
}

// BenchmarkHistory plans the merges of a real repository without rendering.
// HUBSHIP_BENCH_HISTORY names its folder or git directory, HUBSHIP_BENCH_MERGES how
// many of the newest merges (1,000).
func BenchmarkHistory(b *testing.B) {
	dir := os.Getenv("HUBSHIP_BENCH_HISTORY")
	if dir == "" {
		b.Skip("HUBSHIP_BENCH_HISTORY names no repository")
	}
	merges := os.Getenv("HUBSHIP_BENCH_MERGES")
	if merges == "" {
		merges = "1000"
	}
	g, err := git.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	args := []string{"--git-dir=" + g.Dir(), "log", "--merges", "--format=%H %P", "--max-count=" + merges}
	if skip := os.Getenv("HUBSHIP_BENCH_SKIP"); skip != "" {
		args = append(args, "--skip="+skip)
	}
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p, err := New(Options{Repository: repo.New(g, repo.Options{}), Renderer: helm.NewRenderer(helm.RendererOptions{})})
		if err != nil {
			b.Fatal(err)
		}
		n, problems := 0, map[string]int{}
		var slowest time.Duration
		for line := range strings.Lines(string(out)) {
			ids := strings.Fields(line)
			began := time.Now()
			made, err := p.Plan(context.Background(), Request{Base: ids[1], Head: ids[0]})
			if err != nil {
				b.Fatalf("%s: %v", ids[0], err)
			}
			if took := time.Since(began); took > slowest {
				slowest = took
				b.Logf("%.10s took %s", ids[0], took)
			}
			for _, problem := range made.Problems {
				problems[string(problem.Severity)+" "+problem.Check]++
				if os.Getenv("HUBSHIP_BENCH_PROBLEMS") != "" && problem.Severity != plan.Notice {
					fmt.Printf("%.10s %s %s %s:%d %s %v\n", ids[0], problem.Severity, problem.Check, problem.File, problem.Line, problem.Message, problem.Preexisting)
				}
			}
			n++
		}
		b.ReportMetric(float64(n), "merges")
		b.ReportMetric(float64(slowest.Milliseconds()), "slowest-ms")
		b.Logf("problems: %v", problems)
	}
}
