package sim

import (
	"crypto/ed25519"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/mesh/wire"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/origin/mutant"
)

// A module whose disk was lost, or put back from a copy, cannot go on with its
// stream: others may have more of it than the disk. The stream ends where the
// others have it, as control does it with what members report, and the module
// writes another, under its next incarnation. What nobody else had is gone with
// the disk: that is what a copy costs, and the only loss.

// reported says whether nothing of a module's stream is held by others but what is
// in their journals, and all are there to be asked.
func (e *mesh) reported(m *module, copyAt origin.Seq) bool {
	s := m.stream()
	var pruned origin.Seq // what somebody has as state alone, nobody could give the others
	for _, x := range e.ms {
		if x != m && x.up {
			pruned = max(pruned, x.j.Pruned(s))
		}
	}
	if copyAt < pruned {
		return false
	}
	for _, x := range e.ms {
		if x == m {
			continue
		}
		if !x.up || x.j.Tail(s).Seq < pruned || x.links.puller.At(s) != x.j.Tail(s) {
			return false
		}
	}
	return true
}

// lose takes a module's disk away, and what only that had; best is where the
// disk that comes in its place has the stream.
func (e *mesh) lose(m *module, best origin.Position) error {
	s := m.stream()
	e.crash(m, false)
	for _, x := range e.ms {
		if x != m {
			e.flush(x)
		}
	}
	for _, x := range e.ms {
		if p := x.j; x != m && p.Tail(s).Seq > best.Seq {
			best = p.Tail(s)
		}
	}
	e.oracle.forget(s, best)
	m.local = map[string]bool{}
	return e.err
}

// forget takes back what the oracle knew of a stream beyond a place.
func (o *oracle) forget(s origin.Stream, upto origin.Position) {
	if o.tails.At(s).Seq <= upto.Seq {
		return
	}
	for q := upto.Seq + 1; q <= o.tails[s].Seq; q++ {
		delete(o.txns, origin.Dot{Stream: s, Seq: q})
	}
	for d := range o.acked {
		if d.Stream == s && d.Seq > upto.Seq {
			delete(o.acked, d)
		}
	}
	o.tails[s] = upto
	o.full[s] = origin.Context{}
	if l := o.txns[origin.Dot{Stream: s, Seq: upto.Seq}]; len(l) > 0 {
		o.full[s] = l[0].context.Clone()
	}
}

// restore starts a module from the copy of its disk.
func (e *mesh) restore(m *module) error {
	if err := e.lose(m, m.copyHas.At(m.stream())); err != nil {
		return err
	}
	m.fs = m.copy.CrashClone(vfs.CrashCloneCfg{})
	m.restored, m.asked = true, map[int]bool{}
	m.rules.stop()
	e.start(m)
	return e.err
}

// answered notes that a neighbour has compared its vector with a restored
// module. When all have, it is known what there is of its stream: that ends,
// though nobody may have more, for heads of what was lost may be about.
func (m *module) answered(peer int) {
	if !m.restored {
		return
	}
	m.asked[peer] = true
	for _, x := range m.mesh.ms {
		if x != m && !m.asked[x.n] {
			return
		}
	}
	if mutant.On(mutant.ReuseSeq) {
		m.restored = false
		m.rules.share.Stream = m.stream()
		return
	}
	m.mesh.renew(m)
}

// renew gives a module its next incarnation.
func (e *mesh) renew(m *module) {
	old := m.stream()
	e.ends[old] = e.oracle.tails.At(old).Seq
	m.incarnation++
	m.restored = false
	m.rules.share.Stream = m.stream()
	e.control++
	list := []origin.Stream{}
	for _, s := range e.members[e.control-1] {
		if s == old {
			s = m.stream()
		}
		list = append(list, s)
	}
	e.members[e.control] = list
	for _, x := range e.ms {
		x.control = e.control
	}
	e.w.tracef("%s writes %v from now on; %v ends at %d", m.name, m.stream(), old, e.ends[old])
}

// wipe gives a module an empty disk: it is seeded like one that joins.
func (e *mesh) wipe(m, donor *module) error {
	if err := e.lose(m, origin.Position{Hash: m.stream().Genesis()}); err != nil {
		return err
	}
	m.fs, m.copy = vfs.NewCrashableMem(), nil
	e.renew(m)
	return e.seed(m, donor, func(*module) bool { return true })
}

// tamper changes a batch before it is sent, as memory that fails or a relay that
// lies does: the last entry, and if it lies the head, by a key that it has.
func (l *links) tamper(x *wire.Batch) error {
	n := l.m.mesh.net
	if n.tamper == 0 || l.m.w.rand("tamper").IntN(n.tamper) > 0 {
		return nil
	}
	last := len(x.Entries) - 1
	e := append([]byte(nil), x.Entries[last]...)
	x.Entries[last] = e
	e[len(e)-1-l.m.w.rand("tamper").IntN(min(len(e), 6))] ^= 1
	if l.m.w.rand("tamper").IntN(2) == 0 || x.Stream.Module == l.m.number() {
		n.changed++
		return nil
	}
	at, ok, err := l.m.j.HashAt(x.Stream, x.After)
	if err != nil || !ok {
		return err
	}
	for _, b := range x.Entries {
		at = at.Next(b)
	}
	h := origin.Head{Stream: x.Stream, Position: origin.Position{Seq: x.After + origin.Seq(len(x.Entries)), Hash: at}}
	entry.SignHead(&h, ed25519.PrivateKey(l.m.key))
	x.Head = entry.AppendHead(nil, &h)
	n.forged++
	return nil
}
