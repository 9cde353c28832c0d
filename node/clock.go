package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/node/apply"
	"drmesh/origin"
	"drmesh/origin/clock"
)

// A module compares its clock with those of its neighbours. Half a second of
// difference raises an alarm. Where its own is far ahead of theirs (by the
// median of them), it stamps by their time (origin/clock). What comes stamped
// far ahead of the time here waits, with its stream and all that was written on
// top of it, until the time has come or an operator lets it through: then it
// takes effect under the stamp that it has, and moves no clock.

const (
	clockAlarm = 500 * time.Millisecond
	clockFresh = time.Minute // older measurements say nothing
	// clockAlone is how long a start waits for a neighbour to show the time,
	// before it believes its own clock.
	clockAlone = 10 * time.Second
)

// keyLead has by how many milliseconds the wall clock was ahead of the peers;
// keyReleased and a stream have the stamp up to which an operator let it through.
var (
	keyLead     = []byte("nl")
	keyReleased = []byte("nr")
)

const (
	leadKey = "this module's clock is ahead"
	leapKey = "this module's clock leapt"
)

// offset is what a peer's clock shows more than ours.
type offset struct {
	off time.Duration
	rtt time.Duration
	at  time.Time
}

// loadClock takes up what was known of the clock before the start.
func (n *Node) loadClock() error {
	v, closer, err := n.db.Get(keyLead)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return fmt.Errorf("read what is known of the clock: %w", err)
	default:
		if len(v) == 8 {
			n.clock.Agree(time.Duration(min(binary.BigEndian.Uint64(v), 1<<43)) * time.Millisecond)
		}
		closer.Close()
	}
	n.released = map[origin.Stream]origin.Stamp{}
	it, err := n.db.NewIter(&pebble.IterOptions{LowerBound: keyReleased, UpperBound: []byte("ns")})
	if err != nil {
		return fmt.Errorf("read which stamps were let through: %w", err)
	}
	for it.First(); it.Valid(); it.Next() {
		if k := it.Key(); len(k) == len(keyReleased)+origin.StreamSize && len(it.Value()) == 8 {
			n.released[origin.DecodeStream(k[len(keyReleased):])] = origin.Stamp(binary.BigEndian.Uint64(it.Value()))
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return fmt.Errorf("read which stamps were let through: %w", err)
	}
	return nil
}

// tooFar is apply.Config.Far.
func (n *Node) tooFar(s origin.Stream, stamp origin.Stamp) (time.Duration, bool) {
	ahead := n.clock.Ahead(stamp)
	if ahead <= clock.MaxAhead {
		return ahead, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return ahead, stamp > n.released[s]
}

// noteFar keeps which streams wait for the time of their stamps.
func (n *Node) noteFar(s origin.Stream, err error) {
	var far *apply.Far
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.far, s)
	if errors.As(err, &far) {
		if n.far == nil {
			n.far = map[origin.Stream]*apply.Far{}
		}
		n.far[s] = far
	}
}

// serveClock answers with this module's wall clock, in unix microseconds.
func (n *Node) serveClock(context.Context, origin.Module, []byte) ([]byte, error) {
	return json.Marshal(n.wall().UnixMicro())
}

// clockUnsure reports whether the clocks had better be compared at once: ours
// leapt, or a peer that is in reach was never asked.
func (n *Node) clockUnsure() bool {
	if _, leap := n.clock.Off(); leap > 0 {
		return true
	}
	for _, l := range n.mesh.Links() {
		if l.Up {
			n.mu.Lock()
			_, asked := n.offsets[l.Peer]
			n.mu.Unlock()
			if !asked {
				return true
			}
		}
	}
	return false
}

// compareClocks asks the neighbours for their time. It runs in housekeep.
func (n *Node) compareClocks() {
	peers := n.peers()
	for _, p := range peers {
		ctx, cancel := context.WithTimeout(n.ctx, 2*time.Second)
		began := n.wall()
		b, err := n.mesh.Call(ctx, p, "clock", nil)
		rtt := n.wall().Sub(began)
		cancel()
		var us int64
		if err != nil || json.Unmarshal(b, &us) != nil {
			continue
		}
		// Both of the wall: of a leap meanwhile the next comparison tells.
		off := time.UnixMicro(us).Sub(began.Round(0).Add(rtt / 2))
		n.mu.Lock()
		if n.offsets == nil {
			n.offsets = map[origin.Module]offset{}
		}
		n.offsets[p] = offset{off, rtt, time.Now()}
		n.mu.Unlock()
		key := "clock of module " + n.moduleName(p)
		if (off-rtt/2).Abs() > clockAlarm && off.Abs() > clockAlarm {
			n.alarm(key, fmt.Sprintf("it shows %s, ours %s: they differ by %v", time.UnixMicro(us).UTC().Format(time.RFC3339Nano), n.wall().UTC().Format(time.RFC3339Nano), off.Round(time.Millisecond)))
		} else {
			n.clearAlarm(key)
		}
	}
	n.agree(peers)
	n.forgetReleased()
}

// median is that of what the peers' clocks show more than ours; false where none
// was asked of late.
func (n *Node) median(peers []origin.Module) (time.Duration, bool) {
	var l []time.Duration
	n.mu.Lock()
	for _, p := range peers {
		if o, ok := n.offsets[p]; ok && time.Since(o.at) < clockFresh {
			l = append(l, o.off)
		}
	}
	n.mu.Unlock()
	if len(l) == 0 {
		return 0, false
	}
	slices.Sort(l)
	return l[len(l)/2], true // of two the one that is ahead: ours is less wrong by it
}

// agree tells the clock what the peers show.
func (n *Node) agree(peers []origin.Module) {
	off, ok := n.median(peers)
	if ok {
		n.agreed = true
	}
	if ok || len(peers) == 0 || !n.agreed && time.Since(n.started) > clockAlone {
		if n.clock.Agree(-off) {
			lead, _ := n.clock.Off()
			err := n.db.Set(keyLead, binary.BigEndian.AppendUint64(nil, uint64(lead.Milliseconds())), pebble.Sync)
			if err != nil && n.ctx.Err() == nil {
				n.log.Warn("what is known of the clock was not kept", "err", err)
			}
		}
	}
	lead, leap := n.clock.Off()
	if lead > 0 && ok {
		n.alarm(leadKey, fmt.Sprintf("by %v of its neighbours: it stamps by their time; set the clock", lead.Round(time.Millisecond)))
	} else if lead == 0 {
		n.clearAlarm(leadKey)
	}
	if leap > 0 && n.agreed {
		n.alarm(leapKey, fmt.Sprintf("by %v, and no neighbour confirms it: it stamps by the time before", leap.Round(time.Millisecond)))
	} else if leap == 0 {
		n.clearAlarm(leapKey)
	}
}

// Clock implements admin.Engine.
func (e engine) Clock(context.Context) (*admin.Clock, error) { return e.n.clockStatus(), nil }

func (n *Node) clockStatus() *admin.Clock {
	now := time.Now()
	out := &admin.Clock{Module: n.dir.Module, Wall: n.wall().UTC(), Peers: []admin.PeerClock{}, Held: []admin.HeldStream{}}
	lead, leap := n.clock.Off()
	out.LeadMS, out.LeapMS = float64(lead.Microseconds())/1000, float64(leap.Microseconds())/1000
	peers := n.peers()
	if m, ok := n.median(peers); ok {
		out.MedianMS = ptr(float64(m.Microseconds()) / 1000)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range peers {
		c := admin.PeerClock{Peer: n.moduleName(p)}
		if o, ok := n.offsets[p]; ok {
			c.OffsetMS, c.RTTMS, c.AgeS = ptr(float64(o.off.Microseconds())/1000), ptr(float64(o.rtt.Microseconds())/1000), ptr(now.Sub(o.at).Seconds())
		}
		out.Peers = append(out.Peers, c)
	}
	for s, f := range n.far {
		out.Held = append(out.Held, admin.HeldStream{Stream: n.streamName(s), Module: n.moduleName(s.Module), Seq: uint64(f.Dot.Seq),
			Stamp: f.Stamp.Time().UTC(), AheadS: n.clock.Ahead(f.Stamp).Seconds()})
	}
	slices.SortFunc(out.Held, func(a, b admin.HeldStream) int { return cmp.Compare(a.Stream, b.Stream) })
	return out
}

// ReleaseStamps implements admin.Engine: what waits of a module for the time of
// its stamps takes effect, at all members that can be asked.
func (e engine) ReleaseStamps(ctx context.Context, r admin.StampRelease) (*admin.StampsReleased, error) {
	n := e.n
	st := n.ctl.state()
	i := slices.IndexFunc(st.Members, func(m control.Member) bool { return m.Name == r.Module })
	if i < 0 {
		return nil, failure(admin.NotFound, "no_module", "\"drmesh module ls\" lists the modules", "no module %s", r.Module)
	}
	out := &admin.StampsReleased{Module: r.Module, Released: []admin.HeldStream{}, Left: []string{}}
	for _, m := range st.Members {
		if !m.HoldsData() || !m.Standing() {
			continue
		}
		var l []admin.HeldStream
		var err error
		if m.Number == n.dir.Number {
			l, err = n.release(r)
		} else {
			l, err = n.askRelease(ctx, m.Number, r)
		}
		if err != nil {
			n.log.Warn("stamps were not let through", "module", m.Name, "err", err)
			out.Left = append(out.Left, m.Name)
			continue
		}
		for i := range l {
			l[i].At = m.Name
		}
		out.Released = append(out.Released, l...)
	}
	if len(out.Released) == 0 && len(out.Left) == 0 {
		return nil, failure(admin.Precondition, "nothing_held", "\"drmesh clock ls\" shows what waits", "nothing of %s waits for the time of its stamps, at any member", r.Module)
	}
	return out, nil
}

func (n *Node) askRelease(ctx context.Context, m origin.Module, r admin.StampRelease) (l []admin.HeldStream, err error) {
	req, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	b, err := n.mesh.Call(ctx, m, "release stamps", req)
	if err != nil {
		return nil, err
	}
	return l, json.Unmarshal(b, &l)
}

func (n *Node) serveRelease(_ context.Context, _ origin.Module, b []byte) ([]byte, error) {
	var r admin.StampRelease
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	l, err := n.release(r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(l)
}

// release lets through here what is known of a module's streams that wait, and
// what it stamps within MaxAhead after that: its clock counts on from there,
// also when it was set meanwhile.
func (n *Node) release(r admin.StampRelease) ([]admin.HeldStream, error) {
	heads := n.heads.all()
	out := []admin.HeldStream{}
	for _, h := range n.clockStatus().Held {
		if h.Module == r.Module {
			out = append(out, h)
		}
	}
	if r.DryRun || len(out) == 0 {
		return out, nil
	}
	upto := map[origin.Stream]origin.Stamp{}
	n.mu.Lock()
	for s, f := range n.far {
		if n.moduleName(s.Module) != r.Module {
			continue
		}
		far := f.Stamp
		if h, ok := heads[s]; ok {
			far = max(far, h.Floor)
		}
		upto[s] = origin.MakeStamp(far.Millis()+uint64(clock.MaxAhead.Milliseconds()), 0)
	}
	n.mu.Unlock()
	for s, to := range upto {
		if err := n.db.Set(releasedOf(s), binary.BigEndian.AppendUint64(nil, uint64(to)), pebble.Sync); err != nil {
			return nil, fmt.Errorf("keep which stamps are let through: %w", err)
		}
	}
	n.mu.Lock()
	for s, to := range upto {
		n.released[s] = max(n.released[s], to)
	}
	n.mu.Unlock()
	for s := range upto {
		n.log.Warn("an operator let stamps of the future through", "stream", n.streamName(s), "to", upto[s].Time().UTC())
	}
	n.applier.Retry()
	return out, nil
}

func releasedOf(s origin.Stream) []byte { return origin.AppendStream(slices.Clone(keyReleased), s) }

// forgetReleased forgets what the time has reached since.
func (n *Node) forgetReleased() {
	var over []origin.Stream
	n.mu.Lock()
	for s, to := range n.released {
		if n.clock.Ahead(to) <= 0 {
			over = append(over, s)
			delete(n.released, s)
		}
	}
	n.mu.Unlock()
	for _, s := range over {
		if err := n.db.Delete(releasedOf(s), pebble.NoSync); err != nil && n.ctx.Err() == nil {
			n.log.Warn("which stamps were let through is kept longer", "err", err)
		}
	}
}
