package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio"
	"drmesh/vosio/call"
)

// renews gives a restored module its next incarnation, as control does once all
// members have reported where they have its stream: that is its end. What others
// have of it comes back like any stream, and until it is here the module takes
// no writes.
func (e *mesh) renews(m *module) string {
	for _, x := range e.ms {
		if x != m && (!x.up || e.net.cut[[2]int{m.n, x.n}] || e.net.cut[[2]int{x.n, m.n}]) {
			return fmt.Sprintf("m%d has not reported", x.n+1)
		}
	}
	old := m.stream()
	e.seal(old, e.ms)
	m.alarms = nil
	e.renew(m)
	m.rules.stop()
	m.awaits = old
	for p := range e.ms {
		if p != m.n {
			e.net.breakConnection(m.n, p) // what they told of it before was not heard
		}
	}
	m.back()
	return fmt.Sprintf("%v ends at %d", old, e.ends[old])
}

// seal makes the furthest that members have of a stream its end.
func (e *mesh) seal(s origin.Stream, by []*module) {
	best := origin.Position{Hash: s.Genesis()}
	for _, x := range by {
		e.flush(x)
		if p := x.j.Durable().At(s); p.Seq > best.Seq {
			best = p
		}
	}
	e.oracle.forget(s, best)
	e.oracle.tails[s] = best
}

// back lets a renewed module write, once it has all that others have of what it
// wrote before.
func (m *module) back() {
	if m.awaits.IsZero() || m.j.Tail(m.awaits).Seq < m.mesh.ends[m.awaits] {
		return
	}
	m.awaits = origin.Stream{}
	m.rules.share.Stream = m.stream()
}

// evict puts a module out of the mesh: nobody hears it, and its stream ends
// where the others have it.
func (e *mesh) evict(m *module) error {
	rest := slices.DeleteFunc(slices.Clone(e.ms), func(x *module) bool { return x == m })
	if m.evicted || slices.ContainsFunc(rest, func(x *module) bool { return !x.up }) {
		return errors.New("not all have reported")
	}
	for _, x := range rest {
		e.net.sever(m.n, x.n, false)
	}
	m.evicted, m.gone = true, true
	s := m.stream()
	e.seal(s, rest)
	e.ends[s] = e.oracle.tails.At(s).Seq
	e.control++
	e.members[e.control] = slices.DeleteFunc(slices.Clone(e.members[e.control-1]), func(x origin.Stream) bool { return x == s })
	for _, x := range rest {
		x.control = e.control
	}
	return nil
}

// unsent is a txn that nobody else had.
type unsent struct {
	dot     origin.Dot
	process string
	ops     []vosio.Redo
	whole   bool // all of it can be told register by register
	text    string
}

// returns takes an evicted module in again: it adopts a donor's state, under its
// next incarnation, and writes again what nobody had, whole txns at a time, if
// what they had replaced stands still; the rest is listed.
func (e *mesh) returns(m, donor *module) (string, error) {
	if !m.evicted || !donor.up || donor == m {
		return "", fmt.Errorf("%s is not out of the mesh, or m%d cannot give it its state", m.name, donor.n+1)
	}
	if !m.up {
		if err := m.start(); err != nil {
			return "", err
		}
	}
	l, err := m.unsent(e.ends[m.stream()])
	if err != nil {
		return "", err
	}
	for p := range e.ms {
		e.net.breakConnection(m.n, p)
	}
	if err := m.stop(); err != nil {
		return "", err
	}
	m.fs, m.copy, m.pending, m.local = vfs.NewCrashableMem(), nil, nil, map[string]bool{}
	m.evicted, m.gone = false, false
	images := m.rules.share.Images
	m.rules = newRules(m.n)
	m.rules.share.Images = images
	m.incarnation++
	m.rules.share.Stream = m.stream()
	e.control++
	e.members[e.control] = append(slices.Clone(e.members[e.control-1]), m.stream())
	if err := e.seed(m, donor, func(*module) bool { return true }); err != nil {
		return "", err
	}
	for _, x := range e.ms {
		if x != m {
			e.net.join(m.n, x.n)
		}
	}
	var out []string
	for _, x := range l {
		verdict := "is lost"
		if x.whole {
			var moved error
			err := e.call(m, "redo "+x.text, func(*program) error {
				err := m.eng.Redo(context.Background(), x.process, x.ops)
				if errors.Is(err, vosio.ErrMoved) {
					err, moved = nil, err
				}
				return err
			})
			switch {
			case err == nil && moved == nil:
				verdict = "is written again"
			case moved != nil, call.CodeOf(err) == call.ObjectNotFound, call.CodeOf(err) == call.InvalidDuplicateKey, call.CodeOf(err) == call.RecordAlreadyExists, call.CodeOf(err) == call.RecordNotFound:
			default:
				return "", err
			}
		}
		if verdict == "is lost" {
			m.lost = append(m.lost, fmt.Sprintf("m%d:%d %s", x.dot.Module, x.dot.Seq, x.text))
		}
		out = append(out, fmt.Sprintf("m%d:%d %s", x.dot.Module, x.dot.Seq, verdict))
	}
	e.w.until(e.w.now + 1)
	if len(out) == 0 {
		return "nothing was unsent", nil
	}
	return strings.Join(out, ", "), e.err
}

// unsent reads what the module wrote after a seq, with what it replaced.
func (m *module) unsent(after origin.Seq) ([]unsent, error) {
	s := m.stream()
	list, err := m.j.Read(s, after, 1<<30)
	if err != nil {
		return nil, err
	}
	var out []unsent
	for _, x := range list {
		t := new(origin.Txn)
		d := origin.Dot{Stream: s, Seq: x.Seq}
		if err := entry.Decode(x.Bytes, d, t); err != nil {
			return nil, err
		}
		images, err := m.eng.Images(d)
		if err != nil {
			return nil, err
		}
		u := unsent{dot: d, process: t.Process, whole: len(images) == len(t.Ops)}
		var texts []string
		for _, im := range images {
			if int(im.Index) >= len(t.Ops) {
				return nil, fmt.Errorf("%v has no operation %d", d, im.Index)
			}
			op := &t.Ops[im.Index]
			r := vosio.Redo{File: im.File, Address: im.Address, Before: im.Before}
			after := "none"
			if op.Kind == origin.Write {
				r.After = &origin.Version{Data: op.Data}
				after = fmt.Sprintf("%q", bytes.TrimSpace(op.Data))
			}
			before := "none"
			if im.Before != nil {
				before = fmt.Sprintf("%q", bytes.TrimSpace(im.Before.Data))
			}
			u.ops = append(u.ops, r)
			texts = append(texts, before+" to "+after)
		}
		u.text = strings.Join(texts, " and ")
		out = append(out, u)
	}
	return out, nil
}
