package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
	"drmesh/vosio/socket"
)

// filesRun is one run of calls. What was not measured is null.
type filesRun struct {
	What    string   `json:"run"`
	Records int64    `json:"records"` // in the file before it
	Rate    float64  `json:"calls_per_s"`
	CPU     *float64 `json:"cpu_us_per_call"` // of the node, all that it does meanwhile included
	Allocs  *float64 `json:"allocs_per_call"`
	Bytes   *float64 `json:"alloc_bytes_per_call"`
	RSS     *float64 `json:"rss_mb"`
}

// capturePair is the same writes to a file of a share and to one of none.
type capturePair struct {
	Durability string  `json:"durability"`
	Shared     float64 `json:"shared_per_s"`
	Own        float64 `json:"not_shared_per_s"`
	Cost       float64 `json:"cost_percent"`
}

// filesBench is the answer of the benchmark of files.
type filesBench struct {
	Runs         []*filesRun    `json:"runs"`
	CostInterval *float64       `json:"capture_cost_interval_percent"` // medians of the pairs
	CostSync     *float64       `json:"capture_cost_sync_percent"`
	Pairs        []*capturePair `json:"pairs"`
	Open         *float64       `json:"open_large_ms"` // the first s$open after a start
	Ratio        *float64       `json:"keyed_read_large_to_hot"`
}

// filesOptions are those of "bench files".
type filesOptions struct {
	records, large int64
	pairs          int
}

// filesCommand is "bench files".
func (a *app) filesCommand() *cobra.Command {
	b := &bench{a: a}
	var o filesOptions
	c := &cobra.Command{
		Use:   "files",
		Short: "Reads and writes of one program on a large file, through calls in the node and through its socket",
		Long: `One module. Its file has two indexes: a unique one on the first 16 bytes of a
record, and one with duplicates on the next two. Reads by key take any record, and
see to it that it is the one they asked for; before they are measured each record
was read once. What capture costs is the rate of the same writes to a file of a
share and to one of none, in turn.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if b.quick {
				o, b.warmup, b.length = filesOptions{20_000, 40_000, 1}, 100*time.Millisecond, 300*time.Millisecond
			}
			if o.records < 1 || o.large < 0 || o.pairs < 0 || b.bytes < 18 || b.bytes > 32000 {
				return usage("bench files: --records from 1, --large and --pairs from 0, --bytes 18 to 32000")
			}
			return b.filesBench(c.Context(), o)
		},
	}
	f := c.Flags()
	f.BoolVar(&b.quick, "quick", false, "small files and short runs: shows that all works, measures nothing well")
	f.Int64Var(&o.records, "records", 1_000_000, "records of the file")
	f.Int64Var(&o.large, "large", 10_000_000, "records of a second, larger file, of which reads are measured; 0: none")
	f.IntVar(&o.pairs, "pairs", 5, "`number` of pairs of runs for each durability that tell what capture costs")
	f.IntVar(&b.bytes, "bytes", 100, "size of a record")
	f.DurationVar(&b.warmup, "warmup", time.Second, "what is not measured, of each run")
	f.DurationVar(&b.length, "seconds", 4*time.Second, "what is measured, of each run")
	return c
}

func (b *bench) filesBench(ctx context.Context, o filesOptions) (err error) {
	if b.mesh, err = newDemoMesh(false, "east"); err != nil {
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
	out := &filesBench{Pairs: []*capturePair{}}
	hot, err := b.filled(ctx, "fast:hot", o.records)
	if err != nil {
		return err
	}
	reads := []admin.BenchRequest{{Call: "seq_read", Index: "key"}, {Call: "seq_read"}, {Call: "keyed_read", Index: "key"}}
	for _, r := range reads {
		if err := b.reads(ctx, out, hot, r); err != nil {
			return err
		}
	}
	hotRead := out.Runs[len(out.Runs)-1].Rate
	if err := b.throughSocket(ctx, out, hot); err != nil {
		return err
	}
	before := hot.records
	g, err := b.writes(ctx, hot, admin.BenchRequest{})
	if err != nil {
		return err
	}
	out.add("keyed_write, two indexes, interval", before, g)
	for _, durability := range []string{"interval", "sync"} {
		if err := b.capture(ctx, out, durability, o.pairs); err != nil {
			return err
		}
	}
	if o.large > 0 {
		if err := b.large(ctx, out, o.large, reads, hotRead); err != nil {
			return err
		}
	}
	return b.a.emit(out, func(t *table) {
		t.row("RUN", "RECORDS", "CALLS/S", "CPU US", "ALLOCS", "ALLOC BYTES", "RSS MB")
		for _, r := range out.Runs {
			t.row(r.What, r.Records, r.Rate, r.CPU, r.Allocs, r.Bytes, r.RSS)
		}
		t.row()
		t.row("capture under interval costs, %", out.CostInterval)
		t.row("capture under sync costs, %", out.CostSync)
		t.row("first open of the large file, ms", out.Open)
		t.row("reads by key of the large file to those of the other", out.Ratio)
	})
}

// benchFile is a file of records with ascending keys.
type benchFile struct {
	path    string
	records int64
}

func (out *filesBench) add(what string, records int64, g *admin.BenchResult) {
	out.Runs = append(out.Runs, &filesRun{What: what, Records: records, Rate: g.AckedPerS, CPU: &g.CPU, Allocs: &g.Allocs, Bytes: &g.AllocBytes, RSS: &g.RSSMB})
}

// filled makes a file and writes records into it.
func (b *bench) filled(ctx context.Context, path string, records int64) (*benchFile, error) {
	door, err := (&app{dir: b.source().dir}).calls(ctx)
	if err != nil {
		return nil, err
	}
	defer door.close()
	if err := door.CreateFile(ctx, path, call.OrgSequential, 0); err != nil {
		return nil, fileError("create "+path, err)
	}
	for _, x := range []*record.Index{
		{Name: "key", Components: []record.Component{{Position: 1, Length: 16}}},
		{Name: "kind", Components: []record.Component{{Position: 17, Length: 2}}, Duplicates: true},
	} {
		if err := door.createIndex(ctx, path, x); err != nil {
			return nil, fileError("create index of "+path, err)
		}
	}
	f := &benchFile{path: path}
	p := b.a.progress("records of "+path, records)
	for f.records < records {
		// Parts, since one request of the node takes ten minutes at most.
		n := min(records-f.records, 500_000)
		g, err := b.node(ctx, admin.BenchRequest{File: path, Callers: 64, Keys: "ascending", First: f.records, Count: n, OwnInterval: 10 * time.Millisecond})
		if err != nil {
			return nil, err
		}
		if g.Acked != n {
			return nil, fmt.Errorf("fill %s: %d records were written, not %d", path, g.Acked, n)
		}
		f.records += n
		p.at(f.records)
	}
	p.end(records)
	return f, nil
}

// node has the node make calls.
func (b *bench) node(ctx context.Context, q admin.BenchRequest) (g *admin.BenchResult, err error) {
	q.Bytes, q.Callers = b.bytes, max(1, q.Callers)
	if q.Count == 0 {
		q.Warmup, q.Duration = b.warmup, b.length
	}
	err = b.source().ask(ctx, func(c *client.Client) (err error) {
		g, err = c.Bench(ctx, q)
		return err
	})
	return g, err
}

// writes adds records as one program, and sees to it that they are all there.
func (b *bench) writes(ctx context.Context, f *benchFile, q admin.BenchRequest) (*admin.BenchResult, error) {
	q.File, q.Keys, q.First = f.path, "ascending", f.records
	g, err := b.node(ctx, q)
	if err != nil {
		return nil, err
	}
	f.records += g.Acked
	door, err := (&app{dir: b.source().dir}).calls(ctx)
	if err != nil {
		return nil, err
	}
	defer door.close()
	s, err := door.status(ctx, f.path)
	if err != nil {
		return nil, fileError("look at "+f.path, err)
	}
	if s.Records != f.records {
		return nil, admin.Errorf(admin.Findings, "records_differ", "", "%s: %d records were answered for, %d are there", f.path, f.records, s.Records)
	}
	return g, nil
}

// reads measures reads of one program in the node.
func (b *bench) reads(ctx context.Context, out *filesBench, f *benchFile, q admin.BenchRequest) error {
	q.File, q.Records, q.Keys = f.path, f.records, "scattered"
	what := q.Call
	switch {
	case q.Call == "keyed_read":
		all := q
		all.Keys, all.Count = "ascending", f.records
		if _, err := b.node(ctx, all); err != nil {
			return err
		}
	case q.Index != "":
		what += " in the order of the unique index"
	default:
		what += " in physical order"
	}
	g, err := b.node(ctx, q)
	if err == nil {
		out.add(what, f.records, g)
	}
	return err
}

// throughSocket measures reads by key of a program that is this process.
func (b *bench) throughSocket(ctx context.Context, out *filesBench, f *benchFile) error {
	door, err := (&app{dir: b.source().dir}).calls(ctx)
	if err != nil {
		return err
	}
	defer door.close()
	port, err := door.OpenPath(ctx, f.path, call.OpenOptions{IO: call.Input, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "key"})
	if err != nil {
		return fileError("open "+f.path, err)
	}
	conn := door.conns[0]
	rng := rand.New(rand.NewPCG(3, 4))
	for _, pipelined := range []bool{false, true} {
		rate, err := b.socketReads(ctx, conn, port, f.records, pipelined, rng)
		if err != nil {
			return err
		}
		what := "keyed_read through the socket, one call at a time"
		if pipelined {
			what = "keyed_read through the socket, pipelined"
		}
		out.Runs = append(out.Runs, &filesRun{What: what, Records: f.records, Rate: rate})
	}
	return nil
}

// benchUnderWay is how many calls a pipelined program has under way.
const benchUnderWay = 128

// socketReads gives the rate of reads by key over a connection.
func (b *bench) socketReads(ctx context.Context, conn *socket.Client, port int, records int64, pipelined bool, rng *rand.Rand) (float64, error) {
	type slot struct {
		key  [16]byte
		q    call.Request
		r    call.Reply
		done func(error)
	}
	check := func(s *slot) error {
		if s.r.Code == 0 && string(s.r.Data[:min(16, len(s.r.Data))]) != string(s.key[:]) {
			return fmt.Errorf("read of %s gave %.16q", s.key[:], s.r.Data)
		}
		return s.r.Err()
	}
	ask := func(s *slot) {
		benchKeyOf(s.key[:], 1+uint64(rng.Int64N(records)))
		s.q = call.Request{Call: "s$keyed_read", Port: port, Key: s.key[:]}
		if s.r.Room == nil {
			s.r.Room = make([]byte, 0, b.bytes)
		}
	}
	begun := time.Now()
	from := begun.Add(b.warmup)
	until := from.Add(b.length)
	counted := 0
	if !pipelined {
		s := new(slot)
		for ctx.Err() == nil {
			now := time.Now()
			if now.After(until) {
				break
			}
			ask(s)
			if err := errors.Join(conn.Do(ctx, &s.q, &s.r), check(s)); err != nil {
				return 0, err
			}
			if now.After(from) {
				counted++
			}
		}
		return float64(counted) / time.Since(from).Seconds(), ctx.Err()
	}
	type answer struct {
		s   *slot
		err error
	}
	answers := make(chan answer, benchUnderWay)
	for range benchUnderWay {
		s := new(slot)
		s.done = func(err error) { answers <- answer{s, err} }
		answers <- answer{s: s}
	}
	first := benchUnderWay
	for left := benchUnderWay; left > 0; {
		a := <-answers
		if a.err != nil {
			return 0, a.err
		}
		if first > 0 {
			first--
		} else if err := check(a.s); err != nil {
			return 0, err
		}
		now := time.Now()
		if now.After(from) && now.Before(until) {
			counted++
		}
		if now.After(until) || ctx.Err() != nil {
			left--
			continue
		}
		ask(a.s)
		if err := conn.Go(ctx, &a.s.q, &a.s.r, a.s.done); err != nil {
			return 0, err
		}
	}
	return float64(counted) / b.length.Seconds(), ctx.Err()
}

// benchKeyOf writes the key of the n-th record of ascending ones.
func benchKeyOf(b []byte, n uint64) {
	const digits = "0123456789abcdef"
	for i := 15; i >= 0; i-- {
		b[i] = digits[n&15]
		n >>= 4
	}
}

// capture measures the same writes to a file of a share and to one of none, in
// turn, and gives the median of what the share costs.
func (b *bench) capture(ctx context.Context, out *filesBench, durability string, pairs int) error {
	if pairs == 0 {
		return nil
	}
	share, interval := "safe", time.Duration(0)
	if durability == "interval" {
		share, interval = "fast", 10*time.Millisecond
	}
	shared, err := b.filled(ctx, share+":captured", 1000)
	if err != nil {
		return err
	}
	own, err := b.filled(ctx, "%east#d01>own_"+durability, 1000)
	if err != nil {
		return err
	}
	var costs []float64
	for i := range pairs {
		p := &capturePair{Durability: durability}
		for j := range 2 {
			f, rate := shared, &p.Shared
			if (i+j)%2 == 1 { // each goes first in turn
				f, rate = own, &p.Own
			}
			g, err := b.writes(ctx, f, admin.BenchRequest{OwnInterval: interval})
			if err != nil {
				return err
			}
			*rate = g.AckedPerS
		}
		p.Cost = 100 * (1 - p.Shared/p.Own)
		out.Pairs = append(out.Pairs, p)
		costs = append(costs, p.Cost)
	}
	slices.Sort(costs)
	median := (costs[(len(costs)-1)/2] + costs[len(costs)/2]) / 2
	if durability == "interval" {
		out.CostInterval = &median
	} else {
		out.CostSync = &median
	}
	return nil
}

// large measures the reads of a larger file, after the node was started anew.
func (b *bench) large(ctx context.Context, out *filesBench, records int64, reads []admin.BenchRequest, hot float64) error {
	f, err := b.filled(ctx, "fast:large", records)
	if err != nil {
		return err
	}
	// Asked to end, and not killed: the share loses its last 10 ms by that.
	b.mesh.stop()
	if err := b.mesh.serve(ctx, b.source()); err != nil {
		return err
	}
	door, err := (&app{dir: b.source().dir}).calls(ctx)
	if err != nil {
		return err
	}
	defer door.close()
	begun := time.Now()
	if _, err := door.OpenPath(ctx, f.path, call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: "key"}); err != nil {
		return fileError("open "+f.path, err)
	}
	took := float64(time.Since(begun).Microseconds()) / 1000
	out.Open = &took
	for _, r := range reads {
		if err := b.reads(ctx, out, f, r); err != nil {
			return err
		}
	}
	if ratio := out.Runs[len(out.Runs)-1].Rate / hot; hot > 0 {
		out.Ratio = &ratio
	}
	return nil
}
