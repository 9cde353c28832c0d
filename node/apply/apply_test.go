package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"drmesh/origin"
	"drmesh/origin/entry"
)

// bench is an applier between a fake network and a fake committer.
type bench struct {
	t *testing.T
	a *Applier

	mu    sync.Mutex    // protects what follows: the applier also comes of itself, by a timer
	epoch uint64        // the policy epoch known here
	ahead time.Duration // of all stamps above 100

	reported map[origin.Module]origin.Seq
	ends     map[origin.Module]origin.Seq
	hold     map[string]time.Duration // by txn: for how long they have to wait
	got      []string                 // what the committer was handed, in order
	closed   bool                     // the committer takes nothing any more
	released []string                 // runs whose memory came back
	sick     []string                 // what was told of streams
}

// ApplyLater implements Engine.
func (b *bench) ApplyLater(_ context.Context, t *origin.Txn, raw []byte, carry bool, _ func(error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errors.New("closed")
	}
	name := fmt.Sprintf("m%d:%d", t.Dot.Module, t.Dot.Seq)
	if carry {
		name += " carried"
	}
	again := new(origin.Txn)
	if err := entry.Decode(raw, t.Dot, again); err != nil || again.Stamp != t.Stamp {
		b.t.Errorf("%s came with other bytes: %v", name, err)
	}
	b.got = append(b.got, name)
	return nil
}

// wait is Config.Hold.
func (b *bench) wait(t *origin.Txn, wake func()) bool {
	b.mu.Lock()
	d, ok := b.hold[fmt.Sprintf("m%d:%d", t.Dot.Module, t.Dot.Seq)]
	b.mu.Unlock()
	if ok {
		time.AfterFunc(d, wake)
	}
	return ok
}

func stream(m int) origin.Stream {
	return origin.Stream{Group: 1, Module: origin.Module(m), Incarnation: 1}
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// dots reads "m2:5 m3:1".
func dots(t *testing.T, l []string) (out []origin.StreamSeq) {
	for _, w := range l {
		m, q, _ := strings.Cut(strings.TrimPrefix(w, "m"), ":")
		out = append(out, origin.StreamSeq{Stream: stream(number(t, m)), Seq: origin.Seq(number(t, q))})
	}
	return out
}

// raw is the entry of one txn as text: "policy=2", "stamp=5", "unknown",
// "damaged", and what its context names.
func raw(t *testing.T, words []string) []byte {
	x := origin.Txn{Stamp: 1, Policy: 1, Ops: []origin.Operation{{Kind: origin.Write, File: origin.FileID{1}, Address: []byte("a"), Life: 1, Data: []byte("x")}}}
	form := ""
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok && k == "policy" {
			x.Policy = uint64(number(t, v))
		} else if ok && k == "stamp" {
			x.Stamp = origin.Stamp(number(t, v))
		} else if w == "unknown" || w == "damaged" {
			form = w
		} else {
			x.Context = append(x.Context, dots(t, []string{w})...)
		}
	}
	b, err := entry.Append(nil, &x)
	if err != nil {
		t.Fatal(err)
	}
	switch form {
	case "unknown":
		b[1] = 99
	case "damaged":
		b = b[:len(b)/2]
	}
	return b
}

// set changes what the applier asks for.
func (b *bench) set(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
}

// line does what one line of a transcript says, and gives what came of it.
func (b *bench) line(text string) string {
	verb, rest, _ := strings.Cut(text, " ")
	switch verb {
	case "deliver": // m2 after 4: txn, txn
		head, txns, _ := strings.Cut(rest, ":")
		w := strings.Fields(head)
		s, after := stream(number(b.t, w[0][1:])), number(b.t, w[2])
		var entries [][]byte
		for _, x := range strings.Split(txns, ",") {
			entries = append(entries, raw(b.t, strings.Fields(x)))
		}
		name := fmt.Sprintf("m%d:%d..%d", s.Module, after+1, after+len(entries))
		b.a.Deliver(s, origin.Seq(after), entries, func() {
			b.mu.Lock()
			b.released = append(b.released, name)
			b.mu.Unlock()
		})
	case "own":
		var l []origin.StreamPosition
		for _, d := range dots(b.t, strings.Fields(rest)) {
			l = append(l, origin.StreamPosition{Stream: d.Stream, Position: origin.Position{Seq: d.Seq}})
		}
		b.a.Own(l)
	case "epoch":
		b.set(func() { b.epoch = uint64(number(b.t, rest)) })
		b.a.Retry()
	case "time":
		b.set(func() { b.ahead = 0 })
		b.a.Retry()
	case "hold": // m2:1 50ms: whoever asks then has to wait so long
		w := strings.Fields(rest)
		d, err := time.ParseDuration(w[1])
		if err != nil {
			b.t.Fatal(err)
		}
		b.set(func() { b.hold[w[0]] = d })
	case "free":
		b.set(func() { delete(b.hold, rest) })
	case "after":
		d, err := time.ParseDuration(rest)
		if err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(d)
	case "seal":
		m := number(b.t, rest[1:])
		c, err := b.a.Seal(context.Background(), origin.Module(m))
		return fmt.Sprintf("m%d:%d, %v", m, c[stream(m)], err)
	case "unseal":
		b.a.Unseal(origin.Module(number(b.t, rest[1:])))
	case "reported", "end": // m2:7
		x := dots(b.t, []string{rest})[0]
		b.set(func() {
			if verb == "end" {
				b.ends[x.Stream.Module] = x.Seq
			} else {
				b.reported[x.Stream.Module] = x.Seq
			}
		})
		b.a.Retry()
	case "shut":
		b.a.Shut(stream(number(b.t, rest[1:])))
	case "reset":
		c := origin.Context{}
		c.Advance(dots(b.t, strings.Fields(rest)))
		b.a.Reset(c)
	case "close":
		b.set(func() { b.closed = true })
	default:
		b.t.Fatalf("verb %q", verb)
	}
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	add := func(what string, l *[]string) {
		if len(*l) > 0 {
			out = append(out, what+" "+strings.Join(*l, " "))
			*l = nil
		}
	}
	add("applied", &b.got)
	add("released", &b.released)
	add("told", &b.sick)
	return strings.Join(out, "; ")
}

// TestApplier has runs come in all the orders that there are, and shows what
// the committer gets, whose memory comes back, and what the operator is told.
func TestApplier(t *testing.T) {
	for _, c := range []struct {
		name       string
		transcript string
		duplicates int64
	}{
		{name: "a run goes to the committer whole, in order", transcript: `
deliver m2 after 0: , ,
-> applied m2:1 m2:2 m2:3; released m2:1..3
deliver m2 after 3:
-> applied m2:4; released m2:4..4`},

		{name: "what was let through is dropped and counted", duplicates: 3, transcript: `
deliver m2 after 0: ,
-> applied m2:1 m2:2; released m2:1..2
deliver m2 after 0: , ,
-> applied m2:3; released m2:1..3
deliver m2 after 2:
-> released m2:3..3`},

		{name: "what waits is not held twice", duplicates: 1, transcript: `
deliver m2 after 0: m3:1
->
deliver m2 after 0: m3:1
-> released m2:1..1
deliver m3 after 0:
-> applied m3:1 m2:1; released m3:1..1 m2:1..1`},

		{name: "behind a gap it is dropped, and comes again", transcript: `
deliver m2 after 0:
-> applied m2:1; released m2:1..1
deliver m2 after 2: ,
-> released m2:3..4
deliver m2 after 1: , ,
-> applied m2:2 m2:3 m2:4; released m2:2..4`},

		{name: "streams wait for each other, and for nobody else", transcript: `
deliver m2 after 0: , m3:1, m4:2
-> applied m2:1
deliver m4 after 0: m2:2,
->
deliver m5 after 0: ,
-> applied m5:1 m5:2; released m5:1..2
deliver m3 after 0: m2:1
-> applied m3:1 m2:2 m4:1 m4:2 m2:3; released m3:1..1 m4:1..2 m2:1..3`},

		{name: "of streams that may go on the least goes first", transcript: `
deliver m4 after 0: m2:1
->
deliver m3 after 0: m2:1
->
deliver m2 after 0:
-> applied m2:1 m3:1 m4:1; released m2:1..1 m3:1..1 m4:1..1`},

		{name: "our own txns count when they are durable", transcript: `
deliver m2 after 0: m1:3
->
own m1:2
->
own m1:3
-> applied m2:1; released m2:1..1`},

		{name: "of a sealed module nothing more takes effect but what others report", transcript: `
deliver m2 after 0: ,
-> applied m2:1 m2:2; released m2:1..2
seal m2
-> m2:2, <nil>
deliver m2 after 2: , , ,
->
deliver m3 after 0:
-> applied m3:1; released m3:1..1
seal m2
-> m2:2, <nil>
reported m2:4
-> applied m2:3 m2:4
end m2:4
-> released m2:3..6
unseal m2
->`},

		{name: "what waits beyond an end is dropped when the end is known", transcript: `
deliver m2 after 0: m3:1, , ,
->
deliver m4 after 0: m2:4
->
end m2:2
->
deliver m3 after 0:
-> applied m3:1 m2:1 m2:2 m4:1; released m3:1..1 m2:1..4 m4:1..1`},

		{name: "so is what waits for tables", transcript: `
deliver m2 after 0: , policy=2, policy=2
-> applied m2:1; told m2 apply m2.1/g1:2: policy epoch 2 is not known here yet
end m2:2
->
epoch 2
-> applied m2:2; released m2:1..3; told m2 goes on`},

		{name: "a departure that is over opens what is sealed", transcript: `
seal m2
-> m2:0, <nil>
deliver m2 after 0:
->
unseal m2
-> applied m2:1; released m2:1..1`},

		{name: "streams that do not come here are not waited for", transcript: `
deliver m2 after 0: m9:7
-> applied m2:1; released m2:1..1`},

		{name: "a stream that is carried is handed on as such", transcript: `
deliver m8 after 0:
-> applied m8:1 carried; released m8:1..1`},

		{name: "an unknown policy epoch holds its stream, and nothing is lost", transcript: `
deliver m2 after 0: , policy=3, policy=1
-> applied m2:1; told m2 apply m2.1/g1:2: policy epoch 3 is not known here yet
deliver m2 after 3:
->
deliver m3 after 0: m2:1,
-> applied m3:1 m3:2; released m3:1..2
epoch 2
->
epoch 3
-> applied m2:2 m2:3 m2:4; released m2:1..3 m2:4..4; told m2 goes on`},

		{name: "held again by the next epoch", transcript: `
deliver m2 after 0: policy=2, policy=3
-> told m2 apply m2.1/g1:1: policy epoch 2 is not known here yet
epoch 2
-> applied m2:1; told m2 goes on m2 apply m2.1/g1:2: policy epoch 3 is not known here yet
epoch 3
-> applied m2:2; released m2:1..2; told m2 goes on`},

		{name: "who waits for a held stream waits, too", transcript: `
deliver m2 after 0: policy=2
-> told m2 apply m2.1/g1:1: policy epoch 2 is not known here yet
deliver m3 after 0: m2:1
->
epoch 2
-> applied m2:1 m3:1; released m2:1..1 m3:1..1; told m2 goes on`},

		{name: "a stamp from the future holds its stream until its time", transcript: `
deliver m2 after 0: stamp=5, stamp=500, stamp=6
-> applied m2:1; told m2 apply m2.1/g1:2: it is stamped 1h0m0s ahead of the time here: a clock is wrong, there or here
epoch 1
->
time
-> applied m2:2 m2:3; released m2:1..3; told m2 goes on`},

		{name: "a txn that waits for a program holds its stream and who comes after it, and no other", transcript: `
hold m2:2 50ms
->
deliver m2 after 0: , ,
-> applied m2:1
deliver m2 after 3:
->
deliver m3 after 0: , m2:3
-> applied m3:1
deliver m4 after 0:
-> applied m4:1; released m4:1..1
free m2:2
->
after 49ms
->
after 1ms
-> applied m2:2 m2:3 m2:4 m3:2; released m2:1..3 m2:4..4 m3:1..2`},

		{name: "it does not wait for longer than the bound, however often it is told to", transcript: `
hold m2:1 60ms
->
deliver m2 after 0: ,
->
after 180ms
->
after 19ms
->
after 1ms
-> applied m2:1 m2:2; released m2:1..2
hold m2:3 1ms
->
deliver m2 after 2:
->
free m2:3
->
after 1ms
-> applied m2:3; released m2:3..3`},

		{name: "a snapshot forgets what waits for a program", transcript: `
hold m2:1 50ms
->
deliver m2 after 0:
->
reset m2:1
->
after 50ms
->
deliver m2 after 1:
-> applied m2:2; released m2:2..2`},

		{name: "a form of a newer release stops its stream alone, once and for all", transcript: `
deliver m2 after 0: , unknown,
-> applied m2:1; told m2 apply m2.1/g1:2: entry m2.1/g1:2: version 99: entry is of a form unknown to this version of drmesh
deliver m2 after 3: ,
->
epoch 1
->
deliver m3 after 0: m2:1
-> applied m3:1; released m3:1..1
deliver m4 after 0: m2:2
->`},

		{name: "what was before it and waits still goes", transcript: `
deliver m2 after 0: m3:1, damaged
-> told m2 apply m2.1/g1:2: entry m2.1/g1:2: damaged entry: msgpack at byte 11: message ends too early
deliver m3 after 0:
-> applied m3:1 m2:1; released m3:1..1`},

		{name: "a shut stream goes no further, and keeps its memory", transcript: `
deliver m3 after 0: m2:2
->
deliver m4 after 0: m2:2
->
shut m3
->
deliver m2 after 0: ,
-> applied m2:1 m2:2 m4:1; released m2:1..2 m4:1..1
deliver m3 after 1: ,
->`},

		{name: "after a snapshot all begins again from it", duplicates: 1, transcript: `
deliver m2 after 0: m3:9
->
deliver m3 after 0: unknown
-> told m3 apply m3.1/g1:1: entry m3.1/g1:1: version 99: entry is of a form unknown to this version of drmesh
shut m4
->
reset m2:5 m3:9
->
deliver m2 after 0:
-> released m2:1..1
deliver m2 after 5: m3:9
-> applied m2:6; released m2:6..6
deliver m3 after 9:
-> applied m3:10; released m3:10..10; told m3 goes on
deliver m4 after 0:
-> applied m4:1; released m4:1..1`},

		{name: "a committer that has closed gets nothing more", transcript: `
deliver m2 after 0:
-> applied m2:1; released m2:1..1
close
->
deliver m2 after 1: ,
->`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bench{t: t, epoch: 1, ahead: time.Hour, hold: map[string]time.Duration{}, reported: map[origin.Module]origin.Seq{}, ends: map[origin.Module]origin.Seq{}}
				b.a = New(Config{Engine: b, Applied: origin.Context{},
					Comes: func(s origin.Stream) bool { return s.Module != 9 },
					Carry: func(s origin.Stream) bool { return s.Module == 8 },
					Ready: func(p uint64) bool {
						b.mu.Lock()
						defer b.mu.Unlock()
						return p <= b.epoch
					},
					Hold: b.wait,
					Reported: func(s origin.Stream) origin.Seq {
						b.mu.Lock()
						defer b.mu.Unlock()
						return b.reported[s.Module]
					},
					End: func(s origin.Stream) (origin.Seq, bool) {
						b.mu.Lock()
						defer b.mu.Unlock()
						q, ok := b.ends[s.Module]
						return q, ok
					},
					Far: func(_ origin.Stream, s origin.Stamp) (time.Duration, bool) {
						b.mu.Lock()
						defer b.mu.Unlock()
						return b.ahead, s > 100 && b.ahead > 0
					},
					Logger: slog.New(slog.DiscardHandler),
					Sick: func(s origin.Stream, err error) {
						b.mu.Lock()
						defer b.mu.Unlock()
						if err == nil {
							b.sick = append(b.sick, fmt.Sprintf("m%d goes on", s.Module))
						} else {
							b.sick = append(b.sick, fmt.Sprintf("m%d %v", s.Module, err))
						}
					}})
				defer b.a.Close()
				lines := strings.Split(strings.TrimSpace(c.transcript), "\n")
				for i := 0; i+1 < len(lines); i += 2 {
					want := strings.TrimSpace(strings.TrimPrefix(lines[i+1], "->"))
					if got := b.line(strings.TrimSpace(lines[i])); got != want {
						t.Errorf("%s\n got %s\nwant %s", lines[i], got, want)
					}
				}
				if n := b.a.Duplicates.Load(); n != c.duplicates {
					t.Errorf("%d duplicates", n)
				}
			})
		})
	}
}

// TestCloseEndsIt: Close comes back while streams wait, can be called again,
// and what is told afterwards is of no consequence.
func TestCloseEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, epoch: 1}
		b.a = New(Config{Engine: b, Applied: origin.Context{stream(2): 4}, Comes: func(origin.Stream) bool { return true },
			Carry: func(origin.Stream) bool { return false }, Ready: func(uint64) bool { return true }, Logger: slog.New(slog.DiscardHandler)})
		b.line("deliver m3 after 0: m2:9")
		b.a.Close()
		b.a.Close()
		b.a.Deliver(stream(2), 4, [][]byte{raw(t, nil)}, func() { t.Error("released") })
		b.a.Retry()
		b.a.Own(nil)
		synctest.Wait()
		if len(b.got) > 0 {
			t.Errorf("applied %v", b.got)
		}
	})
}

// TestManyStreams: whatever the order of arrival, each txn is handed on once,
// after what it names.
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, epoch: 1}
		b.a = New(Config{Engine: b, Applied: origin.Context{}, Comes: func(origin.Stream) bool { return true },
			Carry: func(origin.Stream) bool { return false }, Ready: func(uint64) bool { return true }, Logger: slog.New(slog.DiscardHandler)})
		defer b.a.Close()
		// Five modules write in turn, each on what the one before it wrote.
		const modules, rounds = 5, 40
		for m := modules; m >= 1; m-- { // the last comes first
			for q := 0; q < rounds; q += 8 {
				var l []string
				for i := q; i < q+8; i++ {
					switch {
					case m > 1:
						l = append(l, fmt.Sprintf("m%d:%d", m-1, i+1))
					case i > 0:
						l = append(l, fmt.Sprintf("m%d:%d", modules, i))
					default:
						l = append(l, "")
					}
				}
				text := fmt.Sprintf("deliver m%d after %d: %s", m, q, strings.Join(l, ","))
				head, txns, _ := strings.Cut(strings.TrimPrefix(text, "deliver "), ":")
				w := strings.Fields(head)
				var entries [][]byte
				for _, x := range strings.Split(txns, ",") {
					entries = append(entries, raw(t, strings.Fields(x)))
				}
				b.a.Deliver(stream(number(t, w[0][1:])), origin.Seq(q), entries, nil)
			}
		}
		synctest.Wait()
		var want []string
		for q := range rounds {
			for m := range modules {
				want = append(want, fmt.Sprintf("m%d:%d", m+1, q+1))
			}
		}
		if !slices.Equal(b.got, want) {
			t.Errorf("applied in the order %v", b.got)
		}
	})
}
