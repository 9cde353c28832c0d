package node

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio/record"
)

// change describes operation i of a txn.
func (n *Node) change(t *origin.Txn, i int) admin.Change {
	op := &t.Ops[i]
	c := admin.Change{Dot: n.dotName(origin.OpDot{Dot: t.Dot, Index: uint32(i)}), At: t.Stamp.Time(), Stamp: uint64(t.Stamp), Module: n.moduleName(t.Dot.Module),
		Process: t.Process, Address: record.String(op.Address), Life: op.Life, Data: op.Data}
	switch op.Kind {
	case origin.Write:
		c.Kind = "write"
	case origin.Delete:
		c.Kind = "delete"
	case origin.Truncate:
		c.Kind = "truncate"
	}
	if f, ok := n.eng.InfoByID(op.File); ok {
		c.Share, c.File = f.Share, f.Rel
	} else {
		c.File = op.File.String()
	}
	return c
}

// maxBefore is how many before-images are told of one change.
const maxBefore = 1000

// before adds what the registers of operation i showed before it, if that is
// kept here.
func (n *Node) before(c *admin.Change, d origin.Dot, i int) error {
	n.mu.Lock()
	r := n.rules
	n.mu.Unlock()
	if r == nil || r.byName[c.Share] == nil || !r.byName[c.Share].Images {
		return nil
	}
	images, err := n.eng.ImagesOf(origin.OpDot{Dot: d, Index: uint32(i)}, maxBefore)
	if err != nil {
		return err
	}
	for _, x := range images {
		b := admin.Before{Address: record.String(x.Address)}
		if x.Before != nil && !x.Before.Tombstone {
			b.Shown, b.Data = true, x.Before.Data
		}
		c.Before = append(c.Before, b)
	}
	return nil
}

// eachTxn visits the journal in local order from a local number on.
func (n *Node) eachTxn(ctx context.Context, from uint64, fn func(local uint64, t *origin.Txn) error) (uint64, error) {
	var t origin.Txn
	last := from
	var ferr error
	err := n.j.Local(from, func(local uint64, s origin.Stream, first origin.Seq, count int) bool {
		last = local + 1
		for i := range count {
			if ferr = ctx.Err(); ferr != nil {
				return false
			}
			d := origin.Dot{Stream: s, Seq: first + origin.Seq(i)}
			e, ok, err := n.j.Get(d)
			if err != nil {
				ferr = err
				return false
			}
			if !ok {
				continue // pruned
			}
			if ferr = entry.Decode(e.Bytes, d, &t); ferr != nil {
				return false
			}
			if ferr = fn(local, &t); ferr != nil {
				return false
			}
		}
		return true
	})
	return last, errors.Join(err, ferr)
}

// History implements admin.Engine.
func (e engine) History(ctx context.Context, p, key string) ([]admin.Change, error) {
	n := e.n
	full, err := n.eng.FullPath(p)
	if err != nil {
		return nil, explain(err)
	}
	file, addr, err := n.eng.AddressOf(full, key)
	if err != nil {
		return nil, explain(err)
	}
	out := []admin.Change{}
	_, err = n.eachTxn(ctx, 0, func(_ uint64, t *origin.Txn) error {
		for i := range t.Ops {
			op := &t.Ops[i]
			if op.File == file && (op.Kind == origin.Truncate || bytes.Equal(op.Address, addr)) {
				c := n.change(t, i)
				c.Data = slices.Clone(c.Data)
				if err := n.before(&c, t.Dot, i); err != nil {
					return err
				}
				out = append(out, c)
			}
		}
		return nil
	})
	return out, err
}

// Journal implements admin.Engine.
func (e engine) Journal(ctx context.Context, r admin.JournalRequest, emit func(*admin.Change) error) error {
	n := e.n
	var after time.Time
	dot := ""
	if r.From != "" {
		if t, err := time.Parse(time.RFC3339, r.From); err == nil {
			after = t
		} else if strings.HasPrefix(r.From, "%") {
			dot = r.From
		} else {
			return failure(admin.Usage, "bad_from", "a dot like %east#m1.1/main:907, or a time like 2026-01-02T15:04:05Z", "from %q", r.From)
		}
	}
	errDone := errors.New("enough")
	sent := 0
	from := uint64(0)
	started := dot == ""
	if r.Follow && r.From == "" {
		// Who only follows is shown what is to come.
		end, err := n.j.LocalEnd()
		if err != nil {
			return err
		}
		from = end
	}
	for {
		ch := n.j.Changed()
		last, err := n.eachTxn(ctx, from, func(_ uint64, t *origin.Txn) error {
			if t.Stamp.Time().Before(after) {
				return nil
			}
			for i := range t.Ops {
				c := n.change(t, i)
				if !started {
					if c.Dot != dot {
						continue
					}
					started = true
				}
				if r.Share != "" && c.Share != r.Share {
					continue
				}
				if err := n.before(&c, t.Dot, i); err != nil {
					return err
				}
				if err := emit(&c); err != nil {
					return err
				}
				if sent++; r.Limit > 0 && sent >= r.Limit {
					return errDone
				}
			}
			return nil
		})
		if errors.Is(err, errDone) {
			return nil
		}
		if err != nil {
			return err
		}
		from = last
		if !r.Follow {
			if !started {
				return failure(admin.NotFound, "no_dot", "\"drmesh journal dump\" lists what the journal still has", "the journal holds no operation %s", dot)
			}
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return nil
		}
	}
}
