package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"drmesh/admin"
	"drmesh/admin/client"
)

const (
	demoFile   = "main:records"
	demoOrders = "main:orders"
	demoAudit  = "main:audit"
)

const demoShare = `/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =from_modules   *
 =to_modules     *
`

// demoChain leaves out the link between east and west, so that north relays.
const demoChain = demoShare + `
/=record_type    module
 =module         %east#m1
 =peers          %north#m1
`

// play runs the scenes, then the proof.
func (d *demo) play(ctx context.Context) error {
	scenes := []struct {
		title string
		run   func(context.Context) error
	}{
		{"three modules, one mesh", d.sceneMesh},
		{"east loads " + comma(int64(len(d.data.order))) + " records; north passes them on to west", d.sceneLoad},
		{"west changes what east loaded", d.sceneChange},
		{"all three append to one file at once", d.sceneAudit},
		{"a third link closes the ring", d.sceneRing},
		{"west is cut off, and both sides write the same records", d.sceneCut},
		{"north is killed in the middle of a load", d.sceneKill},
		{"the proof", d.proof},
	}
	for i, s := range scenes {
		if i > 0 {
			if err := d.wait(ctx); err != nil {
				return err
			}
		}
		d.tell("\n%d of %d: %s", i+1, len(scenes), s.title)
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("scene %d, %s: %w", i+1, s.title, err)
		}
	}
	return nil
}

func (d *demo) east() *demoModule  { return d.mesh.modules[0] }
func (d *demo) west() *demoModule  { return d.mesh.modules[1] }
func (d *demo) north() *demoModule { return d.mesh.modules[2] }

func (d *demo) sceneMesh(ctx context.Context) error {
	if err := d.mesh.start(ctx); err != nil {
		return err
	}
	for _, x := range d.mesh.modules {
		d.tell("  %-9s runs in %s", x.name, x.dir)
	}
	if err := d.mesh.apply(ctx, "chain.tin", demoChain); err != nil {
		return err
	}
	d.tell("  Share \"main\" is %%east#d01>data and its like at the others; all three may write.")
	d.tell("  East and west have no link: what one has for the other goes through north.")
	d.result.Modules = len(d.mesh.modules)
	return nil
}

func (d *demo) sceneLoad(ctx context.Context) error {
	from, err := d.mesh.file("records.txt", d.data.text())
	if err != nil {
		return err
	}
	layout, err := d.mesh.file("records.dd", d.data.source)
	if err != nil {
		return err
	}
	begun := time.Now()
	if _, err := d.mesh.at(ctx, d.east(), "file", "load", demoFile, "--from", from, "--layout", layout, "--delimiter", string(d.data.delimiter)); err != nil {
		return err
	}
	n := len(d.data.order)
	d.result.Seconds = seconds(begun)
	d.result.RecordsIn = n
	d.result.Writes += int64(n)
	d.result.RatePerS = float64(n) / d.result.Seconds
	d.tell("  %s records acknowledged, each durable, in %.1f s: %s a second.", comma(int64(n)), d.result.Seconds, comma(int64(d.result.RatePerS)))
	if err := d.mesh.caughtUp(ctx); err != nil {
		return err
	}
	d.tell("  All three had them %.1f s after the load began.", seconds(begun))
	return d.digests(ctx, demoFile)
}

func (d *demo) sceneChange(ctx context.Context) error {
	n := len(d.data.order)
	rewrites, deletes := min(1000, n/3), min(500, n/6)
	// Spread over the file: every step-th record is rewritten, and one of
	// every other step deleted.
	step := n / (rewrites + deletes)
	var re, del []string
	for i := 0; i < n && (len(re) < rewrites || len(del) < deletes); i += step {
		k := d.data.order[i]
		if len(del) < deletes && (len(re)+len(del))%3 == 2 || len(re) == rewrites {
			del = append(del, k)
		} else {
			re = append(re, k)
		}
	}
	if err := d.rewrite(ctx, d.west(), re, "rewritten at west"); err != nil {
		return err
	}
	if err := d.each(ctx, d.west(), demoFile, del, func(f *demoHandle, k string) error { return f.delete(ctx, k) }); err != nil {
		return err
	}
	for _, k := range del {
		delete(d.data.lines, k)
	}
	d.data.order = slices.DeleteFunc(d.data.order, func(k string) bool { _, ok := d.data.lines[k]; return !ok })
	d.tell("  West rewrote %s records and deleted %s.", comma(int64(len(re))), comma(int64(len(del))))
	if err := d.mesh.caughtUp(ctx); err != nil {
		return err
	}
	return d.digests(ctx, demoFile)
}

// rewrite rewrites records of the main file at one module, and remembers it.
func (d *demo) rewrite(ctx context.Context, x *demoModule, keys []string, text string) error {
	lines, err := d.rewriteOnly(ctx, x, keys, text)
	maps.Copy(d.data.lines, lines)
	return err
}

// rewriteOnly gives the lines that records were rewritten to.
func (d *demo) rewriteOnly(ctx context.Context, x *demoModule, keys []string, text string) (map[string][]byte, error) {
	var mu sync.Mutex
	lines := map[string][]byte{}
	err := d.each(ctx, x, demoFile, keys, func(f *demoHandle, k string) error {
		rec, line, err := d.data.rewritten(k, text)
		if err == nil {
			err = f.rewrite(ctx, k, rec)
		}
		mu.Lock()
		lines[k] = line
		mu.Unlock()
		return err
	})
	return lines, err
}

// each has fn called for every key, by eight callers with a port each.
func (d *demo) each(ctx context.Context, x *demoModule, path string, keys []string, fn func(*demoHandle, string) error) error {
	const callers = 8
	errs := make(chan error, callers)
	for c := range callers {
		go func() {
			f, err := x.openDemo(ctx, path, d.data.key.Name)
			if err == nil {
				for i := c; i < len(keys) && err == nil; i += callers {
					if err = fn(f, keys[i]); err != nil {
						err = fmt.Errorf("%s, key %q: %w", path, keys[i], err)
					}
				}
				err = errors.Join(err, f.close(ctx))
			}
			errs <- err
		}()
	}
	var err error
	for range callers {
		err = errors.Join(err, <-errs)
	}
	if err == nil {
		d.result.Writes += int64(len(keys))
	}
	return err
}

// sceneAudit has all modules append at once, 100 a second each, and measures
// the time from each call to its record being in the journals of the others.
func (d *demo) sceneAudit(ctx context.Context) error {
	const each, every = 200, 10 * time.Millisecond
	if _, err := d.mesh.at(ctx, d.east(), "vos", "create_file", demoAudit, "-organization", "sequential"); err != nil {
		return err
	}
	if err := d.mesh.caughtUp(ctx); err != nil {
		return err
	}
	parent := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	t := &tracker{called: map[string]time.Time{}, seen: map[string]map[string]time.Time{}, changed: make(chan struct{}, 1)}
	since := time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano)
	var followers sync.WaitGroup
	for _, x := range d.mesh.modules {
		followers.Go(func() {
			err := x.ask(ctx, func(c *client.Client) error {
				return c.Journal(ctx, admin.JournalRequest{From: since, Follow: true}, func(ch *admin.Change) error {
					t.saw(x.name, ch)
					return nil
				})
			})
			if err != nil && ctx.Err() == nil {
				d.a.say("journal of %s: %v", x.name, err)
			}
		})
	}
	// Line 0 of each module is not measured: once it is seen everywhere, the
	// followers have come to the end of what was there before.
	err := d.appendLines(ctx, t, 0, 1, every)
	if err == nil {
		err = t.wait(ctx, len(d.mesh.modules), 30*time.Second)
	}
	first := t.take(d.audit)
	if err == nil {
		err = d.appendLines(ctx, t, 1, 1+each, every)
	}
	if err == nil {
		err = t.wait(ctx, len(d.mesh.modules), 10*time.Second)
	}
	cancel()
	followers.Wait()
	if err != nil {
		return err
	}
	called, seen := t.called, t.seen
	d.result.Writes += int64(first)
	var lags []time.Duration
	for line, at := range called {
		d.audit[line] = true
		last := time.Duration(-1)
		for _, t := range seen[line] {
			last = max(last, t.Sub(at))
		}
		if len(seen[line]) == len(d.mesh.modules)-1 {
			lags = append(lags, last)
		}
	}
	n := len(called)
	d.result.Writes += int64(n)
	if len(lags) < n {
		d.wrong("%d of %d lines did not come to all modules within 10 s", n-len(lags), n)
	}
	if len(lags) > 0 {
		ms := func(p int) float64 { return float64(percentile(lags, p).Microseconds()) / 1000 }
		d.result.LagP50MS, d.result.LagP99MS = ms(50), ms(99)
	}
	d.tell("  %d lines each, 100 a second. A line was durable at the last module %.1f ms after its", each, d.result.LagP50MS)
	d.tell("  call (median; 99 of 100 within %.1f ms), two links away for half of them.", d.result.LagP99MS)
	if err := d.mesh.caughtUp(parent); err != nil {
		return err
	}
	return d.digests(parent, demoAudit)
}

func (d *demo) sceneRing(ctx context.Context) error {
	if err := d.mesh.apply(ctx, "ring.tin", demoShare); err != nil {
		return err
	}
	d.tell("  Now every module has a link to both others.")
	before, err := d.suppressed(ctx)
	if err != nil {
		return err
	}
	n := min(1000, len(d.data.order))
	if err := d.rewrite(ctx, d.north(), d.data.order[:n], "rewritten at north"); err != nil {
		return err
	}
	if err := d.mesh.caughtUp(ctx); err != nil {
		return err
	}
	after, err := d.suppressed(ctx)
	if err != nil {
		return err
	}
	d.tell("  North rewrote %s records; %s copies that came a second way were dropped.", comma(int64(n)), comma(after-before))
	return d.digests(ctx, demoFile)
}

// suppressed is how many txns the nodes that run have dropped.
func (d *demo) suppressed(ctx context.Context) (int64, error) {
	var n int64
	for _, x := range d.mesh.modules {
		s, err := x.status(ctx)
		if err != nil {
			return 0, err
		}
		n += s.Duplicates
	}
	return n, nil
}

func (d *demo) sceneCut(ctx context.Context) error {
	link := func(verb string) error {
		for _, other := range []*demoModule{d.east(), d.north()} {
			if _, err := d.mesh.at(ctx, d.east(), "link", verb, d.west().name, other.name); err != nil {
				return err
			}
		}
		return nil
	}
	if err := link("pause"); err != nil {
		return err
	}
	n := min(100, len(d.data.order)/2)
	first := min(2000, len(d.data.order)-n)
	keys := d.data.order[first : first+n]
	east, err := d.rewriteOnly(ctx, d.east(), keys, "as east will have it")
	if err != nil {
		return err
	}
	west, err := d.rewriteOnly(ctx, d.west(), keys, "as west will have it")
	if err != nil {
		return err
	}
	d.tell("  %d records were rewritten in the east, and the same in the west. Nobody waited.", n)
	if err := link("resume"); err != nil {
		return err
	}
	if err := d.mesh.caughtUp(ctx); err != nil {
		return err
	}
	// What stands must be one of the two, and the ledger must hold the other.
	out, err := d.mesh.at(ctx, d.north(), "file", "dump", demoFile, "--delimiter", string(d.data.delimiter))
	if err != nil {
		return err
	}
	stands, err := d.byKey(out)
	if err != nil {
		return err
	}
	losers, err := d.losers(ctx, d.north())
	if err != nil {
		return err
	}
	kept, won := 0, 0
	for _, k := range keys {
		loser := east[k]
		switch {
		case bytes.Equal(stands[k], west[k]):
			won++
		case bytes.Equal(stands[k], east[k]):
			loser = west[k]
		default:
			d.wrong("key %q shows neither side's record", k)
			continue
		}
		d.data.lines[k] = stands[k]
		if losers[string(loser)] {
			kept++
		} else {
			d.wrong("key %q: the record that lost is not in the ledger", k)
		}
	}
	d.tell("  Healed: of %d records west's stands %d times, for it wrote last. All %d others", n, won, kept)
	d.tell("  are kept byte for byte: see \"drmesh conflict ls\" and \"conflict show\".")
	return d.digests(ctx, demoFile)
}

// byKey sorts the lines of a dump of the main file by key.
func (d *demo) byKey(dump []byte) (map[string][]byte, error) {
	m := map[string][]byte{}
	for line := range bytes.Lines(dump) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		rec, err := d.data.layout.EncodeLine(nil, line, d.data.delimiter)
		if err != nil {
			return nil, fmt.Errorf("a line of the dump does not fit the layout: %w", err)
		}
		m[string(keyOf(nil, d.data.key, rec))] = line
	}
	return m, nil
}

// losers gives the lines of all records that the ledger of a module keeps.
func (d *demo) losers(ctx context.Context, x *demoModule) (map[string]bool, error) {
	lines := map[string]bool{}
	err := x.ask(ctx, func(c *client.Client) error {
		all, err := c.Conflicts(ctx, "")
		if err != nil {
			return err
		}
		for i := range all {
			e := &all[i]
			if e.LoserData == nil && !e.Deleted {
				if e, err = c.Conflict(ctx, e.ID); err != nil {
					return err
				}
			}
			if line, err := d.data.layout.DecodeLine(nil, e.LoserData, d.data.delimiter); err == nil {
				lines[string(line)] = true
			}
		}
		return nil
	})
	return lines, err
}

func (d *demo) sceneKill(ctx context.Context) error {
	from, err := d.mesh.file("orders.txt", d.orders.text())
	if err != nil {
		return err
	}
	layout, err := d.mesh.file("orders.dd", d.orders.source)
	if err != nil {
		return err
	}
	load := []string{"file", "load", demoOrders, "--from", from, "--layout", layout, "--delimiter", ";"}
	s, err := d.north().status(ctx) // its counters die with it
	if err != nil {
		return err
	}
	d.result.LoopsSuppressed += s.Duplicates

	ended := make(chan error, 1)
	go func() {
		_, err := d.mesh.at(ctx, d.north(), load...)
		ended <- err
	}()
	n := len(d.orders.order)
	var ran error
	loading := true
	err = d.north().ask(ctx, func(c *client.Client) error {
		for loading {
			f, err := c.File(ctx, demoOrders)
			if e := (*admin.Error)(nil); errors.As(err, &e) && e.Class == admin.NotFound {
				err = nil // not made yet
			} else if err == nil && f.Records > int64(n/5) {
				return nil
			}
			if err != nil {
				return err
			}
			select {
			case ran = <-ended:
				loading = false
			case <-time.After(2 * time.Millisecond):
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !loading && ran != nil {
		return ran
	}
	d.north().kill()
	if loading {
		ran = <-ended
	}
	if ran == nil {
		d.tell("  The load was through before the kill.")
	} else {
		d.tell("  kill -9 in the middle of %s records. The load ended so:\n    %v", comma(int64(n)), ran)
	}
	m := min(100, len(d.data.order))
	if err := d.rewrite(ctx, d.west(), d.data.order[len(d.data.order)-m:], "rewritten while north was away"); err != nil {
		return err
	}
	d.tell("  West and east go on: %d records rewritten meanwhile.", m)
	if err := d.mesh.serve(ctx, d.north()); err != nil {
		return err
	}
	if ran != nil {
		if _, err := d.mesh.at(ctx, d.north(), append(load, "--resume")...); err != nil {
			return err
		}
		d.tell("  North is back, and \"file load --resume\" has brought the rest.")
	}
	d.result.Writes += int64(n)
	if err := d.mesh.caughtUp(ctx); err != nil {
		return err
	}
	return d.digests(ctx, demoOrders)
}

// percentile is the time that p of 100 stay within; times is sorted by it.
func percentile(times []time.Duration, p int) time.Duration {
	slices.Sort(times)
	return times[min(len(times)-1, len(times)*p/100)]
}

// appendLines has every module append lines of these numbers at once.
func (d *demo) appendLines(ctx context.Context, t *tracker, from, to int, every time.Duration) error {
	errs := make(chan error, len(d.mesh.modules))
	for _, x := range d.mesh.modules {
		go func() {
			f, err := x.openDemo(ctx, demoAudit, "")
			if err != nil {
				errs <- err
				return
			}
			tick := time.NewTicker(every)
			defer tick.Stop()
			for i := from; i < to && err == nil; i++ {
				select {
				case <-tick.C:
					line := fmt.Sprintf("%s audit line %d", x.name, i)
					t.calls(line)
					err = f.append(ctx, []byte(line))
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
			errs <- errors.Join(err, f.close(context.WithoutCancel(ctx)))
		}()
	}
	var err error
	for range d.mesh.modules {
		err = errors.Join(err, <-errs)
	}
	return err
}

// tracker notes when lines were written and when they were in the journals of
// the modules: all clocks are this machine's.
type tracker struct {
	mu      sync.Mutex                      // protects what follows; never held across I/O
	called  map[string]time.Time            // by line
	seen    map[string]map[string]time.Time // by line, then module
	changed chan struct{}                   // capacity 1: look again
}

func (t *tracker) calls(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.called[line] = time.Now()
}

// saw notes a change that came to a module from another.
func (t *tracker) saw(module string, ch *admin.Change) {
	at := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	line := string(ch.Data)
	if _, ok := t.called[line]; !ok || ch.Module == module {
		return
	}
	if t.seen[line] == nil {
		t.seen[line] = map[string]time.Time{}
	}
	if _, twice := t.seen[line][module]; !twice {
		t.seen[line][module] = at
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// wait waits until every line is at all other modules, but no longer than
// limit; what is missing then is for the caller to see.
func (t *tracker) wait(ctx context.Context, modules int, limit time.Duration) error {
	over := time.After(limit)
	for {
		t.mu.Lock()
		all := true
		for line := range t.called {
			all = all && len(t.seen[line]) == modules-1
		}
		t.mu.Unlock()
		if all {
			return nil
		}
		select {
		case <-t.changed:
		case <-over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take forgets the lines so far, after noting them, and gives their number.
func (t *tracker) take(lines map[string]bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.called)
	for l := range t.called {
		lines[l] = true
	}
	clear(t.called)
	clear(t.seen)
	return n
}
