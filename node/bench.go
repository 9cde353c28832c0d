package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio/call"
)

// benchRecord makes the n-th record: 16 bytes of key, then what does not
// compress.
func benchRecord(rec []byte, n int64, keys string, rng *rand.Rand) {
	k := uint64(n)
	if keys == "scattered" {
		k *= 0x9e3779b97f4a7c15 // odd: no two n give one key
	}
	benchKey(rec, k)
	i := 16
	for ; i+8 <= len(rec); i += 8 {
		v := rng.Uint64()
		for j := range 8 {
			rec[i+j] = byte(v >> (8 * j))
		}
	}
	for ; i < len(rec); i++ {
		rec[i] = byte(rng.Uint32())
	}
}

// benchKey writes the key of a record.
func benchKey(rec []byte, k uint64) {
	const digits = "0123456789abcdef"
	for i := 15; i >= 0; i-- {
		rec[i] = digits[k&15]
		k >>= 4
	}
}

// Bench implements admin.Engine: goroutines of this node write through the
// file system's calls, each as a program of its own.
func (e engine) Bench(ctx context.Context, r admin.BenchRequest) (*admin.BenchResult, error) {
	n := e.n
	if r.Callers < 1 || r.Callers > 1024 || r.Bytes < 16 || r.Bytes > origin.MaxRecord || r.Warmup < 0 || r.Duration < 0 || r.Warmup+r.Duration > 10*time.Minute || r.Count < 0 {
		return nil, failure(admin.Usage, "bad_bench", "1 to 1024 callers, 16 to 32767 bytes, 10 minutes at most", "bench: a figure is out of range")
	}
	if r.Bare != 0 {
		if r.Bare != 1 && r.Bare != 4 {
			return nil, failure(admin.Usage, "bad_bench", "1 or 4", "bench: %d keys a write", r.Bare)
		}
		return n.benchBare(ctx, r)
	}
	full, err := n.eng.FullPath(r.File)
	if err != nil {
		return nil, explain(err)
	}
	switch r.Call {
	case "", "keyed_write":
	case "keyed_read", "seq_read":
		return n.benchReads(ctx, full, r)
	default:
		return nil, failure(admin.Usage, "bad_bench", "keyed_write, keyed_read or seq_read", "bench: call %s", r.Call)
	}
	if r.OwnInterval > 0 {
		n.eng.SetOwnInterval(r.OwnInterval)
		defer n.eng.SetOwnInterval(0)
	}
	info, err := n.eng.Info(full)
	if err != nil {
		return nil, explain(err)
	}
	var stream origin.Stream
	n.mu.Lock()
	if s := n.rules.byName[info.Share]; s != nil {
		stream = s.Stream
	}
	n.mu.Unlock()
	var peer origin.Module
	if r.Peer != "" {
		m, ok := n.ctl.state().Named(r.Peer)
		if !ok {
			return nil, failure(admin.NotFound, "no_module", "", "no module %s", r.Peer)
		}
		peer = m.Number
	}

	// What is under way: when the call of each seq began. Only with one
	// caller is it known which seq a call had.
	var lagMu sync.Mutex
	type flightTime struct {
		seq   origin.Seq
		began time.Time
	}
	var under []flightTime
	var lags []time.Duration
	begun := time.Now()
	from := begun.Add(r.Warmup)
	until := from.Add(r.Duration)
	var peerFrom, peerUntil origin.Seq
	if peer != 0 {
		w := &watch{peer: peer, stream: stream, fn: func(seq origin.Seq, at time.Time) {
			lagMu.Lock()
			defer lagMu.Unlock()
			if at.Before(from) {
				peerFrom = seq
			}
			if at.Before(until) {
				peerUntil = seq
			}
			i := 0
			for ; i < len(under) && under[i].seq <= seq; i++ {
				if under[i].began.After(from) {
					lags = append(lags, at.Sub(under[i].began))
				}
			}
			under = under[i:]
		}}
		if a, ok := n.acks.of(peer, stream); ok {
			peerFrom, peerUntil = a.seq, a.seq
		}
		n.acks.mu.Lock()
		n.acks.watch[w] = struct{}{}
		n.acks.mu.Unlock()
		defer func() {
			n.acks.mu.Lock()
			delete(n.acks.watch, w)
			n.acks.mu.Unlock()
		}()
	}

	var next, counted, all atomic.Int64
	next.Store(r.First)
	var wireFrom uint64
	wire := func() uint64 {
		s := n.net.PeerStats(peer)
		return s.BytesSent + s.BytesReceived
	}
	stopWire := time.AfterFunc(r.Warmup, func() {
		if peer != 0 {
			lagMu.Lock()
			wireFrom = wire()
			lagMu.Unlock()
		}
	})
	defer stopWire.Stop()
	spent := spend(r.Warmup)
	var wg sync.WaitGroup
	errs := make([]error, r.Callers)
	for i := range r.Callers {
		wg.Go(func() {
			errs[i] = func() error {
				p := n.eng.NewProcess("drmesh")
				defer p.Close()
				c := call.Client{Caller: p}
				port, err := c.OpenPath(ctx, full, call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed})
				if err != nil {
					return err
				}
				rng := rand.New(rand.NewPCG(uint64(i), 1))
				rec := make([]byte, r.Bytes)
				for ctx.Err() == nil {
					k := next.Add(1)
					if r.Rate > 0 {
						due := begun.Add(time.Duration(float64(k) / r.Rate * float64(time.Second)))
						select {
						case <-time.After(time.Until(due)):
						case <-ctx.Done():
							return ctx.Err()
						}
					}
					now := time.Now()
					if r.Count > 0 && k > r.First+r.Count || r.Count == 0 && now.After(until) {
						return nil
					}
					benchRecord(rec, k, r.Keys, rng)
					if err := c.KeyedWrite(ctx, port, rec); err != nil {
						return err
					}
					all.Add(1)
					if now.After(from) {
						counted.Add(1)
					}
					if peer != 0 && r.Callers == 1 {
						seq := n.j.Tail(stream).Seq
						// Before lagMu: a watcher is called under the lock of acks.
						a, ok := n.acks.of(peer, stream)
						lagMu.Lock()
						if ok && a.seq >= seq {
							if now.After(from) {
								lags = append(lags, time.Since(now))
							}
						} else {
							under = append(under, flightTime{seq, now})
						}
						lagMu.Unlock()
					}
				}
				return ctx.Err()
			}()
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, explain(err)
		}
	}
	took := time.Since(from).Seconds()
	out := &admin.BenchResult{Acked: all.Load(), Seconds: took, RSSMB: residentMB(), Last: next.Load()}
	spent.by(out, counted.Load())
	if r.Duration > 0 {
		out.AckedPerS = float64(counted.Load()) / took
	} else {
		out.AckedPerS = float64(all.Load()) / time.Since(begun).Seconds()
	}
	if peer != 0 {
		lagMu.Lock()
		defer lagMu.Unlock()
		done := int64(peerUntil - peerFrom)
		if r.Duration > 0 {
			out.DurableBothPer = float64(done) / r.Duration.Seconds()
		}
		if done > 0 {
			out.WireBytes = float64(wire()-wireFrom) / float64(done)
		}
		slices.Sort(lags)
		if len(lags) > 0 {
			out.LagP50MS = float64(lags[len(lags)/2].Microseconds()) / 1000
			out.LagP99MS = float64(lags[len(lags)*99/100].Microseconds()) / 1000
		}
	}
	return out, nil
}

// barePut puts what a keyed write of a mirrored file with one index puts, of a
// record whose first 16 bytes are its key: register, index entry, physical
// order, journal entry, each of the size that it has there. k and v are
// scratch, with room for both.
func barePut(b *pebble.Batch, seq uint64, rec, k, v []byte) error {
	v = append(v[:0], rec...)
	v = v[:len(rec)+64]
	var file, rest [20]byte // of a file and an index; of a birth, after its first 8 bytes
	put := func(prefix string, value []byte, parts ...[]byte) error {
		k = append(k[:0], prefix...)
		for _, p := range parts {
			k = append(k, p...)
		}
		return b.Set(k, value, nil)
	}
	birth := binary.BigEndian.AppendUint64(nil, seq)
	key := rec[:16]
	return errors.Join(
		put("vr", v[:len(rec)+19], file[:], key),
		put("vx", nil, file[:], key, birth, rest[:], file[:5], key),
		put("vp", nil, file[:16], birth, rest[:], file[:5], key),
		put("je", v, file[:12], birth))
}

// benchBare writes into a bare Pebble of its own, r.Bare keys a write, flushed
// before the answer.
func (n *Node) benchBare(ctx context.Context, r admin.BenchRequest) (*admin.BenchResult, error) {
	dir, err := os.MkdirTemp(n.dir.path, "bare")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	db, err := pebble.Open(filepath.Join(dir, "db"), pebbleOptions(n.log, func() bool { return false }))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	begun := time.Now()
	from := begun.Add(r.Warmup)
	until := from.Add(r.Duration)
	var next, counted atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, r.Callers)
	for i := range r.Callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			rec, key, value := make([]byte, r.Bytes), make([]byte, 128), make([]byte, r.Bytes+64)
			for ctx.Err() == nil {
				now := time.Now()
				if now.After(until) {
					return
				}
				k := next.Add(1)
				benchRecord(rec, k, r.Keys, rng)
				if r.Bare == 1 {
					errs[i] = db.Set(rec[:16], rec[16:], pebble.Sync)
				} else {
					b := db.NewBatch()
					if errs[i] = barePut(b, uint64(k), rec, key, value); errs[i] == nil {
						errs[i] = b.Commit(pebble.Sync)
					}
					errs[i] = errors.Join(errs[i], b.Close())
				}
				if errs[i] != nil {
					return
				}
				if now.After(from) {
					counted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("bare store: %w", err)
		}
	}
	took := time.Since(from).Seconds()
	return &admin.BenchResult{Acked: counted.Load(), AckedPerS: float64(counted.Load()) / took, Seconds: took}, ctx.Err()
}
