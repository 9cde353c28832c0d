package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio"
)

// Record numbers that control leases to this module: the engine says which file
// runs short of them, leaseNumbers asks, and the rules carry what was given.
// Nobody waits for it: a module that cannot reach control takes others.

// numbersAsked bounds the files that wait for their turn; of others it is asked
// again when the next record comes.
const numbersAsked = 64

// fileNumbers is one file that runs short.
type fileNumbers struct {
	share string
	file  origin.FileID
}

// askedNumbers are the files that run short, the one that is asked for among
// them.
type askedNumbers struct {
	sync.Mutex
	asked map[origin.FileID]bool
	short chan fileNumbers // bounded by numbersAsked
}

// leasedNumbers are the record numbers of a module, by file.
func leasedNumbers(st *control.State, self origin.Module) map[origin.FileID][]vosio.NumberRange {
	var l map[origin.FileID][]vosio.NumberRange
	for i := range st.Extents {
		x := &st.Extents[i]
		if !st.Leased(x, self) {
			continue
		}
		if l == nil {
			l = map[origin.FileID][]vosio.NumberRange{}
		}
		f := origin.FileID(x.File)
		l[f] = append(l[f], vosio.NumberRange{First: x.First, Last: x.First + x.Count - 1})
	}
	return l
}

// moreNumbers notes that a file runs short. It does not block: the committer
// calls it for each new record until there are more.
func (n *Node) moreNumbers(share string, f origin.FileID) {
	n.numbers.Lock()
	defer n.numbers.Unlock()
	if n.numbers.asked[f] {
		return
	}
	select {
	case n.numbers.short <- fileNumbers{share, f}:
		n.numbers.asked[f] = true
	default:
	}
}

// leaseNumbers asks control for numbers, one file after another, and gives back
// those of files that are no more; it ends with the node.
func (n *Node) leaseNumbers() {
	defer n.wg.Done()
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		var x fileNumbers
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
			n.releaseNumbers()
			continue
		case x = <-n.numbers.short:
		}
		if err := n.leaseFor(x); err != nil {
			n.log.Info("no record numbers were leased; others are taken meanwhile", "file", x.file.String(), "share", x.share, "error", err)
			select { // who cannot be reached now is not asked for each record
			case <-n.ctx.Done():
				return
			case <-time.After(time.Second + rand.N(time.Second)):
			}
		}
		n.numbers.Lock()
		delete(n.numbers.asked, x.file)
		n.numbers.Unlock()
	}
}

// leaseFor has one extent leased, and waits until the engine knows of it.
func (n *Node) leaseFor(x fileNumbers) error {
	n.mu.Lock()
	s := n.rules.Share(x.share)
	n.mu.Unlock()
	if s == nil || s.Stream == (origin.Stream{}) {
		return nil
	}
	above, err := n.eng.HighestLeasable(x.file)
	if err != nil {
		return err
	}
	res, err := n.propose(n.ctx, &control.Command{Kind: control.KindLease, Lease: &control.LeaseNumbers{File: x.file[:], Group: s.Group, Module: n.dir.Number,
		Incarnation: s.Stream.Incarnation, Above: above}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, proposeTimeout)
	defer cancel()
	// In force here, so that the next record does not ask for yet more.
	for t := time.NewTicker(5 * time.Millisecond); ; {
		n.mu.Lock()
		inForce := n.rules.index >= res.Index
		n.mu.Unlock()
		if inForce {
			t.Stop()
			return nil
		}
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("control index %d is not in force yet: %w", res.Index, ctx.Err())
		case <-t.C:
		}
	}
}

// releaseNumbers gives back the numbers of files that are no more.
func (n *Node) releaseNumbers() {
	st := n.ctl.state()
	for f := range leasedNumbers(st, n.dir.Number) {
		if !n.eng.Gone(f) {
			continue
		}
		x := st.ExtentsOf(f)[0]
		_, err := n.propose(n.ctx, &control.Command{Kind: control.KindLease, Lease: &control.LeaseNumbers{File: f[:], Group: x.Group, Module: n.dir.Number,
			Incarnation: st.Incarnation(x.Group, n.dir.Number), Release: true}})
		if err != nil {
			return // in a minute again
		}
	}
}
