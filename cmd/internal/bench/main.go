// Bench measures the programs from outside, on this machine and in one run, and
// prints ratios: what a device's poll costs beside the cheapest request there
// is, what authentication adds, and how fast an artifact leaves beside nginx
// serving the same file; chunks for vehicles beside the least that could be
// done for them; blocks for constrained devices beside libcoap's server; and
// the device client's footprint. Single numbers depend on the machine; ratios
// less: their median is printed, and the range of the middle half of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// options are what a run may change.
type options struct {
	updraft string
	devices int
	conns   int
	rounds  int
	round   time.Duration
	size    int64
	// Of the device client.
	idle     time.Duration
	download int64
	only     string
}

func main() {
	var o options
	flag.StringVar(&o.updraft, "updraft", "bin/updraft", "the server's program")
	flag.IntVar(&o.devices, "devices", 10_000, "registered devices; all of them poll")
	flag.IntVar(&o.conns, "conns", 32, "connections that poll at a time")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; medians are printed, and quartiles")
	flag.DurationVar(&o.round, "round", 3*time.Second, "length of one measurement")
	flag.Int64Var(&o.size, "size", 512<<20, "bytes of the artifact")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long the idle device client is watched")
	flag.Int64Var(&o.download, "download", 2<<30, "bytes the device client downloads")
	flag.StringVar(&o.only, "only", "", "the one part to run: vehicles, constrained, polls, downloads or footprint")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	work := func() error { return run(ctx, o) }
	if play := os.Getenv(roleEnv); play != "" {
		work = func() error { return playRole(ctx, play) }
	} else if play := os.Getenv(rviRoleEnv); play != "" {
		work = func() error { return playRVIRole(play) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "updraft-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("%d devices, %d connections, %d rounds of %s each\n", o.devices, o.conns, o.rounds, o.round)
	parts := []struct {
		name string
		run  func(context.Context, options, string) error
	}{
		{"vehicles", vehicles},
		{"constrained", constrained},
		{"polls", polls},
		{"downloads", downloads},
		{"footprint", footprint},
	}
	known := o.only == ""
	for _, p := range parts {
		if o.only != "" && o.only != p.name {
			continue
		}
		known = true
		if err := p.run(ctx, o, dir); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if !known {
		return fmt.Errorf("-only %s: there is no such part", o.only)
	}
	return nil
}

// polls measures the device's question beside /healthz and without auth.
func polls(ctx context.Context, o options, dir string) error {
	secure, err := newFleet(ctx, dir+"/auth-on", "on", o.devices)
	if err != nil {
		return err
	}
	open, err := newFleet(ctx, dir+"/auth-none", "none", o.devices)
	if err != nil {
		return err
	}
	servers := []*fleetDir{secure, open}
	for _, s := range servers {
		if err := s.start(o.updraft); err != nil {
			return err
		}
		defer s.stop()
	}
	kinds := []struct {
		name     string
		server   *fleetDir
		requests [][]byte
	}{
		{"GET /healthz", secure, [][]byte{get(secure.addr, "/healthz", "")}},
		{"poll, auth on", secure, secure.polls()},
		{"poll, auth none", open, open.polls()},
	}
	seen := make([][]load, len(kinds))
	for r := -1; r < o.rounds; r++ { // round -1 warms up
		for i, k := range kinds {
			l, err := hammer(k.server.addr, k.requests, o.conns, o.round)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if r >= 0 {
				seen[i] = append(seen[i], l)
			}
		}
	}
	fmt.Printf("\n%-18s %12s %10s\n", "", "requests/s", "p99")
	for i, k := range kinds {
		fmt.Printf("%-18s %12.0f %10s\n", k.name, median(perSecond(seen[i])), p99(seen[i]))
	}
	fmt.Printf("poll with auth : healthz      %s  (aim 0.25)\n", ratios(perSecond(seen[1]), perSecond(seen[0])))
	fmt.Printf("poll with auth : without      %s  (aim 0.9)\n", ratios(perSecond(seen[1]), perSecond(seen[2])))
	return nil
}

// downloads measures an artifact's way out beside nginx.
func downloads(ctx context.Context, o options, dir string) error {
	s, err := newFleet(ctx, dir+"/download", "none", 1)
	if err != nil {
		return err
	}
	path, blob, err := s.publish(ctx, o.size)
	if err != nil {
		return err
	}
	if err := s.start(o.updraft); err != nil {
		return err
	}
	defer s.stop()
	web, err := startNginx(dir+"/nginx", blob)
	if err != nil {
		return err
	}
	defer web.stop()
	// One connection is the comparison. Four fill the cores, where what each
	// program costs counts alone; but beside other work on the machine the
	// one with more threads gets more of it.
	for _, conns := range []int{1, 4} {
		ours, theirs, err := o.sideBySide(conns, place{s.addr, path, o.size}, place{web.addr, web.path, o.size})
		if err != nil {
			return err
		}
		fmt.Printf("\n%-18s %12s   (%d at a time)\n", "", "MB/s", conns)
		fmt.Printf("%-18s %12.0f\n%-18s %12.0f\n", "download", median(ours)/1e6, "nginx, same file", median(theirs)/1e6)
		fmt.Printf("download : nginx              %s of %d pairs  (aim 0.9)\n", ratios(ours, theirs), len(ours))
	}
	return nil
}

// sideBySide downloads from a and b in turns, once from each, for as long as
// the rounds of polls take. One download is short, so that what else happens
// on the machine meets both, or counts as one pair of many; whoever was first
// is second the next time.
func (o options) sideBySide(conns int, a, b place) (as, bs []float64, err error) {
	places, rates := [2]place{a, b}, [2][]float64{}
	var end time.Time
	for pair := -1; pair < 1 || time.Now().Before(end); pair++ { // pair -1 warms up
		for i := range places {
			i = (i + pair) & 1
			rate, err := places[i].drain(conns)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", places[i], err)
			}
			if pair >= 0 {
				rates[i] = append(rates[i], rate)
			}
		}
		if pair < 0 {
			end = time.Now().Add(2 * time.Duration(o.rounds) * o.round)
		}
	}
	return rates[0], rates[1], nil
}

func perSecond(ls []load) (out []float64) {
	for _, l := range ls {
		out = append(out, l.perSecond)
	}
	return out
}

func p99(ls []load) time.Duration {
	var all []time.Duration
	for _, l := range ls {
		all = append(all, l.p99)
	}
	slices.Sort(all)
	return all[len(all)/2].Round(10 * time.Microsecond)
}

func median(fs []float64) float64 {
	fs = slices.Sorted(slices.Values(fs))
	return fs[len(fs)/2]
}

// ratios compares round by round, so that a machine that drifts does not
// count: the median, and the middle half of all.
func ratios(a, b []float64) string {
	var rs []float64
	for i := range a {
		rs = append(rs, a[i]/b[i])
	}
	slices.Sort(rs)
	return fmt.Sprintf("%.2f  [%.2f–%.2f]", median(rs), rs[len(rs)/4], rs[len(rs)-1-len(rs)/4])
}
