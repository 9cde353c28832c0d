package vosio

import (
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// overlay is what an open transaction sees: the database with its own changes
// over it, under the same keys, so that every scanner works on it. It belongs
// to one Process and reaches no disk; the transaction's net changes go through
// the committer when it commits.
func (e *Engine) overlay() *pebble.Batch { return e.db.NewIndexedBatch() }

// tentative stages a change into a transaction's overlay, with the checks that
// the committer will make again. n numbers the transaction's changes; a new
// record of a sequential file gets a provisional address that sorts behind all
// others.
func (e *Engine) tentative(b *pebble.Batch, ch *change, n uint32) (committed, error) {
	f := ch.file
	dot := origin.OpDot{Dot: origin.Dot{Stream: origin.Stream{Module: e.cfg.Self, Incarnation: math.MaxUint32}, Seq: math.MaxUint64}, Index: n}
	birth := origin.Birth{Stamp: math.MaxUint64, Dot: dot}
	addr := ch.addr
	if isEntry(addr) {
		return e.tentativeEntry(b, ch, birth)
	}
	if ch.kind == insert && addr == nil {
		switch {
		case f.numbered():
			n, err := e.freeNumber(b, f)
			if err != nil {
				return committed{}, err
			}
			addr = record.AppendNumber(nil, uint64(n))
		case f.identity != nil:
			addr = record.AppendKey(nil, f.identity.number, f.identity.AppendKeyOf(nil, ch.data))
		default:
			addr = record.AppendBorn(nil, birth)
		}
	}
	old, had, err := e.record(b, f, addr)
	if err != nil {
		return committed{}, err
	}
	if ch.kind == insert && had {
		code := call.InvalidDuplicateKey
		if f.numbered() {
			code = call.RecordAlreadyExists
		}
		return committed{}, fmt.Errorf("write %s %s: %w", f.rel, record.String(addr), code)
	}
	if ch.kind != insert && !had {
		return committed{}, fmt.Errorf("rewrite %s %s: %w", f.rel, record.String(addr), call.RecordNotFound)
	}
	if had {
		birth = old.birth
	}
	at := addr
	if ch.kind == rewrite && f.identity != nil && addr[0] == record.KindKey {
		at = record.AppendKey(nil, f.identity.number, f.identity.AppendKeyOf(nil, ch.data))
	}
	if ch.kind != remove {
		for _, ix := range f.indexes {
			if ix.Duplicates || ix.Local {
				continue
			}
			key := ix.AppendKeyOf(nil, ch.data)
			if ix.IsNull(key) {
				continue
			}
			if had && string(key) == string(ix.AppendKeyOf(nil, old.data)) {
				continue
			}
			prefix := append(append(appendFileKey(nil, keyIndex, f.id), ix.number[:]...), key...)
			err := scanPrefix(b, prefix, func(k, _ []byte) error {
				return fmt.Errorf("write %s index %s key %q: %w", f.rel, ix.Name, key, call.InvalidDuplicateKey)
			})
			if err != nil {
				return committed{}, err
			}
		}
	}
	if had {
		if err := b.Delete(appendRegisterKey(nil, f.id, addr), nil); err != nil {
			return committed{}, err
		}
		for _, ix := range f.indexes {
			if err := b.Delete(appendEntryKey(nil, keyIndex, f.id, ix.number, ix.AppendKeyOf(nil, old.data), old.birth, addr), nil); err != nil {
				return committed{}, err
			}
		}
		if err := b.Delete(appendPhysicalKey(nil, f.id, old.birth, addr), nil); err != nil {
			return committed{}, err
		}
	}
	if ch.kind == remove {
		return committed{addr: addr, birth: birth, dot: dot}, nil
	}
	if had && string(at) != string(addr) {
		if err := e.tentativeKeys(b, f, birth, addr, at); err != nil {
			return committed{}, err
		}
	}
	v := origin.Version{Dot: dot, Stamp: math.MaxUint64, Life: 1, Birth: birth, Data: ch.data}
	if err := b.Set(appendRegisterKey(nil, f.id, at), record.AppendSet(nil, []origin.Version{v}), nil); err != nil {
		return committed{}, err
	}
	if f.records != nil && !had {
		last, err := f.lastNumber(b)
		if err != nil {
			return committed{}, err
		}
		if err := b.Set(appendNumberKey(nil, f.id, uint64(last+1)), at, nil); err != nil {
			return committed{}, err
		}
	}
	for _, ix := range f.indexes {
		key := ix.AppendKeyOf(nil, ch.data)
		if ix.IsNull(key) {
			continue
		}
		if err := b.Set(appendEntryKey(nil, keyIndex, f.id, ix.number, key, birth, at), nil, nil); err != nil {
			return committed{}, err
		}
	}
	if f.hasOrder() {
		if err := b.Set(appendPhysicalKey(nil, f.id, birth, at), nil, nil); err != nil {
			return committed{}, err
		}
	}
	return committed{addr: at, birth: birth, dot: dot}, nil
}

// provisional reports whether an address was given by tentative and becomes
// another when the transaction commits.
func provisional(addr []byte) bool {
	if len(addr) != 1+record.BirthSize || addr[0] != record.KindBirth {
		return false
	}
	for _, c := range addr[1:9] {
		if c != 0xff {
			return false
		}
	}
	return true
}

// provisionalSpot reports the same of a place in physical order.
func provisionalSpot(s spot) bool {
	if provisional(s) {
		return true
	}
	// With an identity key: birth, then address.
	return len(s) > record.BirthSize && s[0] == 0xff && provisional(append([]byte{record.KindBirth}, s[:record.BirthSize]...))
}
