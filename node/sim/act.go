package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"drmesh/vosio"
	"drmesh/vosio/call"
)

// act has a module do something, and gives what came of it.
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
	case "starts", "becomes", "returns", "interval", "clock", "other":
	default:
		if !m.up {
			s.wrong("%s is down", m.name)
		}
	}
	switch w[0] {
	case "create":
		if !slices.Contains([]string{keyed, transacted, relative, plain}, w[2]) {
			s.wrong("create: a file of kind %q", w[2])
		}
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
		from, to := s.between(w[2], 0, 9999), s.between(w[3], 0, 9999)
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
		s.known(w[1:])
		m.prog, m.other = m.other, m.prog
		defer func() { m.prog, m.other = m.other, m.prog }()
		return s.act(m, w[1:])
	case "interval":
		m.every = uint64(s.between(w[1], 1, 60_000))
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
		c, ok := s.copies[w[1]]
		if !ok || m.up {
			s.wrong("%s: there is no copy %s, or the module is up", m.name, w[1])
		}
		m.become(c)
		return ""
	case "renews":
		return s.e.renews(m)
	case "returns":
		out, err := s.e.returns(m, s.module(w[1]))
		s.e.must(err)
		return out
	case "starts":
		if m.up {
			s.wrong("%s is up", m.name)
		}
		s.e.start(m)
		return ""
	case "clock":
		m.skew += time.Duration(s.number(w[1])) * time.Millisecond
		return ""
	}
	s.wrong("%s is not said of a module", w[0])
	return ""
}
