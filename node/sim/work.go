package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// files are what programs of a random run use, and how.
var files = []struct{ name, kind string }{
	{"accounts", keyed}, {"parts", keyed}, {"balances", transacted}, {"slots", relative}, {"audit", plain},
}

// work has one program at one module do one thing.
func (e *mesh) work(r *rand.Rand) {
	m := e.ms[r.IntN(len(e.ms))]
	f := files[r.IntN(len(files))]
	data := fmt.Appendf(nil, "%04d%04d%d-%s-%d", r.IntN(12), r.IntN(40), r.IntN(3), m.name, r.IntN(1000))
	pick := r.IntN(100)
	n := 1 + r.IntN(8)
	if !m.up || e.net.paused[m.n] > e.w.now {
		return
	}
	if f.kind == transacted && pick >= 8 && pick < 96 {
		e.transact(m, f.name, pick, n, data)
		return
	}
	switch {
	case pick < 8:
		_ = e.call(m, "create "+f.name, func(p *program) error { return p.create(f.name, f.kind) })
	case pick < 45:
		_ = e.call(m, fmt.Sprintf("insert %s %s", f.name, data), func(p *program) error { return p.insert(f.name, data) })
	case pick < 60:
		_ = e.call(m, fmt.Sprintf("read %s %d", f.name, n), func(p *program) error { return p.read(f.name, n) })
	case pick < 75:
		_ = e.call(m, fmt.Sprintf("rewrite %s %s", f.name, data), func(p *program) error { return p.rewrite(f.name, data) })
	case pick < 90:
		_ = e.call(m, fmt.Sprintf("reread %s %d %s", f.name, n, data), func(p *program) error {
			if err := p.read(f.name, n); err != nil {
				return err
			}
			return p.rewrite(f.name, data)
		})
	case pick < 96:
		_ = e.call(m, fmt.Sprintf("delete %s", f.name), func(p *program) error {
			if err := p.read(f.name, n); err != nil {
				return err
			}
			return p.rewrite(f.name, nil)
		})
	case pick < 97:
		_ = e.call(m, "truncate "+f.name, func(p *program) error { return p.truncate(f.name) })
	case pick < 98:
		_ = e.call(m, "rename "+f.name, func(p *program) error { return p.rename(f.name, f.name+".old") })
	case pick < 99:
		_ = e.call(m, "delete_file "+f.name+".old", func(p *program) error { return p.deleteFile(f.name + ".old") })
	default:
		_ = e.call(m, "delete_file "+f.name, func(p *program) error { return p.deleteFile(f.name) })
	}
	if m.lazy && e.w.chance("flush", 4) {
		e.flush(m)
	}
}

// transact is work on a transaction file.
func (e *mesh) transact(m *module, name string, pick, n int, data []byte) {
	what := "deposit"
	if pick > 40 {
		what = "transfer"
	}
	_ = e.call(m, fmt.Sprintf("%s %s %d %s", what, name, n, data), func(p *program) error {
		return p.within(func() error {
			if what == "deposit" {
				return p.insert(name, data)
			}
			return p.transfer(name, 1+n%4, func(i int, old []byte) []byte {
				return append(slices.Clone(old[:min(8, len(old))]), fmt.Sprintf("%d-%s-t%d", i%3, m.name, n)...)
			})
		})
	})
	if m.lazy && e.w.chance("flush", 4) {
		e.flush(m)
	}
}
