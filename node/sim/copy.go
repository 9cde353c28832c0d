package sim

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/mesh/link"
	"drmesh/origin"
)

// copied is a copy of a module's disk, and what the oracle knew of it.
type copied struct {
	fs   *vfs.MemFS
	tail origin.Position
	full origin.Context
}

// keep copies the disk as it is.
func (m *module) keep() copied {
	o := m.mesh.oracle
	return copied{m.fs.CrashClone(vfs.CrashCloneCfg{}), o.tails.At(m.stream()), o.full[m.stream()].Clone()}
}

// become puts a copy in the place of the disk of a module that is down: what
// was done since is as if another machine had done it.
func (m *module) become(c copied) {
	o := m.mesh.oracle
	m.mesh.copies = true
	m.fs = c.fs.CrashClone(vfs.CrashCloneCfg{})
	m.alarms = nil
	m.rules = newRules(m.n)
	o.tails[m.stream()], o.full[m.stream()] = c.tail, c.full.Clone()
	for d := range o.acked {
		if d.Stream == m.stream() && d.Seq > c.tail.Seq {
			delete(o.acked, d)
		}
	}
}

// alarm tells the operator. Where nobody copied a disk there is nothing to tell.
func (m *module) alarm(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if slices.Contains(m.alarms, text) {
		return
	}
	m.w.tracef("%s: alarm: %s", m.name, text)
	m.alarms = append(m.alarms, text)
	if !m.mesh.copies {
		m.mesh.must(fmt.Errorf("%s: %s", m.name, text))
	}
}

// forked is told of a stream that has two histories; of one's own nothing more
// is written.
func (m *module) forked(from origin.Module, f link.Fork) {
	m.alarm("fork of m%d at %d", f.Stream.Module, f.Seq)
	if f.Stream == m.stream() {
		m.notCurrent(fmt.Sprintf("m%d holds another history of our stream at %d", from, f.Seq))
	}
}

// behind is told that a neighbour has more of our own stream than we.
func (m *module) behind(from origin.Module, a origin.StreamSeq) {
	if a.Stream == m.stream() && m.restored {
		m.mesh.renew(m)
	} else if a.Stream == m.stream() {
		m.notCurrent(fmt.Sprintf("m%d has %d txns of our stream, this disk %d", from, a.Seq, m.j.Tail(a.Stream).Seq))
	}
}

func (m *module) notCurrent(why string) {
	if m.rules.share.Stream.Incarnation == 0 {
		return
	}
	m.alarm("not current: %s", why)
	m.rules.stop()
}
