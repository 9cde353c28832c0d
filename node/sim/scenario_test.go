package sim

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"drmesh/conflict/ledger"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Scenarios are transcripts: what each module does, what all must show. A line
// is a verb or a module and a verb:
//
//	mesh N [safe]              N modules, all linked; a second share, safe, is
//	                           flushed before every answer
//	m1 create FILE KIND        keyed, relative or plain
//	m1 insert FILE DATA        one record; _ stands for a blank
//	m1 read FILE KEY           the record that begins with KEY, through the port
//	m1 rewrite FILE DATA       of the record read
//	m1 delete FILE             of the record read
//	m1 inserts FILE FROM TO    records of keys FROM..TO; puts and deletes alike
//	m1 put FILE KEY DATA       a rewrite by key of a record that was not read
//	m1 txn FILE KEY DATA...    such rewrites as one transaction; KEY + inserts
//	m1 truncate, rename, delete_file, local, mend   of files
//	m1 dir PATH
//	m1 copy FILE TO
//	m1 other VERB...           by a second program
//	m1 holds flushes | m1 flushes | m1 interval MS
//	m1 power [kept] | m1 starts | m1 clock MS   a power cut loses what was not
//	                                            flushed, if not by luck
//	deaf m1 | hears m1         of changes of control
//	join m2                    the next module, from the state of m2
//	tables TEXT                control tables, for all that are not deaf
//	m1 publishes               its own files where the share now lies
//	cut m1 m2 | heal m1 m2 | heal
//	lose m1 m2 m3              what m3 wrote does not get from m1 to m2
//	m1 keeps NAME              a copy of its disk
//	m1 becomes NAME            the copy is in the place of the disk
//	run MS                     time passes
//	show FILE | names | conflicts | tombstones | parked | withheld | account | alarms | has
//	check                      every promise, at all modules
//	sound                      what must hold of each module by itself
//
// What is the same at all modules that are up is shown once, under "all".
type stage struct {
	t *testing.T
	w *world
	e *mesh
	// deaf modules do not hear of changes of control.
	deaf map[int]bool
	// control is nil until there are tables.
	control *control.State
	copies  map[string]copied // of disks
}

func TestScenarios(t *testing.T) {
	list, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(list) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range list {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			s := &stage{t: t, w: newWorld(1), deaf: map[int]bool{}, copies: map[string]copied{}}
			defer func() {
				if s.e != nil {
					s.e.close()
				}
			}()
			datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
				var b strings.Builder
				if d.Cmd == "tables" {
					return s.apply(d.Input)
				}
				for _, l := range strings.Split(d.Input, "\n") {
					out := s.line(strings.Fields(l))
					if s.e != nil && s.e.err != nil {
						out += " FAILED: " + s.e.err.Error()
						s.e.err = nil
					}
					b.WriteString(l)
					if out != "" {
						b.WriteString(": " + out)
					}
					b.WriteString("\n")
				}
				return b.String()
			})
		})
	}
}

// apply puts control tables in force at all modules that hear of them.
func (s *stage) apply(text string) string {
	var err error
	if s.control == nil {
		if s.control, err = newControl(len(s.e.ms)); err != nil {
			s.t.Fatal(err)
		}
	}
	st, err := apply(s.control, text)
	if err != nil {
		return err.Error() + "\n"
	}
	s.control = st
	for _, m := range s.e.ms {
		if !s.deaf[m.n] {
			s.follow(m)
		}
	}
	return fmt.Sprintf("epoch %d\n", st.Epoch)
}

// follow puts the tables in force at a module.
func (s *stage) follow(m *module) {
	s.e.must(m.rules.follow(s.control))
	if m.up {
		s.e.must(m.eng.MakeDirs(context.Background(), m.rules.share.Root))
		s.e.must(m.eng.SetRules(m.rules))
		s.e.settle(m)
	}
}

func (s *stage) module(name string) *module {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "m"))
	if err != nil || n < 1 || n > len(s.e.ms) {
		s.t.Fatalf("module %q", name)
	}
	return s.e.ms[n-1]
}

func (s *stage) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) line(w []string) string {
	switch w[0] {
	case "mesh":
		s.e = newMesh(s.w, s.number(w[1]))
		for _, m := range s.e.ms {
			if len(w) > 2 {
				m.rules.addSafe()
			}
			s.e.start(m)
		}
		s.w.until(s.w.now + 200)
		return ""
	case "cut":
		s.e.net.sever(s.module(w[1]).n, s.module(w[2]).n, false)
		return ""
	case "heal":
		if len(w) == 1 {
			s.e.net.heal(len(s.e.ms))
		} else {
			s.e.net.join(s.module(w[1]).n, s.module(w[2]).n)
		}
		return ""
	case "lose":
		s.e.net.silent[lane{s.module(w[1]).n, s.module(w[2]).n, s.module(w[3]).stream().String()}] = true
		return ""
	case "sound":
		for _, m := range s.e.ms {
			if m.up {
				s.e.flush(m)
				s.e.must(s.e.oracle.sound(m))
			}
		}
		return "each module by itself"
	case "deaf":
		s.deaf[s.module(w[1]).n] = true
		return ""
	case "hears":
		m := s.module(w[1])
		delete(s.deaf, m.n)
		m.control = s.e.control
		if s.control != nil {
			s.follow(m)
		}
		return ""
	case "join":
		j, err := s.e.join(s.module(w[1]), func(m *module) bool { return !s.deaf[m.n] })
		if err != nil {
			return err.Error()
		}
		return j.name
	case "run":
		s.w.until(s.w.now + uint64(s.number(w[1])))
		return ""
	case "check":
		want := s.e.oracle.tails
		if err := s.e.catchUp(10_000, want); err != nil {
			return err.Error()
		}
		if err := s.e.checkAll(); err != nil {
			return err.Error()
		}
		return "all promises hold"
	case "show", "names", "conflicts", "tombstones", "parked", "withheld", "account", "alarms", "has":
		return s.everywhere(func(m *module) string { return s.list(m, w) })
	}
	return s.act(s.module(w[0]), w[1:])
}

// everywhere shows what modules show, once what they show alike.
func (s *stage) everywhere(fn func(m *module) string) string {
	var texts []string
	alike := true
	for _, m := range s.e.ms {
		text := "down"
		if m.up {
			text = fn(m)
		}
		texts = append(texts, text)
		alike = alike && text == texts[0]
	}
	if alike {
		return "all " + texts[0]
	}
	var b strings.Builder
	for i, t := range texts {
		fmt.Fprintf(&b, "\n  m%d %s", i+1, t)
	}
	return b.String()
}

func (s *stage) act(m *module, w []string) string {
	file, data := "", []byte(nil)
	if len(w) > 1 {
		file = w[1]
	}
	if len(w) > 2 {
		data = []byte(strings.ReplaceAll(w[2], "_", " "))
	}
	do := func(fn func(p *program) error) string {
		before := m.j.Tail(m.stream()).Seq
		err := s.e.call(m, strings.Join(w, " "), fn)
		s.w.until(s.w.now + 1)
		if err != nil {
			return call.CodeOf(err).Name()
		}
		switch tail := m.j.Tail(m.stream()).Seq; tail {
		case before:
			return ""
		case before + 1:
			return fmt.Sprintf("m%d:%d", m.n+1, tail)
		default:
			return fmt.Sprintf("m%d:%d..%d", m.n+1, before+1, tail)
		}
	}
	switch w[0] {
	case "create":
		return do(func(p *program) error { return p.create(file, w[2]) })
	case "insert":
		return do(func(p *program) error { return p.insert(file, data) })
	case "read":
		var got []byte
		out := do(func(p *program) (err error) { got, err = p.find(file, string(data)); return err })
		if out == "" {
			out = fmt.Sprintf("%q", got)
		}
		return out
	case "rewrite":
		return do(func(p *program) error { return p.rewrite(file, data) })
	case "delete":
		return do(func(p *program) error { return p.rewrite(file, nil) })
	case "put":
		return do(func(p *program) error { return p.put(file, string(data), []byte(w[3])) })
	case "txn":
		return do(func(p *program) error {
			return p.within(func() error {
				for i := 2; i+1 < len(w); i += 2 {
					var err error
					if w[i] == "+" {
						err = p.insert(file, []byte(w[i+1]))
					} else {
						err = p.put(file, w[i], []byte(w[i+1]))
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		})
	case "inserts", "puts", "deletes":
		from, to := s.number(w[2]), s.number(w[3])
		return do(func(p *program) error {
			for k := from; k <= to; k++ {
				key := fmt.Sprintf("%04d", k)
				var err error
				switch w[0] {
				case "inserts":
					err = p.insert(file, []byte(key+"s"+key[1:]+"0-"+m.name))
				case "puts":
					err = p.put(file, key, []byte(key+"s"+key[1:]+"1-"+m.name))
				case "deletes":
					if _, err = p.find(file, key); err == nil {
						err = p.rewrite(file, nil)
					}
				}
				if err != nil && call.CodeOf(err) != call.RecordNotFound && call.CodeOf(err) != call.EndOfFile {
					return err
				}
				s.w.until(s.w.now + 1)
			}
			return nil
		})
	case "truncate":
		return do(func(p *program) error { return p.truncate(file) })
	case "rename":
		return do(func(p *program) error { return p.rename(file, w[2]) })
	case "delete_file":
		return do(func(p *program) error { return p.deleteFile(file) })
	case "local":
		m.local[file] = true
		return do(func(p *program) error {
			return p.index(file, localIndex, s.number(w[2]), s.number(w[3]), call.IndexHere)
		})
	case "mend":
		delete(m.local, file)
		return do(func(p *program) error { return p.dropLocal(file) })
	case "publishes":
		var out []string
		for _, f := range m.eng.Covered(theShare) {
			how, at, err := m.eng.Bring(context.Background(), "drmesh", f.ID, m.rules.share.Root+".aside")
			if err != nil {
				return err.Error()
			}
			out = append(out, f.Path+map[vosio.Brought]string{vosio.Adopted: " is adopted", vosio.Published: " is published", vosio.Aside: " is at " + at}[how])
		}
		s.e.settle(m)
		s.w.until(s.w.now + 1)
		return strings.Join(out, ", ")
	case "dir":
		return do(func(p *program) error {
			return p.just(call.Request{Call: "drmesh$create_dir", Path: p.full(file)})
		})
	case "copy":
		return do(func(p *program) error { return p.copyFile(file, w[2]) })
	case "other":
		m.prog, m.other = m.other, m.prog
		defer func() { m.prog, m.other = m.other, m.prog }()
		return s.act(m, w[1:])
	case "interval":
		m.every = uint64(s.number(w[1]))
		m.setLazy(true)
		s.e.flushes(m)
		return ""
	case "holds":
		m.setLazy(true)
		return ""
	case "flushes":
		m.setLazy(false)
		s.e.flush(m)
		return ""
	case "power":
		s.e.crash(m, len(w) > 1)
		return ""
	case "keeps":
		s.e.flush(m)
		s.copies[w[1]] = m.keep()
		return ""
	case "becomes":
		m.become(s.copies[w[1]])
		return ""
	case "starts":
		s.e.start(m)
		return ""
	case "clock":
		m.skew += time.Duration(s.number(w[1])) * time.Millisecond
		return ""
	}
	s.t.Fatalf("verb %q", w[0])
	return ""
}

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
