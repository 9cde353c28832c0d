package conflict

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"drmesh/origin"
)

// station is a module of the tests: registers by name, the ledger as Decide
// tells it, and the account. It does with Decide what a node does, no more.
type station struct {
	num     origin.Module
	seq     origin.Seq
	clock   uint64
	ctx     origin.Context
	sets    map[string][]origin.Version
	ledger  map[ID]Entry
	account map[origin.Stream]*[Classes]int64
	read    map[string][]origin.OpDot // what stood when the port last read, visible first
	hints   bool                      // fill Hidden
	rules   modelRules
	epoch   uint64 // the policy epoch that it writes under
	out     Outcome
}

func newStation(n int) *station {
	return &station{num: origin.Module(n), clock: 100, ctx: origin.Context{}, sets: map[string][]origin.Version{}, ledger: map[ID]Entry{},
		account: map[origin.Stream]*[Classes]int64{}, read: map[string][]origin.OpDot{}}
}

func (s *station) stream() origin.Stream {
	return origin.Stream{Group: 1, Module: s.num, Incarnation: 1}
}

func testFile() origin.FileID { return origin.FileID{0xf1} }

// event is an operation with the register that it touches.
type event struct {
	modelOp
	key string
}

// look is a read through the port: it remembers what stood.
func (s *station) look(key string) *origin.Version {
	set := s.sets[key]
	s.read[key] = nil
	for i := range set {
		s.read[key] = append(s.read[key], set[i].Dot)
	}
	if len(set) == 0 || set[0].Tombstone {
		return nil
	}
	return &set[0]
}

// make builds a local operation: kind on key, through the port's read if any.
func (s *station) make(kind origin.Kind, key, data string) (*event, error) {
	seen, hasRead := s.read[key]
	delete(s.read, key)
	e := &event{key: key}
	e.Kind, e.Data, e.Context = kind, data, s.ctx.Clone()
	e.Life = 1
	keys := []string{key}
	if kind == origin.Truncate {
		keys = slices.Sorted(maps.Keys(s.sets))
	}
	for _, k := range keys {
		if err := s.cover(e, s.sets[k], seen, hasRead); err != nil {
			return nil, err
		}
	}
	s.clock++
	s.seq++
	e.Policy = s.epoch
	e.Stamp = origin.MakeStamp(s.clock, 0)
	e.Dot = origin.OpDot{Dot: origin.Dot{Stream: s.stream(), Seq: s.seq}}
	s.apply(e)
	return e, nil
}

// cover notes what e, whose port saw seen, finds in one register.
func (s *station) cover(e *event, set []origin.Version, seen []origin.OpDot, hasRead bool) error {
	var covered []*origin.Version
	for i := range set {
		v := &set[i]
		if hasRead && v.Dot.Module != s.num && !slices.Contains(seen, v.Dot) {
			if v.Tombstone {
				return fmt.Errorf("e$record_not_found")
			}
			e.Unseen = append(e.Unseen, v.Dot)
			continue
		}
		covered = append(covered, v)
		life := v.Life
		if v.Tombstone && e.Kind == origin.Write {
			life++
		}
		e.Life = max(e.Life, life)
	}
	if len(covered) == 0 {
		return nil
	}
	p := s.policies().of(versions(covered))
	top := covered[p.best(versions(covered))]
	// What stood at the read and was not on top then was not shown; a version
	// of another program of this module counts as shown.
	shown := slices.Index(seen, top.Dot) <= 0
	if shown {
		e.ShownDot = top.Dot
	}
	for _, v := range covered {
		if s.hints && (!shown || v != top && !same(v, top)) {
			e.Hidden = append(e.Hidden, v.Dot)
		}
	}
	return nil
}

func versions(l []*origin.Version) (out []origin.Version) {
	for _, v := range l {
		out = append(out, *v)
	}
	return out
}

// policies are the station's rules as a node reads them from the tables.
func (s *station) policies() Policies {
	if s.rules == nil {
		return nil
	}
	return func(epoch uint64) Policy {
		k, ok := KindNamed(s.rules[epoch])
		if ok {
			return Policy{Kind: k}
		}
		p := Policy{Kind: Rank}
		for _, c := range s.rules[epoch] {
			p.Rank = append(p.Rank, origin.Module(c-'0'))
		}
		return p
	}
}

// ready reports whether all that e's context names has been applied.
func (s *station) ready(e *event) bool {
	if s.ctx[e.Dot.Stream] != e.Dot.Seq-1 {
		return false
	}
	for st, q := range e.Context {
		if s.ctx[st] < q {
			return false
		}
	}
	return true
}

// apply lets e take effect and returns what the ledger heard.
func (s *station) apply(e *event) []Entry {
	s.clock = max(s.clock, e.Stamp.Millis())
	keys := []string{e.key}
	if e.Kind == origin.Truncate {
		keys = slices.Sorted(maps.Keys(s.sets))
	}
	var heard []Entry
	for _, k := range keys {
		in := Input{Policies: s.policies(), File: testFile(), Address: []byte(k), Standing: s.sets[k], By: e.Dot, Hidden: e.Hidden,
			Covers: func(d origin.OpDot) bool { return modelCovers(&e.modelOp, &modelOp{Dot: d}) }}
		if e.Kind != origin.Truncate {
			v := origin.Version{Dot: e.Dot, Stamp: e.Stamp, Policy: e.Policy, Life: e.Life, Tombstone: e.Kind == origin.Delete}
			if !v.Tombstone {
				v.Data = []byte(e.Data)
			}
			in.Incoming = &v
		}
		Decide(&in, &s.out)
		s.sets[k] = slices.Clone(s.out.Next)
		if len(s.out.Next) == 0 {
			delete(s.sets, k)
		}
		for _, x := range s.out.Entries {
			if x.State == Withdrawn {
				delete(s.ledger, x.ID)
			} else {
				s.ledger[x.ID] = x
			}
		}
		heard = append(heard, s.out.Entries...)
		for _, c := range s.out.Counts {
			if s.account[c.Stream] == nil {
				s.account[c.Stream] = new([Classes]int64)
			}
			s.account[c.Stream][c.Class] += c.Delta
		}
	}
	s.ctx[e.Dot.Stream] = e.Dot.Seq
	return heard
}

func (s *station) entries() []Entry {
	return slices.SortedFunc(maps.Values(s.ledger), func(a, b Entry) int {
		return cmp.Or(a.Loser.Dot.Compare(b.Loser.Dot), slices.Compare(a.ID[:], b.ID[:]))
	})
}
