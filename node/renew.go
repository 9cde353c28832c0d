package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// A directory that was restored from a backup, or copied, asks control for new
// incarnations as soon as a neighbour has proven it: its streams end where the
// members have them, it pulls what it lacks of them, and goes on under the next
// ones. Until then it reads, applies and relays, and takes no shared writes.
//
// The module's other directory may be at work still. It sees that a renewal was
// begun which it did not ask for, and drops it; so that it has the time, the
// directory that asks reports last, renewWait after the beginning. One that is
// cut off meanwhile finds, when it is back, that another instance is in force:
// it takes no more shared writes, and alarms.

// keyInstance has the directory's instance and then the one that it last asked
// for, each of control.InstanceSize bytes or none.
var (
	keyInstance = []byte("ni")
	keyAsked    = []byte("nj")
)

const (
	renewWait  = 3 * time.Second
	renewAgain = time.Minute // after another directory has dropped it
)

// renewal is what a directory knows of its instance. It is owned by the
// control loop.
type renewal struct {
	instance []byte // that under which this directory writes; nil: none was ever given
	asked    []byte // the one last asked for; nil: none
	began    time.Time
	under    bool      // ours is under way, since began
	again    time.Time // not asked before
	keeping  bool      // another directory's was seen, and is being dropped
}

func (n *Node) loadInstance() error {
	for _, x := range []struct {
		key []byte
		to  *[]byte
	}{{keyInstance, &n.renewal.instance}, {keyAsked, &n.renewal.asked}} {
		v, closer, err := n.db.Get(x.key)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the directory's instance: %w", err)
		}
		*x.to = slices.Clone(v)
		closer.Close()
	}
	return nil
}

const replacedKey = "another directory of this module has taken its place"

// unrenewed tells why this directory may not write a group although control
// lets the module; empty: it may. It runs on the control loop.
func (n *Node) unrenewed(st *control.State, g origin.Group) string {
	me, ok := st.Member(n.dir.Number)
	if !ok {
		return ""
	}
	if !bytes.Equal(me.Instance, n.renewal.instance) {
		return replacedKey
	}
	if d, under := st.Departure(n.dir.Number); under && d.Renews != nil {
		return "new incarnations of this module are being agreed on"
	}
	for _, e := range st.Ends {
		s := e.Stream()
		if s.Module != n.dir.Number || s.Group != g {
			continue
		}
		if at := n.j.Tail(s).Seq; at < e.Seq {
			n.lacksOwn.Store(true)
			return fmt.Sprintf("%d of the %d txns of %s, which others have, are not back yet", e.Seq-at, e.Seq, n.streamName(s))
		}
	}
	return ""
}

// adoptInstance takes up the instance that control has given to this directory,
// and forgets what was said of streams that have ended.
func (n *Node) adoptInstance(st *control.State) error {
	me, ok := st.Member(n.dir.Number)
	r := &n.renewal
	if ok && len(me.Instance) > 0 && bytes.Equal(me.Instance, r.asked) && !bytes.Equal(r.instance, r.asked) {
		if err := n.db.Set(keyInstance, me.Instance, pebble.Sync); err != nil {
			return fmt.Errorf("keep the directory's instance: %w", err)
		}
		r.instance, r.under = slices.Clone(me.Instance), false
		n.log.Info("this module goes on under new incarnations")
	}
	n.mu.Lock()
	var over []origin.Stream
	for s := range n.notCurrent {
		if _, ended := st.End(s); ended {
			over = append(over, s)
			delete(n.notCurrent, s)
		}
	}
	n.mu.Unlock()
	for _, s := range over {
		if err := n.db.Delete(notCurrentOf(s), pebble.Sync); err != nil {
			return fmt.Errorf("forget that %s was not current: %w", n.streamName(s), err)
		}
		n.clearAlarm(notCurrentKey(n, s))
	}
	return nil
}

// tellReplaced raises the alarm of a directory that control has put another in
// the place of, once the rules that stop its writes are in force.
func (n *Node) tellReplaced(st *control.State) {
	if me, ok := st.Member(n.dir.Number); ok && !bytes.Equal(me.Instance, n.renewal.instance) {
		n.alarm(replacedKey, "it takes no shared writes here; stop this one, or, if the other is gone for good, give this one its place: drmesh rejoin --take-over")
	} else {
		n.clearAlarm(replacedKey)
	}
}

// outdated reports whether this directory must be renewed: a stream that it
// would write is not current. One that is a group owner's is given to another.
func (n *Node) outdated(st *control.State) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.notCurrent {
		if ownStream(st, s.Group, n.dir.Number) != s {
			continue
		}
		if t, ok := st.Term(s.Group); !ok || !st.Owned(s.Group) || t.Stream() != s {
			return true
		}
	}
	return false
}

// renew sees to it that a directory which is not current gets new incarnations,
// and that nobody takes the place of one which is. It runs on the control loop.
func (n *Node) renew(st *control.State) {
	me, ok := st.Member(n.dir.Number)
	r := &n.renewal
	if !ok || !me.HoldsData() || n.fenced.Load() != nil {
		return
	}
	inForce := bytes.Equal(me.Instance, r.instance)
	if d, under := st.Departure(n.dir.Number); under && d.Renews != nil {
		switch {
		case bytes.Equal(d.Renews, r.asked):
			if !r.under {
				r.under, r.began = true, time.Now()
			}
		case inForce && !n.unproven.Load() && !n.outdated(st):
			if !r.keeping {
				n.log.Warn("another directory of this module asks for its place, and does not get it")
			}
			r.keeping = true
			if err := n.proposeRenew(&control.Renew{Module: me.Number, Was: me.Instance, Instance: r.instance, Keep: true}); err != nil && n.ctx.Err() == nil {
				n.log.Warn("the place of this directory is not kept yet", "err", err)
			}
		}
		return
	}
	r.keeping = false
	if r.under {
		// It is over, and this directory did not get the instance.
		r.under, r.again = false, time.Now().Add(renewAgain)
		n.alarm(n.keptKey(), "it goes on writing, and this directory does not; stop one of them")
	}
	if !inForce || !n.outdated(st) {
		n.clearAlarm(n.keptKey())
		return
	}
	if err := n.askRenewal(me); err != nil && n.ctx.Err() == nil {
		n.log.Debug("not renewed yet", "err", err)
	}
}

func (n *Node) keptKey() string { return "another directory of " + n.dir.Module + " is at work" }

// askRenewal proposes to give this directory the place of the one in force. What
// it asks for is known on disk first, so that no crash forgets whose it is.
func (n *Node) askRenewal(me control.Member) error {
	r := &n.renewal
	if time.Now().Before(r.again) {
		return nil
	}
	if len(r.asked) == 0 || bytes.Equal(r.asked, r.instance) || bytes.Equal(r.asked, me.Instance) {
		w := make([]byte, control.InstanceSize)
		rand.Read(w)
		if err := n.db.Set(keyAsked, w, pebble.Sync); err != nil {
			return fmt.Errorf("keep the instance that is asked for: %w", err)
		}
		r.asked = w
	}
	r.again = time.Now().Add(time.Second)
	return n.proposeRenew(&control.Renew{Module: me.Number, Was: me.Instance, Instance: r.asked})
}

func (n *Node) proposeRenew(c *control.Renew) error {
	ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
	defer cancel()
	_, err := n.propose(ctx, &control.Command{Kind: control.KindRenew, Renew: c})
	return precondition(err)
}

// reportsRenewal reports whether this directory may report now on a renewal of
// its own module: it asked for it, and another one had the time to object.
func (n *Node) reportsRenewal(d control.Departure) bool {
	r := &n.renewal
	return bytes.Equal(d.Renews, r.asked) && r.under && time.Since(r.began) > renewWait
}

// TakeOver implements admin.Engine: this directory asks for the place of another
// one of its module, which is gone for good.
func (e engine) TakeOver(ctx context.Context) error {
	n := e.n
	if !n.isReplaced() {
		return failure(admin.Precondition, "not_replaced", "\"drmesh status\" says how it stands", "no other directory has taken the place of %s", n.dir.Module)
	}
	answer := make(chan error, 1)
	select {
	case n.placeAsked <- answer:
	case <-ctx.Done():
		return failure(admin.TimedOut, "take_over", "", "the control loop did not take it up")
	case <-n.ctx.Done():
		return failure(admin.Failed, "stopping", "", "the node stops")
	}
	return <-answer // it takes as long as a proposal at most
}

func (n *Node) isReplaced() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, replaced := n.alarms[replacedKey]
	return replaced
}
