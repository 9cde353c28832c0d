package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/mesh/control"
	"drmesh/origin"
)

// When a module leaves or is removed, each member tells control how far it
// holds that module's streams, and the furthest becomes their ends. What a
// member tells has to stay true while the others are still asked: the module
// may be cut off and not dead, and go on sending to some. So its streams are
// sealed first, durably: nothing more of them takes effect but up to what any
// member has reported.

// sealKey is "nz" and the module.
func sealKey(m origin.Module) []byte {
	return binary.BigEndian.AppendUint32([]byte{'n', 'z'}, uint32(m))
}

// seals reads what is sealed from the database.
func seals(db *pebble.DB) (map[origin.Module]origin.Context, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("nz"), UpperBound: []byte("n{")})
	if err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	defer it.Close()
	out := map[origin.Module]origin.Context{}
	for it.First(); it.Valid(); it.Next() {
		k, v := it.Key(), it.Value()
		const size = origin.StreamSize + 8
		if len(k) != 6 || len(v)%size != 0 {
			return nil, fmt.Errorf("read seals: key %x is damaged", k)
		}
		c := origin.Context{}
		for ; len(v) > 0; v = v[size:] {
			c[origin.DecodeStream(v)] = origin.Seq(binary.BigEndian.Uint64(v[origin.StreamSize:]))
		}
		out[origin.Module(binary.BigEndian.Uint32(k[2:]))] = c
	}
	return out, it.Error()
}

// reported is the furthest that any member reports to hold of a stream.
func (n *Node) reported(s origin.Stream) (q origin.Seq) {
	for _, d := range n.ctl.state().Departures {
		if d.Module != s.Module {
			continue
		}
		for _, r := range d.Reports {
			for _, p := range r.Places {
				if p.Stream() == s {
					q = max(q, p.Seq)
				}
			}
		}
	}
	return q
}

// seal seals a module's streams and gives what is held of them; ok is false
// while some of it is still to be flushed.
func (n *Node) seal(ctx context.Context, m origin.Module) (places []control.Place, ok bool, err error) {
	at, err := n.applier.Seal(ctx, m)
	if err != nil {
		return nil, false, err
	}
	durable := n.j.Durable()
	for s, q := range at {
		if durable[s].Seq < q {
			return nil, false, nil
		}
	}
	if !n.sealed[m] {
		var v []byte
		for _, e := range at.Sorted() {
			v = binary.BigEndian.AppendUint64(origin.AppendStream(v, e.Stream), uint64(e.Seq))
		}
		if err := n.db.Set(sealKey(m), v, pebble.Sync); err != nil {
			return nil, false, fmt.Errorf("seal the streams of module %d: %w", m, err)
		}
		n.sealed[m] = true
	}
	// A snapshot may have brought more meanwhile; who gave it holds it, and
	// reports it too.
	for _, e := range durable.Sorted() {
		if e.Stream.Module == m {
			places = append(places, control.PlaceOf(e.Stream, e.Position))
		}
	}
	return places, true, nil
}

// unseal ends the seals of departures that are over: their streams have ends
// now.
func (n *Node) unseal(st *control.State) {
	for m := range n.sealed {
		departs := false
		for _, d := range st.Departures {
			departs = departs || d.Module == m
		}
		if departs {
			continue
		}
		n.applier.Unseal(m)
		if err := n.db.Delete(sealKey(m), pebble.NoSync); err != nil {
			n.log.Error("a seal could not be taken away", "of", m, "err", err)
			continue
		}
		delete(n.sealed, m)
	}
}

// reportDepartures tells control what this module holds of the streams of
// modules that leave.
func (n *Node) reportDepartures(st *control.State) {
	n.unseal(st)
	for _, d := range st.Departures {
		need := false
		for _, m := range st.Missing(d) {
			need = need || m == n.dir.Number
		}
		if !need || d.Renews != nil && d.Module == n.dir.Number && !n.reportsRenewal(d) {
			continue
		}
		ctx, cancel := context.WithTimeout(n.ctx, 5*time.Second)
		if d.Module == n.dir.Number {
			// A write that met the rules of before has its place after this.
			if err := n.eng.Barrier(ctx); err != nil {
				cancel()
				continue
			}
		}
		places, ok, err := n.seal(ctx, d.Module)
		if err == nil && ok {
			_, err = n.propose(ctx, &control.Command{Kind: control.KindReport, Report: &control.ReportHeads{By: n.dir.Number, Of: d.Module, Places: places}})
		}
		cancel()
		if err != nil && n.ctx.Err() == nil {
			n.log.Debug("a departure is not reported yet", "of", d.Module, "err", err)
		}
	}
}
