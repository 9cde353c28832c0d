package conflict

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"drmesh/origin"
)

// The transcripts in testdata tell what modules do and what each then holds.
//
//	m1 write k=A [birth...]     a write that has read nothing: it has seen all
//	m1 read k                   a read through the port
//	m1 rewrite k=B              a write through the last read
//	m1 delete k | truncate
//	m1 applies m2:3             a txn of another module arrives
//	m1 forgets k                its lone tombstone went, being settled
//	m1 show
type story struct {
	modules map[string]*station
	events  map[string]*event
}

func name(d origin.OpDot) string { return fmt.Sprintf("m%d:%d", d.Module, d.Seq) }

func showVersion(v *origin.Version) string {
	text := fmt.Sprintf("%q", v.Data)
	if v.Tombstone {
		text = "deleted"
	}
	life := ""
	if v.Life > 1 {
		life = fmt.Sprintf(" life %d", v.Life)
	}
	return fmt.Sprintf("%s %s%s", name(v.Dot), text, life)
}

func (y *story) line(w []string) string {
	s := y.modules[w[0]]
	if s == nil {
		n, _ := strconv.Atoi(w[0][1:])
		s = newStation(n)
		s.hints = true
		y.modules[w[0]] = s
	}
	key, data := "", ""
	if len(w) > 2 {
		key, data, _ = strings.Cut(w[2], "=")
	}
	local := func(kind origin.Kind) string {
		e, err := s.make(kind, key, data)
		if err != nil {
			return err.Error()
		}
		y.events[name(e.Dot)] = e
		out := name(e.Dot)
		if len(e.Unseen) > 0 {
			out += " unseen"
			for _, d := range e.Unseen {
				out += " " + name(d)
			}
		}
		return out
	}
	switch w[1] {
	case "write":
		delete(s.read, key)
		return local(origin.Write)
	case "rewrite":
		return local(origin.Write)
	case "delete":
		return local(origin.Delete)
	case "truncate":
		return local(origin.Truncate)
	case "read":
		v := s.look(key)
		if v == nil {
			return "e$record_not_found"
		}
		return showVersion(v)
	case "applies":
		e := y.events[w[2]]
		if e == nil {
			return "no such txn"
		}
		if !s.ready(e) {
			return "waits for what it names"
		}
		var out []string
		for _, x := range s.apply(e) {
			out = append(out, fmt.Sprintf("%v: %s", x.State, showVersion(&x.Loser)))
		}
		return strings.Join(out, "; ")
	case "forgets":
		if set := s.sets[key]; len(set) != 1 || !set[0].Tombstone {
			return "no lone tombstone"
		}
		d := s.sets[key][0].Dot
		s.account[d.Stream][ClassLive]--
		s.account[d.Stream][ClassDeleted]++
		delete(s.sets, key)
		return ""
	case "show":
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(s.sets)) {
			for i := range s.sets[k] {
				lead := k + ": "
				if i > 0 {
					lead = strings.Repeat(" ", len(lead))
				}
				fmt.Fprintf(&b, "  %s%s\n", lead, showVersion(&s.sets[k][i]))
			}
		}
		for _, e := range s.entries() {
			fmt.Fprintf(&b, "  %v %s: %s", e.State, e.ID.String()[:8], showVersion(&e.Loser))
			if e.Winner.Dot.Seq != 0 {
				fmt.Fprintf(&b, ", lost to %s", showVersion(&e.Winner))
			}
			b.WriteString("\n")
		}
		for _, st := range slices.SortedFunc(maps.Keys(s.account), origin.Stream.Compare) {
			fmt.Fprintf(&b, "  account m%d:", st.Module)
			for c, n := range s.account[st] {
				if n != 0 {
					fmt.Fprintf(&b, " %d %v", n, Class(c))
				}
			}
			b.WriteString("\n")
		}
		return "\n" + strings.TrimRight(b.String(), "\n")
	}
	return "no such verb"
}

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			y := &story{modules: map[string]*station{}, events: map[string]*event{}}
			datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
				var b strings.Builder
				for _, l := range strings.Split(d.Input, "\n") {
					out := y.line(strings.Fields(l))
					fmt.Fprintln(&b, strings.TrimRight(l+": "+out, " :"))
				}
				return b.String()
			})
		})
	}
}

func TestSettled(t *testing.T) {
	m := func(n int) origin.Stream { return origin.Stream{Group: 1, Module: origin.Module(n), Incarnation: 1} }
	tomb := origin.Dot{Stream: m(1), Seq: 7}
	at := func(n int, seq origin.Seq, control uint64, saw origin.Seq) Said {
		return Said{Stream: m(n), Seq: seq, Control: control, Context: origin.Context{m(1): saw}}
	}
	members := func(c uint64) ([]origin.Stream, bool) {
		switch c {
		case 5:
			return []origin.Stream{m(1), m(2), m(3)}, true
		case 6: // m4 was admitted, m3 removed
			return []origin.Stream{m(1), m(2), m(4)}, true
		}
		return nil, false
	}
	for _, c := range []struct {
		name string
		said []Said
		want bool
	}{
		{"all have said it", []Said{at(1, 7, 5, 0), at(2, 4, 5, 7), at(3, 0, 5, 9)}, true},
		{"its own stream is not so far", []Said{at(1, 6, 5, 0), at(2, 4, 5, 7), at(3, 0, 5, 9)}, false},
		{"one has not applied it", []Said{at(1, 7, 5, 0), at(2, 4, 5, 6), at(3, 0, 5, 9)}, false},
		{"one is silent", []Said{at(1, 7, 5, 0), at(2, 4, 5, 7)}, false},
		{"a later head names a newcomer", []Said{at(1, 8, 6, 0), at(2, 4, 5, 7), at(3, 0, 5, 9)}, false},
		{"the newcomer has said it, the removed one no longer counts", []Said{at(1, 8, 6, 0), at(2, 4, 5, 7), at(4, 0, 6, 7)}, true},
		{"control is not known here so far", []Said{at(1, 8, 9, 0), at(2, 4, 5, 7), at(3, 0, 5, 9)}, false},
		{"nothing was said", nil, false},
	} {
		if got := Settled(tomb, c.said, members); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestParse(t *testing.T) {
	id := EntryID(testFile(), []byte("k"), origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Group: 1, Module: 2, Incarnation: 3}, Seq: 4}, Index: 5})
	// The id is a contract between modules of all versions.
	if got := id.String(); got != "86d849ba8d7298f9f3d4c0a0d80f75f4" {
		t.Errorf("id %v", got)
	}
	if back, err := ParseID(id.String()); err != nil || back != id {
		t.Errorf("id read back: %v %v", back, err)
	}
	for _, s := range []string{"", "12", "zz" + id.String()[2:], id.String() + "00"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("id %q was taken", s)
		}
	}
	for _, s := range []State{Open, Superseded, Closed} {
		if back, err := ParseState(s.String()); err != nil || back != s {
			t.Errorf("state %v read back: %v %v", s, back, err)
		}
	}
	if _, err := ParseState("withdrawn"); err == nil {
		t.Errorf("withdrawn is never stored")
	}
	e := Entry{Loser: origin.Version{Stamp: origin.MakeStamp(100, 3)}, Winner: origin.Version{Stamp: origin.MakeStamp(140, 0)}}
	if e.Apart() != 40 {
		t.Errorf("apart %d", e.Apart())
	}
}
