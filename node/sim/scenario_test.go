package sim

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"drmesh/mesh/control"
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
	s.e.policy = func(share string, epoch uint64) control.SharePolicy { return s.control.Policy(share, epoch) }
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
