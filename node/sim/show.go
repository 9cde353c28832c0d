package sim

import (
	"fmt"
	"strings"

	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

func name(d origin.OpDot) string { return fmt.Sprintf("m%d:%d", d.Module, d.Seq) }

func (s *stage) list(m *module, w []string) string {
	var out []string
	switch w[0] {
	case "show":
		ix := ""
		if len(w) > 2 {
			ix = w[2]
		}
		var err error
		if out, err = m.prog.records(w[1], ix); err != nil {
			return call.CodeOf(err).Name()
		}
	case "names":
		var err error
		out, err = m.prog.names()
		s.e.must(err)
	case "conflicts":
		err := ledger.Ls(m.db, ledger.Filter{}, func(e *ledger.Entry) bool {
			loser := fmt.Sprintf("%q", e.Loser.Data)
			if e.Loser.Tombstone {
				loser = "deletion"
			}
			out = append(out, fmt.Sprintf("%v %s %s of %s lost to %s", e.State, name(e.Loser.Dot), loser, record.String(e.Address), name(e.Winner.Dot)))
			return true
		})
		s.e.must(err)
	case "tombstones":
		regs, err := registers(m.db)
		s.e.must(err)
		n := 0
		for _, set := range regs {
			if set[0].Tombstone {
				n++
			}
		}
		return fmt.Sprint(n)
	case "parked":
		l, err := m.eng.ParkedList()
		s.e.must(err)
		for _, p := range l {
			out = append(out, fmt.Sprintf("%s %s of %s: %s", name(p.Dot), record.String(p.Address), p.Path, p.Reason))
		}
	case "withheld":
		l, err := m.eng.WithheldList()
		s.e.must(err)
		for _, p := range l {
			out = append(out, fmt.Sprintf("%q of %s in %s", p.Key, record.String(p.Address), p.Index))
		}
	case "alarms":
		out = m.alarms
	case "lost":
		out = m.lost
	case "has":
		for _, p := range m.j.Durable().Sorted() {
			if p.Stream.Group == theGroup {
				out = append(out, fmt.Sprintf("m%d:%d", p.Stream.Module, p.Seq))
			}
		}
	case "account":
		for _, a := range m.eng.Account() {
			t := fmt.Sprintf("m%d", a.Stream.Module)
			for c := vosio.Written; c <= vosio.Parked; c++ {
				if a.Of(c) != 0 {
					t += fmt.Sprintf(" %d %v", a.Of(c), c)
				}
			}
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}
