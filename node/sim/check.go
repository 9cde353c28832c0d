package sim

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio"
	"drmesh/vosio/record"
)

// made is a txn that was durable at its origin.
type made struct {
	txn     *origin.Txn
	bytes   []byte
	hash    origin.Hash
	context origin.Context // full
}

// oracle knows every txn that was ever durable at its origin, from the origin's
// own journal, and every promise that was made to a program.
type oracle struct {
	txns  map[origin.Dot][]*made // more than one where a disk was copied
	tails origin.Vector
	full  map[origin.Stream]origin.Context
	acked map[origin.Dot]string // answered as durable: what it was

	checks map[string]int // how often each invariant was checked
}

func newOracle() *oracle {
	return &oracle{txns: map[origin.Dot][]*made{}, tails: origin.Vector{}, full: map[origin.Stream]origin.Context{}, acked: map[origin.Dot]string{}, checks: map[string]int{}}
}

// at finds the txn that a dot has in a module's history; nil if nobody made it.
func (o *oracle) at(m *module, d origin.Dot) *made {
	l := o.txns[d]
	if len(l) == 0 {
		return nil
	}
	if len(l) > 1 {
		if h, ok, err := m.j.HashAt(d.Stream, d.Seq); err == nil && ok {
			if i := slices.IndexFunc(l, func(x *made) bool { return x.hash == h }); i >= 0 {
				return l[i]
			}
		}
	}
	return l[0]
}

// observe takes in what became durable in a module's own stream.
func (o *oracle) observe(m *module) error {
	if m.evicted {
		return nil // nobody will ever have what it writes now
	}
	s := m.stream()
	at := o.tails.At(s)
	list, err := m.j.Read(s, at.Seq, 1<<30)
	if err != nil {
		return err
	}
	for _, e := range list {
		d := origin.Dot{Stream: s, Seq: e.Seq}
		t := new(origin.Txn)
		if err := entry.Decode(e.Bytes, d, t); err != nil {
			return err
		}
		if at.Hash = at.Hash.Next(e.Bytes); at.Hash != e.Hash {
			return fmt.Errorf("%v does not chain", d)
		}
		at.Seq = e.Seq
		if o.full[s] == nil {
			o.full[s] = origin.Context{}
		}
		o.full[s].Advance(t.Context)
		if err := o.rises(m, t); err != nil {
			return err
		}
		if len(o.txns[d]) > 0 && !m.mesh.copies {
			return fmt.Errorf("%v was made twice", d)
		}
		if !slices.ContainsFunc(o.txns[d], func(x *made) bool { return x.hash == e.Hash }) {
			o.txns[d] = append(o.txns[d], &made{t, e.Bytes, e.Hash, o.full[s].Clone()})
		}
	}
	o.tails[s] = at
	return nil
}

// rises checks a new txn's stamp and context against what its origin knew.
func (o *oracle) rises(m *module, t *origin.Txn) error {
	o.checks["a stamp is above all that its writer knew"]++
	prev := t.Dot
	prev.Seq--
	if p := o.at(m, prev); p != nil && t.Stamp <= p.txn.Stamp {
		return fmt.Errorf("%v is stamped %v, after %v", t.Dot, t.Stamp, p.txn.Stamp)
	}
	for _, e := range t.Context {
		p := o.at(m, origin.Dot{Stream: e.Stream, Seq: e.Seq})
		if p == nil {
			return fmt.Errorf("%v names %v:%d, which was never durable at its origin", t.Dot, e.Stream, e.Seq)
		}
		if t.Stamp <= p.txn.Stamp {
			return fmt.Errorf("%v is stamped %v, and names %v of %v", t.Dot, t.Stamp, p.txn.Dot, p.txn.Stamp)
		}
	}
	return nil
}

// promised notes what a program was told.
func (o *oracle) promised(d origin.Dot, what string) { o.acked[d] = what }

// afterStart checks a module that has come back: promise 1, nothing that was
// acknowledged is gone, and what had left its disk is what it was.
func (o *oracle) afterStart(m *module) error {
	s := m.stream()
	tail := m.j.Tail(s)
	if m.restored {
		return o.matches(m) // of its disk; what is missing comes from the others
	}
	o.checks["1 capture has no window: acknowledged survives a crash"]++
	for d, what := range o.acked {
		if d.Stream == s && d.Seq > tail.Seq {
			return fmt.Errorf("%s: %v (%s) was acknowledged and is gone: the stream stands at %d", m.name, d, what, tail.Seq)
		}
	}
	known := o.tails.At(s)
	if h, ok, err := m.j.HashAt(s, known.Seq); err != nil || !ok || h != known.Hash {
		return fmt.Errorf("%s: its stream was durable up to %d and is not any more (%v)", m.name, known.Seq, err)
	}
	// All or none: the registers hold what the journal says.
	o.checks["1 capture has no window: registers match the journal"]++
	return o.matches(m)
}

// matches checks a module's registers, ledger and account against the model of
// the txns that it has applied.
func (o *oracle) matches(m *module) error {
	var txns []*made
	for _, p := range m.j.Tails().Sorted() {
		if p.Stream.Group != theGroup {
			continue
		}
		for q := origin.Seq(1); q <= p.Seq; q++ {
			x := o.at(m, origin.Dot{Stream: p.Stream, Seq: q})
			if x == nil {
				if p.Stream == m.stream() && q > m.j.Durable()[p.Stream].Seq {
					return nil // sequenced and not durable yet: later
				}
				return fmt.Errorf("%s has applied %v:%d, which was never durable at its origin", m.name, p.Stream, q)
			}
			txns = append(txns, x)
		}
	}
	mod := newModel(txns, m.mesh.policy)
	regs, err := registers(m.db)
	if err != nil {
		return err
	}
	for r := range mod.writes {
		if err := mod.compare(r, regs[r]); err != nil {
			return fmt.Errorf("%s: %v %s: %w", m.name, r.File, record.String([]byte(r.Address)), err)
		}
	}
	for r := range regs {
		if mod.writes[r] == nil {
			return fmt.Errorf("%s: %v %s: stands, and nobody wrote it", m.name, r.File, record.String([]byte(r.Address)))
		}
	}
	if err := o.kept(m, mod, regs); err != nil {
		return err
	}
	return o.account(m, txns, regs)
}

// kept is promise 4 by one look at each version: it stands, or a writer that
// was shown it replaced it, or the ledger has it.
func (o *oracle) kept(m *module, mod *model, regs map[register][]origin.Version) error {
	o.checks["4 nothing vanishes: each version stands, was replaced by one who saw it, or is in the ledger"]++
	entries := map[conflict.ID]*ledger.Entry{}
	if err := ledger.Ls(m.db, ledger.Filter{}, func(e *ledger.Entry) bool { entries[e.ID] = e; return true }); err != nil {
		return err
	}
	open := 0
	for r, list := range mod.writes {
		for _, d := range mod.open(r) {
			e := entries[conflict.EntryID(r.File, []byte(r.Address), d)]
			if e == nil || e.State != conflict.Open {
				return fmt.Errorf("%s: %v of %s stands beside what is shown, and is not listed as open", m.name, d, record.String([]byte(r.Address)))
			}
			if e.Winner.Dot != regs[r][0].Dot {
				return fmt.Errorf("%s: the open conflict of %v names %v, %v is shown", m.name, d, e.Winner.Dot, regs[r][0].Dot)
			}
			open++
		}
		for _, v := range list {
			e := entries[conflict.EntryID(r.File, []byte(r.Address), v.dot)]
			if e != nil && !bytes.Equal(e.Loser.Data, v.op.Data) {
				return fmt.Errorf("%s: the ledger has other bytes of %v", m.name, v.dot)
			}
			if mod.stands(r, v) || e != nil {
				continue
			}
			if !mod.seen(r, v) {
				return fmt.Errorf("%s: %v of %s was replaced by writers that were not shown it, and is not in the ledger", m.name, v.dot, record.String([]byte(r.Address)))
			}
		}
	}
	for _, e := range entries {
		if e.State == conflict.Open {
			open--
		}
	}
	if open != 0 {
		return fmt.Errorf("%s: %d open entries too many", m.name, -open)
	}
	return nil
}

// account is promise 4 by the sum, and the sum by a scan.
func (o *oracle) account(m *module, txns []*made, regs map[register][]origin.Version) error {
	o.checks["4 nothing vanishes: the account sums"]++
	type sum struct{ written, live, open int64 }
	want := map[origin.Stream]*sum{}
	of := func(s origin.Stream) *sum {
		if want[s] == nil {
			want[s] = &sum{}
		}
		return want[s]
	}
	for _, x := range txns {
		for _, op := range x.txn.Ops {
			if op.Kind != origin.Truncate {
				of(x.txn.Dot.Stream).written++
			}
		}
	}
	for _, set := range regs {
		for i := range set {
			v, top := &set[i], &set[0]
			if i > 0 && (v.Tombstone != top.Tombstone || !bytes.Equal(v.Data, top.Data)) {
				of(v.Dot.Stream).open++
			} else {
				of(v.Dot.Stream).live++
			}
		}
	}
	got := map[origin.Stream]*sum{}
	for _, a := range m.eng.Account() {
		if a.Missing() != 0 {
			return fmt.Errorf("%s: account of %v in share %q lacks %d", m.name, a.Stream, a.Share, a.Missing())
		}
		if got[a.Stream] == nil {
			got[a.Stream] = &sum{}
		}
		got[a.Stream].written += a.Of(vosio.Written)
		got[a.Stream].live += a.Of(vosio.Live) + a.Of(vosio.Parked)
		got[a.Stream].open += a.Of(vosio.Opened)
	}
	for s, w := range want {
		if g := got[s]; g == nil || *g != *w {
			return fmt.Errorf("%s: account of %v says %+v, a scan %+v", m.name, s, g, *w)
		}
	}
	return nil
}

// once checks promise 2 in what a module holds: gapless streams of the one
// content that each dot ever had.
func (o *oracle) once(m *module) error {
	o.checks["2 once: one content for each dot, in order, everywhere"]++
	for _, p := range m.j.Tails().Sorted() {
		if p.Stream.Group != theGroup {
			continue
		}
		list, err := m.j.Read(p.Stream, m.j.Pruned(p.Stream), 1<<30)
		if err != nil {
			return err
		}
		for _, e := range list {
			d := origin.Dot{Stream: p.Stream, Seq: e.Seq}
			x := o.at(m, d)
			if x == nil {
				return fmt.Errorf("%s holds %v, which was never durable at its origin", m.name, d)
			}
			if !bytes.Equal(x.bytes, e.Bytes) || x.hash != e.Hash {
				return fmt.Errorf("%s holds other bytes of %v", m.name, d)
			}
		}
	}
	return nil
}

// sound checks a module by itself, where disks were copied and not all can have
// it all: of the histories it holds one, whole, and nothing of another.
func (o *oracle) sound(m *module) error { return errors.Join(o.once(m), o.matches(m)) }

// converged checks promise 3 over modules that have it all.
func (o *oracle) converged(ms []*module) error {
	o.checks["3 convergence: equal vectors, equal bytes"]++
	for _, m := range ms {
		for s, p := range o.tails {
			if at := m.j.Durable().At(s); at != p {
				return fmt.Errorf("%s stands at %v:%d, its origin at %d", m.name, s, at.Seq, p.Seq)
			}
		}
	}
	derived := true
	for _, m := range ms {
		parked, err := m.eng.ParkedList()
		if err != nil {
			return err
		}
		derived = derived && len(parked) == 0 && len(m.local) == 0
	}
	first, err := image(ms[0], derived)
	if err != nil {
		return err
	}
	for _, m := range ms[1:] {
		other, err := image(m, derived)
		if err != nil {
			return err
		}
		if d := differ(first, other); d != "" {
			return fmt.Errorf("%s and %s differ: %s", ms[0].name, m.name, d)
		}
	}
	return nil
}

// registers reads all version sets of shared files.
func registers(r pebble.Reader) (map[register][]origin.Version, error) {
	out := map[register][]origin.Version{}
	err := scan(r, "vr", func(k, v []byte) error {
		set, err := record.DecodeSet(nil, v)
		if err != nil {
			return err
		}
		if len(set) > 0 && set[0].Dot.Group == theGroup {
			out[register{origin.FileID(k[2:18]), string(k[18:])}] = set
		}
		return nil
	})
	return out, err
}

// image is all that must be alike at modules of equal vectors: sets, orders,
// index entries, withheld ones, and open conflicts; of the derived ones only
// where no module has an index of its own or parks a record.
func image(m *module, derived bool) (map[string]string, error) {
	out := map[string]string{}
	regs, err := registers(m.db)
	if err != nil {
		return nil, err
	}
	for r, set := range regs {
		if !slices.ContainsFunc(set, func(v origin.Version) bool { return !v.Tombstone }) {
			continue // a tombstone goes when it has settled, at each module by itself
		}
		out[fmt.Sprintf("register %v %s %x", r.File, record.String([]byte(r.Address)), r.Address)] = string(record.AppendSet(nil, set))
	}
	for _, p := range []string{"vx", "vp", "vw"} {
		if !derived {
			break
		}
		if err := scan(m.db, p, func(k, v []byte) error {
			out[fmt.Sprintf("entry %s %x", p, k)] = string(v)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, ledger.Ls(m.db, ledger.Filter{States: []conflict.State{conflict.Open}}, func(e *ledger.Entry) bool {
		out["conflict "+e.ID.String()] = fmt.Sprintf("%v %v", e.Loser, e.Winner)
		return true
	})
}

func scan(r pebble.Reader, prefix string, fn func(k, v []byte) error) error {
	upper := []byte(prefix)
	for i := len(upper) - 1; i >= 0; i-- {
		if upper[i]++; upper[i] != 0 {
			break
		}
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = fn(slices.Clone(it.Key()), slices.Clone(v))
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

func differ(a, b map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if w, ok := b[k]; !ok {
			out = append(out, "only the first has "+k)
		} else if w != a[k] {
			out = append(out, fmt.Sprintf("%s: %x, %x", k, a[k], w))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[k]; !ok {
			out = append(out, "only the second has "+k)
		}
	}
	if len(out) > 8 {
		out = append(out[:8], fmt.Sprintf("and %d more", len(out)-8))
	}
	return strings.Join(out, "\n  ")
}
