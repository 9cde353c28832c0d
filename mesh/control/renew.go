package control

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"drmesh/origin"
)

// A module whose directory was restored from a backup, or is a copy, cannot go
// on with its streams: others may have more of them, or another history. It
// renews itself: its streams are sealed and end like those of a module that
// leaves, it remains a member, and writes each group under its next
// incarnation. What a group's owner writes is left alone: that ends with a
// change of owner.
//
// Of two directories of one module only one may write. Each renewal gives the
// member a new instance, a random word that only the directory which asked for
// it has; any other one takes no more writes from then on. A directory that is
// at work, and has the instance in force, keeps it: it drops the renewal that
// another asks for.

// InstanceSize is the length of a directory's instance.
const InstanceSize = 16

// Renew asks for new incarnations for a directory of a module.
type Renew struct {
	Module   origin.Module `msgpack:"m"`
	Was      []byte        `msgpack:"w"` // the instance in force, as far as the proposer knows
	Instance []byte        `msgpack:"i"` // the directory's own: new, or, to keep, that in force
	Keep     bool          `msgpack:"k,omitempty"`
}

func (s *State) renew(c *Renew) error {
	m, ok := s.Member(c.Module)
	if !ok || !m.HoldsData() {
		return refuse(ErrNoMember, fmt.Sprintf("module %d", c.Module), "")
	}
	if !bytes.Equal(m.Instance, c.Was) {
		return refuse(ErrInstance, m.Name, "another directory of it writes now")
	}
	d, under := s.Departure(c.Module)
	if c.Keep {
		if !bytes.Equal(c.Instance, m.Instance) || !under || d.Renews == nil {
			return refuse(ErrMalformed, m.Name, "no renewal is under way that its directory could drop")
		}
		s.Departures = slices.DeleteFunc(slices.Clone(s.Departures), func(e Departure) bool { return e.Module == c.Module })
		return nil
	}
	switch {
	case len(c.Instance) != InstanceSize || bytes.Equal(c.Instance, m.Instance):
		return refuse(ErrMalformed, m.Name, "a new instance has %d random bytes", InstanceSize)
	case under && bytes.Equal(d.Renews, c.Instance):
		return nil // asked again
	case under && d.Renews != nil:
		return refuse(ErrInstance, m.Name, "another directory of it renews itself")
	case under || m.Status != Active:
		return refuse(ErrMalformed, m.Name, "it joins, or leaves")
	}
	d = Departure{Module: c.Module, Renews: slices.Clone(c.Instance)}
	for _, o := range s.Members {
		if o.HoldsData() && o.Status != Joining {
			d.Needed = append(d.Needed, o.Number)
		}
	}
	s.Departures = append(slices.Clone(s.Departures), d)
	slices.SortFunc(s.Departures, func(a, b Departure) int { return cmp.Compare(a.Module, b.Module) })
	return nil
}

// renewed ends the streams of a module that everyone has reported on, and gives
// it the next incarnations.
func (s *State) renewed(d Departure) {
	s.Writings = slices.Clone(s.Writings)
	for i := range s.Writings {
		w := &s.Writings[i]
		st := origin.Stream{Group: w.Group, Module: w.Module, Incarnation: w.Incarnation}
		if w.Module != d.Module || s.inTerm(st) {
			continue
		}
		if _, ended := s.End(st); !ended {
			s.setEnd(d.end(st))
		}
		w.Incarnation = s.after(w.Incarnation)
	}
	m, _ := s.Member(d.Module)
	m.Instance = d.Renews
	s.put(m)
	s.disown(d.Module, false)
}

// inTerm reports whether a stream is what the owner of a group writes now.
func (s *State) inTerm(st origin.Stream) bool {
	t, ok := s.Term(st.Group)
	return ok && s.Owned(st.Group) && t.Stream() == st
}

// end is where a stream ends by what was reported of it.
func (d *Departure) end(st origin.Stream) Place {
	end := PlaceOf(st, origin.Position{Hash: st.Genesis()})
	for _, r := range d.Reports {
		for _, p := range r.Places {
			if p.Stream() == st && p.beyond(end) && p.Seq > 0 {
				end = p
			}
		}
	}
	return end
}
