package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
	"drmesh/vosio/record"
)

// The directory of a module that was put out of the mesh while it was cut off
// may have txns that nobody else has. Its streams have their ends; what lies
// beyond is read from it, and kept in a lost-transaction file at a module of the
// mesh, from which it is committed again where what it replaced stands.
//
// What a txn replaced is not kept in the directory, but the txn names what its
// writer had seen. So a version that stands here now, and that was seen there, is
// what it replaced; if another stands, or none, others have changed it since.

// LostSalvage implements admin.Engine.
func (e engine) LostSalvage(ctx context.Context, r admin.LostSalvage) ([]admin.LostFile, error) {
	n := e.n
	n.losing.Lock()
	defer n.losing.Unlock()
	if !filepath.IsAbs(r.From) {
		return nil, failure(admin.Usage, "bad_path", "", "%q is no absolute path", r.From)
	}
	id, err := readIdentity(r.From)
	if err != nil {
		return nil, failure(admin.NotFound, "no_module", "", "%s holds no module: %v", r.From, err)
	}
	st := n.ctl.state()
	m, ok := st.Member(id.Number)
	switch {
	case id.MeshID != n.dir.MeshID || !ok || m.Name != id.Module:
		return nil, failure(admin.Precondition, "foreign_directory", "", "%s is of module %s of mesh %s, which is not one of this mesh", r.From, id.Module, id.Mesh)
	case m.Standing():
		return nil, failure(admin.Precondition, "standing", "start it: what it wrote comes from it", "%s is of %s, which is in the mesh", r.From, m.Name)
	}
	d, err := openDir(ctx, r.From)
	if err != nil {
		return nil, err
	}
	defer d.close()
	o := pebbleOptions(n.log, func() bool { return false })
	o.ReadOnly = true
	db, err := pebble.Open(d.file("db"), o)
	if err != nil {
		return nil, fmt.Errorf("salvage %s: %w", r.From, err)
	}
	defer db.Close()
	j, err := journal.Open(db)
	if err != nil {
		return nil, fmt.Errorf("salvage %s: %w", r.From, err)
	}
	out := []admin.LostFile{}
	for _, p := range j.Tails().Sorted() {
		if p.Stream.Module != id.Number {
			continue
		}
		f, err := n.salvage(ctx, st, &m, j, p)
		if err != nil {
			return out, fmt.Errorf("salvage %s: %w", r.From, err)
		}
		if f != nil {
			f.Transactions = nil
			out = append(out, *f)
		}
	}
	return out, nil
}

// salvage keeps what a stream has beyond its end; nil: nothing, or it is kept
// already.
func (n *Node) salvage(ctx context.Context, st *control.State, m *control.Member, j *journal.Journal, p origin.StreamPosition) (*admin.LostFile, error) {
	s := p.Stream
	end, ok := st.End(s)
	if !ok {
		return nil, failure(admin.Precondition, "no_end", "\"drmesh status\" shows whether the members have reported", "the stream %s has no end yet", n.streamName(s))
	}
	if p.Seq <= end.Seq {
		return nil, nil
	}
	if h, ok, err := j.HashAt(s, end.Seq); err != nil || ok && h != end.Hash {
		return nil, failure(admin.Precondition, "forked", "", "the stream %s has another history there than the one that the mesh knows (%v)", n.streamName(s), err)
	}
	if !n.whole(s.Group) {
		return nil, failure(admin.Precondition, "not_whole", "wait until \"drmesh status\" says serving", "%s takes the group from a neighbour", n.dir.Module)
	}
	f := &admin.LostFile{Format: lostFormat, Mesh: n.dir.MeshID, Group: st.GroupName(s.Group), Module: n.dir.Module, Made: time.Now().UTC(),
		Owner: m.Name, End: uint64(end.Seq), Salvaged: true}
	f.Name = fmt.Sprintf("%s.of%d-%d.%d", f.Group, s.Module, s.Incarnation, n.dir.Number)
	if t, owners := st.TermOf(s); owners {
		f.Epoch = t.Epoch
	} else {
		f.Origin = m.Name
	}
	x := salvager{n: n, seen: origin.Context{}, made: map[string][]byte{}}
	for at := j.Pruned(s); at < p.Seq; {
		l, err := j.Read(s, at, 1<<20)
		if err != nil || len(l) == 0 {
			return nil, fmt.Errorf("read %s after %d: %d entries, %w", n.streamName(s), at, len(l), err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, b := range l {
			at = b.Seq
			txn := new(origin.Txn)
			if err := entry.Decode(b.Bytes, origin.Dot{Stream: s, Seq: b.Seq}, txn); err != nil {
				return nil, fmt.Errorf("read %v: %w", origin.Dot{Stream: s, Seq: b.Seq}, err)
			}
			x.seen.Advance(txn.Context)
			x.seen[s] = b.Seq - 1
			if b.Seq <= end.Seq {
				continue
			}
			lost, err := x.lost(txn)
			if err != nil {
				return nil, err
			}
			f.Transactions = append(f.Transactions, *lost)
		}
	}
	if len(f.Transactions) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(n.dir.file("lost"), 0o700); err != nil {
		return nil, err
	}
	if err := n.moreLost(f); err != nil || len(f.Transactions) == 0 {
		return nil, err
	}
	if err := n.writeLost(f); err != nil {
		return nil, err
	}
	n.log.Warn("transactions that nobody had were taken from the directory of a module that is out of the mesh", "file", f.Name, "txns", f.Txns)
	n.tellLost(ctx, f)
	return f, nil
}

// salvager makes lost transactions of a stream's txns, in their order.
type salvager struct {
	n    *Node
	seen origin.Context    // by the writer of the txn at hand, as far as the journal tells
	made map[string][]byte // by register: what the txns before have made of it
}

func (x *salvager) lost(txn *origin.Txn) (*admin.LostTxn, error) {
	n := x.n
	out := &admin.LostTxn{Number: uint64(txn.Dot.Seq), Dot: strings.TrimSuffix(n.dotName(origin.OpDot{Dot: txn.Dot}), ".0"), At: txn.Stamp.Time().UTC(),
		Process: txn.Process, State: "open", Ops: []admin.LostOp{}}
	for i := range txn.Ops {
		op := &txn.Ops[i]
		c := n.change(txn, i)
		y := admin.LostOp{Kind: c.Kind, File: c.Share + ":" + c.File, FileID: hex.EncodeToString(op.File[:]), Address: record.String(op.Address), Key: op.Address}
		switch op.Kind {
		case origin.Write, origin.Delete:
			if op.Kind == origin.Write {
				y.After = append([]byte{}, op.Data...)
			}
			if err := x.before(txn, i, &y); err != nil {
				return nil, err
			}
			x.made[string(op.File[:])+string(op.Address)] = y.After
		default:
			y.Unknown = true
		}
		out.Ops = append(out.Ops, y)
	}
	return out, nil
}

// before finds out what an operation replaced, if it can be known.
func (x *salvager) before(txn *origin.Txn, i int, y *admin.LostOp) error {
	op := &txn.Ops[i]
	if data, ok := x.made[string(op.File[:])+string(op.Address)]; ok {
		y.Before = slices.Clone(data)
		return nil
	}
	if op.Kind == origin.Write && txn.Version(i).Birth.Dot == (origin.OpDot{Dot: txn.Dot, Index: uint32(i)}) {
		return nil // it was new
	}
	set, err := x.n.eng.Standing(x.n.db, op.File, op.Address)
	if err != nil {
		return err
	}
	y.Unknown = len(set) != 1 || set[0].Tombstone || !x.seen.Has(set[0].Dot.Dot) || slices.Contains(op.Hidden, set[0].Dot) || slices.Contains(op.Unseen, set[0].Dot)
	if !y.Unknown {
		y.Before = append([]byte{}, set[0].Data...)
	}
	return nil
}
