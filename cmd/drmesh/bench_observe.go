package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

// observePair is one run that nobody looked at and the next, that was: the
// processor time of both nodes by the changes that were acknowledged.
type observePair struct {
	Without float64 `json:"without_us_per_change"`
	With    float64 `json:"with_us_per_change"`
	More    float64 `json:"more_percent"`
}

// observeBench is the answer of the benchmark of observation. The figures at
// the top are medians: More is that of the pairs, not of the two medians.
type observeBench struct {
	observePair
	MoreLow  float64       `json:"more_low_percent"`  // a quarter of the pairs have less
	MoreHigh float64       `json:"more_high_percent"` // a quarter have more
	Changes  int64         `json:"changes"`
	Rate     float64       `json:"rate_per_s"`
	Browsers int           `json:"browsers"`
	Pairs    []observePair `json:"pairs"`
}

// observeCommand is "bench observe".
func (a *app) observeCommand() *cobra.Command {
	b := &bench{a: a, bytes: 100}
	var pairs, browsers int
	var rate float64
	c := &cobra.Command{
		Use:   "observe",
		Short: "What looking on costs: the nodes' processor time per change, with and without observers",
		Long: `Two modules mirror writes. In every second run the first one is looked at: its
metrics are taken once a second, and five browsers have its console open, which
follow its events and take the page again after each of them, at most once in
0.3 s, and every 5 s. The processor time is that of the two nodes alone.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if pairs < 1 || browsers < 0 || rate < 0 {
				return usage("bench observe: --pairs from 1, --browsers and --rate from 0")
			}
			if b.quick {
				pairs, b.warmup, b.length = 1, 200*time.Millisecond, time.Second
			}
			return b.observe(c.Context(), pairs, browsers, rate)
		},
	}
	f := c.Flags()
	f.BoolVar(&b.quick, "quick", false, "one short pair: shows that all works, measures nothing well")
	f.IntVar(&pairs, "pairs", 20, "`number` of runs with and of runs without observers")
	f.IntVar(&browsers, "browsers", 5, "`number` of browsers")
	f.Float64Var(&rate, "rate", 1000, "writes a second; 0: as many as go")
	f.DurationVar(&b.warmup, "warmup", time.Second, "what is not measured, of each run")
	f.DurationVar(&b.length, "seconds", 5*time.Second, "what is measured, of each run")
	return c
}

func (b *bench) observe(ctx context.Context, pairs, browsers int, rate float64) (err error) {
	if b.mesh, err = newDemoMesh(false, "east", "west"); err != nil {
		return err
	}
	defer func() {
		b.mesh.stop()
		err = errors.Join(err, b.mesh.remove())
	}()
	if err := b.mesh.start(ctx); err != nil {
		return err
	}
	if err := b.mesh.apply(ctx, "bench.tin", benchTables); err != nil {
		return err
	}
	out := observeBench{Rate: rate, Browsers: browsers}
	run := func(observed int) (float64, error) {
		spent, n, err := b.observed(ctx, observed, rate)
		out.Changes += n
		return spent, err
	}
	if _, err := run(0); err != nil { // everything has been in use once
		return err
	}
	out.Changes = 0
	p := b.a.progress("pairs of runs", int64(pairs))
	for i := range pairs {
		x := observePair{}
		if x.Without, err = run(0); err != nil {
			return err
		}
		if x.With, err = run(1 + browsers); err != nil {
			return err
		}
		x.More = 100 * (x.With/x.Without - 1)
		out.Pairs = append(out.Pairs, x)
		p.at(int64(i + 1))
	}
	p.end(int64(pairs))
	out.sum()
	return b.a.emit(out, func(t *table) {
		t.row("PAIR", "WITHOUT US", "WITH US", "MORE %")
		for i, x := range out.Pairs {
			t.row(i+1, x.Without, x.With, x.More)
		}
		t.row("median", out.Without, out.With, out.More)
		t.row("half of the pairs", "", "", fmt.Sprintf("%.1f to %.1f", out.MoreLow, out.MoreHigh))
	})
}

// sum rounds what was measured and makes the figures at the top of it.
func (o *observeBench) sum() {
	for i, x := range o.Pairs {
		o.Pairs[i] = observePair{tenth(x.Without), tenth(x.With), tenth(x.More)}
	}
	o.Without = quantile(o.Pairs, 0.5, func(x observePair) float64 { return x.Without })
	o.With = quantile(o.Pairs, 0.5, func(x observePair) float64 { return x.With })
	more := func(x observePair) float64 { return x.More }
	o.MoreLow, o.More, o.MoreHigh = quantile(o.Pairs, 0.25, more), quantile(o.Pairs, 0.5, more), quantile(o.Pairs, 0.75, more)
}

func tenth(f float64) float64 { return math.Round(f*10) / 10 }

// quantile is the value that the share q of the pairs stays under, between two
// of them if need be.
func quantile(l []observePair, q float64, of func(observePair) float64) float64 {
	var v []float64
	for _, x := range l {
		v = append(v, of(x))
	}
	slices.Sort(v)
	at := q * float64(len(v)-1)
	i := int(at)
	return tenth(v[i] + (at-float64(i))*(v[min(i+1, len(v)-1)]-v[i]))
}

// observed writes for a while with so many looking on, the first of whom takes
// metrics, and gives the processor time of the nodes for each change, in
// microseconds. They come before the clock runs, as they would be there.
func (b *bench) observed(ctx context.Context, observers int, rate float64) (perChange float64, changes int64, err error) {
	q := admin.BenchRequest{Callers: 16, Bytes: b.bytes, Keys: "scattered", Rate: rate, Peer: b.peer().name}
	look, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	stop := func() {
		cancel()
		all.Wait()
	}
	defer stop()
	seen := make([]watcher, observers)
	for i := range seen {
		w := &seen[i]
		w.door = doorTo(b.source().dir)
		defer w.door.CloseIdleConnections()
		if i == 0 {
			all.Go(func() { w.poll(look, "/metrics", time.Second, nil) })
			continue
		}
		news := make(chan struct{}, 1)
		all.Go(func() { w.follow(look, news) })
		all.Go(func() { w.poll(look, "/console/main", 5*time.Second, news) })
	}
	write := func(d time.Duration) (n int64, err error) {
		if q.File, err = b.file(ctx, "sync"); err != nil {
			return 0, err
		}
		q.Duration = d
		err = b.source().ask(ctx, func(c *client.Client) error {
			r, err := c.Bench(ctx, q)
			if err == nil {
				n = r.Acked
			}
			return err
		})
		return n, err
	}
	if b.warmup > 0 {
		if _, err := write(b.warmup); err != nil {
			return 0, 0, err
		}
	}
	before, err := b.processorTime()
	if err != nil {
		return 0, 0, err
	}
	if changes, err = write(b.length); err != nil {
		return 0, 0, err
	}
	after, err := b.processorTime()
	if err != nil {
		return 0, 0, err
	}
	stop()
	for i := range seen {
		if seen[i].pages == 0 {
			return 0, 0, fmt.Errorf("observer %d got no page: %w", i, seen[i].err)
		}
	}
	if changes == 0 {
		return 0, 0, errors.New("nothing was written")
	}
	return float64((after - before).Microseconds()) / float64(changes), changes, nil
}

// processorTime is what the nodes have used. The kernel tells it in hundredths
// of a second.
func (b *bench) processorTime() (time.Duration, error) {
	var sum time.Duration
	for _, x := range b.mesh.modules {
		s, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(x.cmd.Process.Pid), "stat"))
		if err != nil {
			return 0, admin.Errorf(admin.Precondition, "no_proc", "run it on Linux", "the processor time of %s: %v", x.name, err)
		}
		d, err := statTime(s)
		if err != nil {
			return 0, fmt.Errorf("the processor time of %s: %w", x.name, err)
		}
		sum += d
	}
	return sum, nil
}

// statTime reads user and system time of a process from the text of
// /proc/PID/stat; its second field is a name in parentheses, which may hold
// anything.
func statTime(s []byte) (time.Duration, error) {
	f := bytes.Fields(s[bytes.LastIndexByte(s, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("%.100q is no line of times", s)
	}
	var ticks int64
	for _, x := range f[11:13] {
		n, err := strconv.ParseInt(string(x), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// watcher is one who looks on. Two goroutines of a browser share the door; the
// rest is poll's, and read when that has ended.
type watcher struct {
	door  *http.Client
	pages int
	err   error
}

// doorTo gives a door to a module's socket that keeps connections, as browsers do.
func doorTo(dir string) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return client.DialSocket(ctx, dir, "admin.sock")
	}}}
}

// poll takes a page now and then, and when there is news: as the console does,
// not at once but for all that comes in 0.3 s.
func (w *watcher) poll(ctx context.Context, path string, every time.Duration, news <-chan struct{}) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if r, err := w.get(ctx, path); err != nil {
			w.err = err
		} else {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if err == nil && r.StatusCode == http.StatusOK {
				w.pages++
			}
		}
		select {
		case <-t.C:
		case <-news:
			select {
			case <-time.After(300 * time.Millisecond):
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// follow tells of each event.
func (w *watcher) follow(ctx context.Context, news chan<- struct{}) {
	r, err := w.get(ctx, "/v1/events")
	if err != nil {
		return
	}
	defer r.Body.Close()
	for s := bufio.NewScanner(r.Body); s.Scan(); {
		if strings.HasPrefix(s.Text(), "event: ") {
			select {
			case news <- struct{}{}:
			default:
			}
		}
	}
}

func (w *watcher) get(ctx context.Context, path string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://module"+path, nil)
	if err != nil {
		return nil, err
	}
	return w.door.Do(q)
}
