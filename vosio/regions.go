package vosio

import (
	"context"
	"fmt"

	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/record"
)

// Region locks are of ranges of record numbers, of stream files of bytes, and a port's until it frees
// them or closes. They bind ports that use them; after s$enforce_region_locks on
// a file of numbered records they also keep other ports' I/O out. Nobody waits
// for one.

// maxRegions bounds the regions of one port.
const maxRegions = 4096

func (p *Process) lockRegion(_ context.Context, q *call.Request, _ *call.Reply) error {
	x, f, err := p.opened(q.Port)
	if err != nil {
		return err
	}
	switch {
	case q.Number < 0 || q.Number < 1 && !f.stream():
		return fmt.Errorf("lock %s from %d: %w", x.path, q.Number, call.InvalidRecordNumber)
	case q.Count < 0 || q.Lock < call.Unlock || q.Lock > call.WriteLock:
		return fmt.Errorf("lock %s: length %d, type %d: %w", x.path, q.Count, q.Lock, call.InvalidControl)
	}
	from, to := uint64(q.Number), lock.Infinity
	if q.Count > 0 {
		to = from + uint64(q.Count)
	}
	l := &p.e.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	object := fileObject(f.id)
	switch {
	case q.Lock == call.Unlock:
		l.regions.Unlock(x.owner, object, from, to)
	case l.regions.Count(x.owner, object) >= maxRegions:
		return fmt.Errorf("lock %s: more than %d regions: %w", x.path, maxRegions, call.NoAlloc)
	case !l.regions.Lock(x.owner, object, from, to, lockMode(q.Lock)):
		busy := call.RegionInUse
		if q.NoWait {
			busy = call.CallerMustWait
		}
		return fmt.Errorf("lock %s from %d: %w", x.path, q.Number, busy)
	}
	return nil
}

// lockMode is the mode that a lock type asks for; 0: none.
func lockMode(typ int) lock.Mode {
	switch typ {
	case call.ReadLock:
		return lock.Shared
	case call.WriteLock:
		return lock.Exclusive
	}
	return 0
}

func (p *Process) enforceRegionLocks(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	f, err := p.e.file(full)
	if err != nil {
		return err
	}
	if !f.numbered() && !f.stream() {
		return fmt.Errorf("enforce_region_locks %s: its records have no numbers: %w", full, call.InvalidFileType)
	}
	return p.setSwitch(ctx, q, attrRegions, false)
}

// regionFree refuses I/O on a record that lies in another port's region, where
// regions are enforced. A new record without an address gets the next number.
func (p *Process) regionFree(x *port, f *file, addr []byte, m lock.Mode) error {
	if f.attribute(attrRegions) != "1" || !f.numbered() || x.io == call.DirtyInput {
		return nil
	}
	n, ok := record.Number(addr)
	if !ok {
		last, err := highestNumber(p.view(f), f.id)
		if err != nil {
			return err
		}
		n = uint64(last + 1)
	}
	p.e.locks.mu.Lock()
	defer p.e.locks.mu.Unlock()
	if !p.e.locks.regions.Free(x.owner, fileObject(f.id), n, n+1, m) {
		return fmt.Errorf("%s, record %d: %w", x.path, n, call.RegionInUse)
	}
	return nil
}
