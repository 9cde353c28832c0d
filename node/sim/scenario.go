package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"drmesh/mesh/control"
)

// A stage plays a scenario: what each module does, and what all show then. A line
// is a verb, or a module and a verb:
//
//	mesh N [safe] [images]     N modules, all linked; a second share, safe, is
//	                           flushed before every answer; images: modules
//	                           keep what records were before each change
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
//	m1 publishes               its own files where the share now lies
//	cut m1 m2 | heal m1 m2 | heal
//	lose m1 m2 m3              what m3 wrote does not get from m1 to m2
//	m1 keeps NAME              a copy of its disk
//	m1 becomes NAME            the copy is in the place of the disk
//	m1 renews                  a restored module has its stream ended where the
//	                           others have it, and writes the next one
//	evict m5                   put out of the mesh: its stream ends where the
//	                           others have it
//	m5 returns m1              from the state of m1; what nobody had is written
//	                           again if what it replaced stands, else listed
//	lost                       what is listed so
//	run MS                     time passes
//	show FILE | names | conflicts | tombstones | parked | withheld | account | alarms | has
//	check                      every promise, at all modules
//	sound                      what must hold of each module by itself
//
//	tables                     control tables, for all that are not deaf: the
//	                           lines that follow, up to one that says: end
//
// What is the same at all modules that are up is shown once, under "all".
type stage struct {
	w *world
	e *mesh
	// deaf modules do not hear of changes of control.
	deaf map[int]bool
	// control is nil until there are tables.
	control *control.State
	copies  map[string]copied // of disks
}

func newStage(w *world) *stage {
	return &stage{w: w, deaf: map[int]bool{}, copies: map[string]copied{}}
}

func (s *stage) close() {
	if s.e != nil {
		s.e.close()
	}
}

// planError is a mistake in the text of a scenario.
type planError struct{ error }

func (s *stage) wrong(format string, args ...any) {
	panic(planError{fmt.Errorf(format, args...)})
}

// play does what a line says. failed is a promise that was broken; err a
// mistake in the line.
func (s *stage) play(line string) (out string, failed, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case planError:
			err = p.error
		default:
			failed = fmt.Errorf("panic: %v", p)
		}
	}()
	w := strings.Fields(line)
	if len(w) == 0 || strings.HasPrefix(w[0], "#") {
		return "", nil, nil
	}
	out, failed = s.line(w)
	if s.e != nil && s.e.err != nil {
		failed, s.e.err = s.e.err, nil
	}
	return out, failed, nil
}

// verbs says how many words follow each verb at least.
var verbs = map[string]int{
	"mesh": 1, "cut": 2, "heal": 0, "lose": 3, "sound": 0, "deaf": 1, "hears": 1, "join": 1, "evict": 1, "run": 1, "check": 0,
	"show": 1, "names": 0, "conflicts": 0, "tombstones": 0, "parked": 0, "withheld": 0, "account": 0, "alarms": 0, "has": 0, "lost": 0,
	"create": 2, "insert": 2, "read": 2, "rewrite": 2, "delete": 1, "put": 3, "txn": 3, "inserts": 3, "puts": 3, "deletes": 3,
	"truncate": 1, "rename": 2, "delete_file": 1, "local": 3, "mend": 1, "publishes": 0, "dir": 1, "copy": 2, "other": 1,
	"interval": 1, "holds": 0, "flushes": 0, "power": 0, "keeps": 1, "becomes": 1, "starts": 0, "clock": 1, "renews": 0, "returns": 1,
}

// known refuses what nobody understands.
func (s *stage) known(w []string) {
	least, ok := verbs[w[0]]
	if !ok {
		s.wrong("verb %q", w[0])
	}
	if len(w)-1 < least {
		s.wrong("%s: %d words follow, not %d", w[0], least, len(w)-1)
	}
}

// ErrPlan says that the text of a plan is wrong.
var ErrPlan = errors.New("the plan is wrong")

// Play plays a plan: each line is answered by what came of it. What out gets is
// alike for the same plan and seed. The error is an ErrPlan, or a *Failure.
func Play(seed uint64, plan string, out func(string)) (*Report, error) {
	w := newWorld(seed)
	s := newStage(w)
	defer s.close()
	r := NewReport()
	r.Seed = seed
	lines := strings.Split(plan, "\n")
	sum := func(err error) (*Report, error) {
		r.Time, r.Trace = w.time(), w.tail
		if s.e != nil {
			r.Modules, r.Txns, r.Checks = len(s.e.ms), len(s.e.oracle.txns), s.e.oracle.checks
			r.account(s.e.ms)
		}
		return r, err
	}
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "tables" {
			from := i + 1
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "end"; i++ {
			}
			if i == len(lines) {
				return sum(fmt.Errorf("%w: line %d: tables without an end", ErrPlan, from))
			}
			if s.e == nil {
				return sum(fmt.Errorf("%w: line %d: there is no mesh yet", ErrPlan, from))
			}
			out(strings.TrimSuffix("tables: "+s.apply(strings.Join(lines[from:i], "\n")+"\n"), "\n"))
			continue
		}
		text, failed, err := s.play(line)
		if err != nil {
			return sum(fmt.Errorf("%w: line %d: %w", ErrPlan, i+1, err))
		}
		if text != "" {
			line += ": " + text
		}
		out(line)
		if failed != nil {
			f := &Failure{Seed: seed, Steps: i + 1, Err: failed, Trace: w.traceText()}
			if s.e != nil {
				f.Diagram = diagram(w.trace, len(s.e.ms))
			}
			return sum(f)
		}
	}
	return sum(nil)
}

// apply puts control tables in force at all modules that hear of them.
func (s *stage) apply(text string) string {
	var err error
	if s.control == nil {
		if s.control, err = newControl(len(s.e.ms)); err != nil {
			return err.Error() + "\n"
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
	if err != nil || !strings.HasPrefix(name, "m") || n < 1 || n > len(s.e.ms) {
		s.wrong("module %q: there are m1 to m%d", name, len(s.e.ms))
	}
	return s.e.ms[n-1]
}

func (s *stage) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < -1<<40 || n > 1<<40 {
		s.wrong("%q is no number", text)
	}
	return n
}

// between is a number that lies within bounds.
func (s *stage) between(text string, least, most int) int {
	n := s.number(text)
	if n < least || n > most {
		s.wrong("%d is not between %d and %d", n, least, most)
	}
	return n
}

func (s *stage) line(w []string) (string, error) {
	if strings.HasPrefix(w[0], "m") && len(w) > 1 && verbs[w[0]] == 0 {
		if s.e == nil {
			s.wrong("there is no mesh yet")
		}
		m := s.module(w[0])
		s.known(w[1:])
		return s.act(m, w[1:]), nil
	}
	s.known(w)
	if s.e == nil != (w[0] == "mesh") {
		s.wrong("a plan begins with a mesh, and has one")
	}
	if w[0] == "check" {
		if err := s.e.catchUp(10_000, s.e.oracle.tails); err != nil {
			return "", err
		}
		if err := s.e.checkAll(); err != nil {
			return "", err
		}
		return "all promises hold", nil
	}
	return s.all(w), nil
}

// all does what concerns more than one module.
func (s *stage) all(w []string) string {
	switch w[0] {
	case "mesh":
		s.e = newMesh(s.w, s.between(w[1], 1, 9))
		for _, m := range s.e.ms {
			for _, what := range w[2:] {
				switch what {
				case "safe":
					m.rules.addSafe()
				case "images":
					m.rules.share.Images, m.rules.safe.Images = true, true
				default:
					s.wrong("mesh: %q", what)
				}
			}
			s.e.start(m)
		}
		s.w.until(s.w.now + 200)
		return ""
	case "cut":
		if w[1] == w[2] {
			s.wrong("cut: %s twice", w[1])
		}
		s.e.net.sever(s.module(w[1]).n, s.module(w[2]).n, false)
		return ""
	case "heal":
		if len(w) < 3 {
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
		if len(s.e.ms) == 9 {
			s.wrong("join: there are nine modules")
		}
		j, err := s.e.join(s.module(w[1]), func(m *module) bool { return !s.deaf[m.n] })
		if err != nil {
			return err.Error()
		}
		return j.name
	case "run":
		s.w.until(s.w.now + uint64(s.between(w[1], 0, 1_000_000_000)))
		return ""
	case "evict":
		if err := s.e.evict(s.module(w[1])); err != nil {
			return err.Error()
		}
		return ""
	case "show", "names", "conflicts", "tombstones", "parked", "withheld", "account", "alarms", "has", "lost":
		return s.everywhere(func(m *module) string { return s.list(m, w) })
	}
	s.wrong("%s is said of a module: m1 %s", w[0], w[0])
	return ""
}

// everywhere shows what modules show, once what they show alike.
func (s *stage) everywhere(fn func(m *module) string) string {
	var texts []string
	alike := true
	for _, m := range s.e.ms {
		text := "down"
		if m.evicted {
			text = "is out of the mesh"
		} else if m.up {
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
