package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// benchRun is one run and its figures; what it does not measure is null.
type benchRun struct {
	What          string   `json:"run"`
	Callers       int      `json:"callers"`
	Durability    string   `json:"durability"`
	Keys          string   `json:"keys"`
	Acked         *float64 `json:"acked_per_s"`
	DurableBoth   *float64 `json:"durable_both_per_s"`
	LagP50        *float64 `json:"lag_p50_ms"`
	LagP99        *float64 `json:"lag_p99_ms"`
	WireBytes     *float64 `json:"wire_bytes_per_change"`
	Drain         *float64 `json:"drain_per_s"`
	RSS           *float64 `json:"rss_mb"`
	RatioToPebble *float64 `json:"ratio_to_pebble"`

	rate    float64 // calls a second; 0: as many as go
	half    bool    // at half the rate of the run before
	backlog int64   // written with the link down, then drained
}

// benchAnswer is what a bench ends with.
type benchAnswer struct {
	Fsync  float64     `json:"calibration_fsync_us"`
	Pebble *float64    `json:"calibration_pebble_per_s"` // the four keys that a keyed write of ours puts
	OneKey *float64    `json:"calibration_one_key_per_s"`
	Runs   []*benchRun `json:"runs"`
}

// bench is one bench: a mesh of one or two modules and how to load it.
type bench struct {
	a      *app
	mesh   *demoMesh
	socket bool // the callers are here, not in the node
	bytes  int
	warmup time.Duration
	length time.Duration
	quick  bool
	only   string // pattern of the runs to do; empty: all
	files  int    // made so far
}

const benchTables = `/=record_type    include
 =share_name     safe
 =process_name   *
 =source_path    %east#d01>safe>*

/=record_type    include
 =share_name     fast
 =process_name   *
 =source_path    %east#d01>fast>*
 =durability     interval
 =interval_ms    10
`

func (a *app) benchCommand() *cobra.Command {
	b := &bench{a: a}
	var backlog int64
	sub := func(use, short string, words []string, runs func() []*benchRun) *cobra.Command {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				if b.quick {
					b.warmup, b.length, backlog = 200*time.Millisecond, time.Second, 20_000
				}
				chosen, err := b.choose(runs())
				if err != nil {
					return err
				}
				return b.run(c.Context(), words, chosen)
			}}
		f := c.Flags()
		f.BoolVar(&b.socket, "socket", false, "call through the module's socket instead of inside its node")
		f.BoolVar(&b.quick, "quick", false, "a second for each run: shows that all works, measures nothing well")
		f.StringVar(&b.only, "runs", "", "the runs to do: a regular `pattern` of their names (default all)")
		f.IntVar(&b.bytes, "bytes", 100, "size of a record")
		f.DurationVar(&b.warmup, "warmup", 5*time.Second, "what is not measured, of each run")
		f.DurationVar(&b.length, "seconds", 10*time.Second, "what is measured, of each run")
		return c
	}
	base := func() []*benchRun {
		return []*benchRun{
			{What: "one caller", Callers: 1, Durability: "sync", Keys: "scattered"},
			{What: "16 callers", Callers: 16, Durability: "sync", Keys: "scattered"},
			{What: "64 callers", Callers: 64, Durability: "sync", Keys: "scattered"},
			{What: "interval, scattered", Callers: 64, Durability: "interval", Keys: "scattered"},
			{What: "interval, ascending", Callers: 64, Durability: "interval", Keys: "ascending"},
		}
	}
	write := sub("write", "Keyed writes at one module", []string{"east"}, base)
	mirror := sub("mirror", "Keyed writes at one module, mirrored to another", []string{"east", "west"}, func() []*benchRun {
		return append(base(),
			&benchRun{What: "bytes on the wire, at half that rate", Callers: 64, Durability: "interval", Keys: "ascending", half: true},
			&benchRun{What: "lag at 100 a second", Callers: 1, Durability: "sync", Keys: "scattered", rate: 100},
			&benchRun{What: "drain of a backlog", Callers: 64, Durability: "interval", Keys: "ascending", backlog: backlog})
	})
	mirror.Flags().Int64Var(&backlog, "backlog", 1_000_000, "records of the backlog")
	var switchovers, failovers int
	changes := &cobra.Command{Use: "roles", Short: "How long writes stand still when a group gets another owner: given away, and after a kill -9", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.benchRoles(c.Context(), switchovers, failovers) }}
	changes.Flags().IntVar(&switchovers, "switchovers", 20, "`number` of switchovers")
	changes.Flags().IntVar(&failovers, "failovers", 9, "`number` of failovers; each takes over half a minute, as long as a new owner is left in place")
	return nest("bench", "Measure on this machine: own processes in a temporary directory", write, mirror, changes, a.filesCommand(), a.observeCommand(), a.statusBenchCommand())
}

// choose leaves the runs that --runs names. A run at half the rate of another
// needs that one before it.
func (b *bench) choose(runs []*benchRun) ([]*benchRun, error) {
	re, err := regexp.Compile(b.only)
	if err != nil {
		return nil, usage("bench: --runs: %v", err)
	}
	var names []string
	var out []*benchRun
	for i, r := range runs {
		names = append(names, r.What)
		if !re.MatchString(r.What) {
			continue
		}
		if r.half && (len(out) == 0 || out[len(out)-1] != runs[i-1]) {
			out = append(out, runs[i-1])
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, usage("bench: --runs: %q names none of: %s", b.only, strings.Join(names, "; "))
	}
	return out, nil
}

// run makes the mesh, calibrates, and does all runs. No figure of a run is
// shown unless both modules hold the same after it.
func (b *bench) run(ctx context.Context, words []string, runs []*benchRun) (err error) {
	if b.bytes < 16 || b.bytes > 32000 {
		return usage("bench: --bytes: give 16 to 32000")
	}
	if b.mesh, err = newDemoMesh(false, words...); err != nil {
		return err
	}
	defer func() {
		b.mesh.stop()
		err = errors.Join(err, b.mesh.remove())
	}()
	out := benchAnswer{Runs: runs}
	if out.Fsync, err = fsyncTime(b.mesh.dir); err != nil {
		return err
	}
	if err := b.mesh.start(ctx); err != nil {
		return err
	}
	if err := b.mesh.apply(ctx, "bench.tin", benchTables); err != nil {
		return err
	}
	if out.Pebble, err = b.bare(ctx, 4); err == nil {
		out.OneKey, err = b.bare(ctx, 1)
	}
	if err != nil {
		b.a.say("no figure of bare Pebble: %v", err)
	}
	p := b.a.progress("bench runs", int64(len(runs)))
	last := 0.0
	for i, r := range runs {
		if p.tty {
			p.at(int64(i))
		} else {
			p.tell(int64(i), time.Now(), "")
		}
		if r.half {
			r.rate = last / 2
		}
		if err := b.one(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", r.What, err)
		}
		if r.Acked != nil {
			last = *r.Acked
			if r.DurableBoth != nil {
				last = *r.DurableBoth
			}
		}
		if out.Pebble != nil && r.DurableBoth != nil && r.Durability == "sync" && r.Callers == 64 {
			q := *r.DurableBoth / *out.Pebble
			r.RatioToPebble = &q
		}
	}
	p.end(int64(len(runs)))
	return b.a.emit(out, func(t *table) {
		t.row("one fsync", fmt.Sprintf("%.0f us", out.Fsync))
		t.row("bare Pebble, the same keys, 64 callers", out.Pebble)
		t.row("bare Pebble, one key, 64 callers", out.OneKey)
		t.row()
		t.row("RUN", "ACKED/S", "BOTH/S", "LAG P50 MS", "LAG P99 MS", "WIRE BYTES", "DRAIN/S", "RSS MB", "OF PEBBLE")
		for _, r := range runs {
			t.row(r.What, r.Acked, r.DurableBoth, r.LagP50, r.LagP99, r.WireBytes, r.Drain, r.RSS, r.RatioToPebble)
		}
	})
}

// fsyncTime is the median time of a flush of an append to a file there, in
// microseconds.
func fsyncTime(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var times []time.Duration
	block := make([]byte, 4096)
	for range 201 {
		begun := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(begun))
	}
	return float64(percentile(times, 50).Nanoseconds()) / 1000, nil
}

func (b *bench) source() *demoModule { return b.mesh.modules[0] }

// peer is the module that the other mirrors to; nil if there is one only.
func (b *bench) peer() *demoModule {
	if len(b.mesh.modules) < 2 {
		return nil
	}
	return b.mesh.modules[1]
}

// bare has every node write into a bare store at once, as many processes as
// the mirror has, so many keys a write, and gives the least rate.
func (b *bench) bare(ctx context.Context, keys int) (*float64, error) {
	rates := make([]float64, len(b.mesh.modules))
	errs := make([]error, len(rates))
	var all sync.WaitGroup
	for i, x := range b.mesh.modules {
		all.Go(func() {
			errs[i] = x.ask(ctx, func(c *client.Client) error {
				r, err := c.Bench(ctx, admin.BenchRequest{Bare: keys, Callers: 64, Bytes: b.bytes, Keys: "scattered", Warmup: b.warmup / 5, Duration: b.length / 2})
				if err == nil {
					rates[i] = r.AckedPerS
				}
				return err
			})
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	least := rates[0]
	for _, r := range rates {
		least = min(least, r)
	}
	return &least, nil
}

// file makes the file of one run.
func (b *bench) file(ctx context.Context, durability string) (string, error) {
	share := "safe"
	if durability == "interval" {
		share = "fast"
	}
	b.files++
	path := fmt.Sprintf("%s:run%d", share, b.files)
	door, err := (&app{dir: b.source().dir}).calls(ctx)
	if err != nil {
		return "", err
	}
	defer door.close()
	if err := door.CreateFile(ctx, path, call.OrgSequential, 0); err != nil {
		return "", fileError("create "+path, err)
	}
	if err := door.createIndex(ctx, path, &record.Index{Name: "key", Components: []record.Component{{Position: 1, Length: 16}}}); err != nil {
		return "", fileError("create index of "+path, err)
	}
	return path, b.mesh.caughtUp(ctx)
}

// one does a run and compares the digests after it.
func (b *bench) one(ctx context.Context, r *benchRun) error {
	path, err := b.file(ctx, r.Durability)
	if err != nil {
		return err
	}
	if r.backlog > 0 {
		err = b.drain(ctx, r, path)
	} else {
		err = b.load(ctx, r, path)
	}
	if err != nil {
		return err
	}
	if err := b.mesh.caughtUp(ctx); err != nil {
		return err
	}
	var first admin.Digest
	for i, x := range b.mesh.modules {
		var d admin.Digest
		if err := b.mesh.answer(ctx, x, &d, "file", "digest", path); err != nil {
			return err
		}
		if i == 0 {
			first = d
		} else if d.Digest != first.Digest || d.Records != first.Records {
			return admin.Errorf(admin.Findings, "digests_differ", "", "%s: %d records at %s, %d at %s, and another digest", path, first.Records, b.source().name, d.Records, x.name)
		}
	}
	most := 0.0
	for _, x := range b.mesh.modules {
		s, err := x.status(ctx)
		if err != nil {
			return err
		}
		most = max(most, s.ResidentMB)
	}
	r.RSS = &most
	return nil
}

// load writes for the given time.
func (b *bench) load(ctx context.Context, r *benchRun, path string) error {
	if b.socket {
		return b.loadSocket(ctx, r, path)
	}
	q := admin.BenchRequest{File: path, Callers: r.Callers, Bytes: b.bytes, Keys: r.Keys, Warmup: b.warmup, Duration: b.length, Rate: r.rate}
	if b.peer() != nil {
		q.Peer = b.peer().name
	}
	return b.source().ask(ctx, func(c *client.Client) error {
		g, err := c.Bench(ctx, q)
		if err != nil {
			return err
		}
		r.Acked = &g.AckedPerS
		if b.peer() != nil {
			r.DurableBoth, r.WireBytes = &g.DurableBothPer, &g.WireBytes
			// With more callers than one nobody knows which txn was whose.
			if r.Callers == 1 {
				r.LagP50, r.LagP99 = &g.LagP50MS, &g.LagP99MS
			}
		}
		return nil
	})
}

// loadSocket has callers here, each with a connection and a port.
func (b *bench) loadSocket(ctx context.Context, r *benchRun, path string) error {
	door, err := (&app{dir: b.source().dir}).calls(ctx)
	if err != nil {
		return err
	}
	defer door.close()
	type way struct {
		call.Client
		port int
	}
	var ways []way
	for range r.Callers {
		s, err := door.connect(ctx)
		if err != nil {
			return err
		}
		w := way{Client: call.Client{Caller: s}}
		if w.port, err = w.OpenPath(ctx, path, call.OpenOptions{IO: call.Append, Lock: call.ImplicitLocking, Access: call.Sequential}); err != nil {
			return fileError("open "+path, err)
		}
		ways = append(ways, w)
	}
	begun := time.Now()
	from, until := begun.Add(b.warmup), begun.Add(b.warmup+b.length)
	var next, counted, all atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, r.Callers)
	for i, w := range ways {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			rec := make([]byte, b.bytes)
			for ctx.Err() == nil {
				n := next.Add(1)
				if r.rate > 0 {
					due := begun.Add(time.Duration(float64(n) / r.rate * float64(time.Second)))
					time.Sleep(time.Until(due))
				}
				now := time.Now()
				if now.After(until) {
					return
				}
				benchRecord(rec, n, r.Keys, rng)
				if errs[i] = w.SeqWrite(ctx, w.port, rec); errs[i] != nil {
					return
				}
				all.Add(1)
				if now.After(from) {
					counted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return fileError("write "+path, err)
	}
	acked := float64(counted.Load()) / time.Since(from).Seconds()
	r.Acked = &acked
	if b.peer() != nil {
		if err := b.mesh.caughtUp(ctx); err != nil {
			return err
		}
		both := float64(all.Load()) / time.Since(begun).Seconds()
		r.DurableBoth = &both
	}
	return nil
}

// benchRecord makes the n-th record: 16 bytes of key, then what does not
// compress.
func benchRecord(rec []byte, n int64, keys string, rng *rand.Rand) {
	k := uint64(n)
	if keys == "scattered" {
		k *= 0x9e3779b97f4a7c15 // odd: no two n give one key
	}
	copy(rec, fmt.Sprintf("%016x", k))
	for i := 16; i < len(rec); i++ {
		rec[i] = byte(rng.Uint32())
	}
}

// drain writes a backlog while the link is down, and times its way across.
func (b *bench) drain(ctx context.Context, r *benchRun, path string) error {
	link := func(verb string) error {
		_, err := b.mesh.at(ctx, b.source(), "link", verb, b.source().name, b.peer().name)
		return err
	}
	if err := link("pause"); err != nil {
		return err
	}
	err := b.source().ask(ctx, func(c *client.Client) error {
		g, err := c.Bench(ctx, admin.BenchRequest{File: path, Callers: r.Callers, Bytes: b.bytes, Keys: r.Keys, Count: r.backlog})
		if err == nil && g.Acked != r.backlog {
			err = fmt.Errorf("the backlog has %d records, not %d", g.Acked, r.backlog)
		}
		return err
	})
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := link("resume"); err != nil {
		return err
	}
	if err := b.mesh.caughtUp(ctx); err != nil {
		return err
	}
	rate := float64(r.backlog) / time.Since(begun).Seconds()
	r.Drain = &rate
	return nil
}
