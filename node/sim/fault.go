package sim

import (
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
	"drmesh/vosio/call"
)

// fault makes one fault, and says in the report of which kind.
func (e *mesh) fault(r *rand.Rand) {
	a, b := r.IntN(len(e.ms)), r.IntN(len(e.ms))
	if a == b {
		b = (a + 1) % len(e.ms)
	}
	m := e.ms[a]
	did := ""
	switch pick := r.IntN(108); {
	case pick < 15:
		did = "link cut"
		e.net.sever(a, b, false)
	case pick < 20:
		did = "link cut one way"
		e.net.sever(a, b, true)
	case pick < 40:
		did = "link healed"
		e.net.join(a, b)
	case pick < 50:
		did = "module cut off"
		for p := range e.ms {
			if p != a {
				e.net.sever(a, p, false)
			}
		}
	case pick < 65:
		did = "crash"
		if !m.up {
			return
		}
		e.crash(m, r.IntN(2) == 1)
		e.w.after(r.Uint64N(400), func() {
			if !m.up && e.err == nil {
				e.w.tracef("%s starts", m.name)
				e.start(m)
			}
		})
	case pick < 75:
		did = "late flushes"
		if m.up {
			m.setLazy(!m.lazy)
			e.flush(m)
		}
	case pick < 80:
		did = "index of one module"
		f := files[r.IntN(2)]
		if !m.up || m.local[f.name] || m.prog.index(f.name, localIndex, 5, 2, call.IndexHere) != nil {
			return
		}
		m.local[f.name] = true
	case pick < 82:
		did = "join"
		if !m.up || len(e.ms) >= 5 {
			return
		}
		slow := map[int]bool{}
		for _, x := range e.ms {
			if x != m && r.IntN(3) == 0 {
				slow[x.n] = true
			}
		}
		e.w.tracef("m%d joins", len(e.ms)+1)
		j, err := e.join(m, func(x *module) bool { return !slow[x.n] })
		if err != nil {
			e.must(err)
			return
		}
		j.skew = time.Duration(r.IntN(4000)-2000) * time.Millisecond
		e.w.after(r.Uint64N(2000), func() {
			for _, x := range e.ms {
				x.control = e.control
			}
		})
	case pick < 84:
		did = "copy of a disk kept"
		if !m.up || m.restored {
			return
		}
		e.flush(m)
		m.copy, m.copyHas = m.fs.CrashClone(vfs.CrashCloneCfg{}), m.j.Durable().Clone()
	case pick < 86:
		did = "restored from a copy"
		if !m.up || m.restored || m.copy == nil || !e.reported(m, m.copyHas[m.stream()].Seq) {
			return
		}
		e.w.tracef("%s is restored from a copy", m.name)
		e.must(e.restore(m))
	case pick < 87:
		did = "disk wiped"
		if !m.up || m.restored || !e.reported(m, ^origin.Seq(0)) || !e.ms[b].up || e.ms[b].restored {
			return
		}
		e.w.tracef("%s has an empty disk, and starts from m%d's state", m.name, b+1)
		e.must(e.wipe(m, e.ms[b]))
	case pick < 89:
		did = "pause"
		e.net.paused[a] = e.w.now + r.Uint64N(20_000)
	case pick < 91:
		did = "tampering"
		e.net.tamper = r.IntN(4) * (2 + r.IntN(8))
	case pick < 93:
		did = "clock jump"
		m.skew = time.Duration(r.IntN(4000)-2000) * time.Millisecond
	default:
		did = "network trouble"
		e.net.reorder, e.net.duplicate, e.net.lose = r.IntN(6), r.IntN(6), r.IntN(3)*(10+r.IntN(40))
	}
	e.report.Faults[did]++
	e.w.tracef("fault: %s m%d m%d", did, a+1, b+1)
}
