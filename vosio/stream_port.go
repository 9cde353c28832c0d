package vosio

import (
	"bytes"
	"context"
	"fmt"

	"drmesh/vosio/call"
	"drmesh/vosio/lock"
)

// The calls on stream files. A port has a byte position; a line ends with a
// newline, which s$seq_read takes off and s$seq_write adds. What is added goes
// to the end, but for s$write_raw right after s$seq_position on a port opened
// UPDATE, which writes there.

// streamCalls are the calls with a port that go with stream files.
var streamCalls = map[string]bool{
	"s$seq_read": true, "s$seq_position": true, "s$seq_position_read": true, "s$read_raw": true,
	"s$seq_write": true, "s$seq_write_unlock": true, "s$seq_write_partial": true, "s$write_raw": true, "s$truncate_open_file": true,
	"s$lock_file": true, "s$unlock_file": true, "s$lock_region": true, "s$unlock_records": true,
}

// streamAllows refuses a call that does not go with the stream file that its
// port is open on.
func (p *Process) streamAllows(e *call.Entry, q *call.Request) error {
	x := p.portOf(q.Port)
	if x == nil || !x.isOpen || !x.stream || e.Class == call.Control || e.Class == call.Transaction || streamCalls[e.Name] {
		return nil
	}
	return fmt.Errorf("%s on %s, a stream file: %w", e.Name, x.path, call.InvalidFileType)
}

// lineRoom is how much of a line is read at a time.
const lineRoom = 4096

// streamLine reads the line at a port's position.
func (p *Process) streamLine(x *port, f *file, q *call.Request, r *call.Reply) error {
	if err := p.mayTouch(x, f, lock.Shared); err != nil {
		return err
	}
	snap := p.e.db.NewSnapshot()
	defer snap.Close()
	var line []byte // as much as goes into a buffer
	var buf [lineRoom]byte
	at, length, ended := x.pos, 0, false
	for !ended {
		n, err := p.e.readStream(snap, f, at, buf[:])
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		piece := buf[:n]
		if i := bytes.IndexByte(piece, '\n'); i >= 0 {
			piece, ended = piece[:i], true
			at++
		}
		at += int64(len(piece))
		length += len(piece)
		line = append(line, piece[:min(len(piece), max(0, maxRecord-len(line)))]...)
	}
	if length == 0 && !ended {
		return fmt.Errorf("read %s: %w", x.path, call.EndOfFile)
	}
	if err := p.regionBytes(x, f, x.pos, at, lock.Shared); err != nil {
		return err
	}
	x.pos, x.positioned = at, false
	limit := maxRecord
	if q.Max > 0 {
		limit = min(limit, q.Max)
	}
	r.Length, r.Data = length, line
	if r.Data == nil {
		r.Data = []byte{}
	}
	if length > limit {
		r.Data = r.Data[:limit]
		return fmt.Errorf("line of %d bytes, buffer of %d: %w", length, limit, call.LongRecord)
	}
	return nil
}

// readRaw reads the next bytes of a stream file as they are.
func (p *Process) readRaw(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.toRead(q.Port)
	if err != nil {
		return err
	}
	if !f.stream() {
		return p.seqRead(ctx, q, r)
	}
	if err := p.mayTouch(x, f, lock.Shared); err != nil {
		return err
	}
	n := maxRecord
	if q.Max > 0 {
		n = min(n, q.Max)
	}
	snap := p.e.db.NewSnapshot()
	defer snap.Close()
	buf := make([]byte, n)
	if n, err = p.e.readStream(snap, f, x.pos, buf); err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("read %s: %w", x.path, call.EndOfFile)
	}
	if err := p.regionBytes(x, f, x.pos, x.pos+int64(n), lock.Shared); err != nil {
		return err
	}
	x.pos, x.positioned = x.pos+int64(n), false
	r.Data, r.Length = buf[:n], n
	return nil
}

// moveBytes carries out s$seq_position on a stream file: by bytes.
func (p *Process) moveBytes(x *port, f *file, typ int, count int64) error {
	snap := p.e.db.NewSnapshot()
	defer snap.Close()
	size, _, err := streamSize(snap, f)
	if err != nil {
		return err
	}
	to := x.pos
	switch typ {
	case call.PosBeginning:
		to = 0
	case call.PosEnd:
		to = size
	case call.PosForward:
		to += count
	case call.PosBackward:
		to -= count
	default:
		return fmt.Errorf("position %s: type %d: %w", x.path, typ, call.InvalidControl)
	}
	switch {
	case count > maxStream64 || count < -maxStream64:
		return fmt.Errorf("position %s by %d bytes: %w", x.path, count, call.InvalidControl)
	case to < 0:
		return fmt.Errorf("position %s: %w", x.path, call.BeginningOfFile)
	case to > size:
		return fmt.Errorf("position %s to %d of %d bytes: %w", x.path, to, size, call.EndOfFile)
	}
	x.pos, x.positioned = to, true
	return nil
}

// appendBytes adds bytes to the end of a stream file; what comes next at the
// port is the end.
func (p *Process) appendBytes(ctx context.Context, x *port, f *file, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	size := f.stat.bytes.Load()
	if size+int64(len(data)) > f.longest() {
		return fmt.Errorf("write %s, of %d bytes: %w", x.path, size, call.DiskFull)
	}
	if err := p.regionBytes(x, f, size, size+int64(len(data)), lock.Exclusive); err != nil {
		return err
	}
	if _, err := p.write(ctx, x, f, change{kind: insert, data: data}); err != nil {
		return err
	}
	x.pos, x.positioned = f.stat.bytes.Load(), false
	return nil
}

// writeRaw writes bytes as they are.
func (p *Process) writeRaw(ctx context.Context, q *call.Request, r *call.Reply) error {
	x, f, err := p.toWrite(q.Port)
	if err != nil {
		return err
	}
	if !f.stream() {
		return p.seqWrite(ctx, q, r)
	}
	if len(q.Data) > maxRecord {
		return fmt.Errorf("write %s: %d bytes, at most %d at a time: %w", x.path, len(q.Data), maxRecord, call.RecordTooLong)
	}
	if x.io != call.Update || !x.positioned || x.pos >= f.stat.bytes.Load() {
		positioned := x.positioned
		if err := p.appendBytes(ctx, x, f, q.Data); err != nil {
			return err
		}
		x.positioned = positioned
		return nil
	}
	if len(q.Data) == 0 {
		return nil
	}
	if err := p.overwrite(ctx, x, f, x.pos, q.Data, false); err != nil {
		return err
	}
	x.pos += int64(len(q.Data))
	return nil
}

// overwrite changes a stream file otherwise than at its end.
func (p *Process) overwrite(ctx context.Context, x *port, f *file, off int64, data []byte, cut bool) error {
	if err := p.mayTouch(x, f, lock.Exclusive); err != nil {
		return err
	}
	if err := p.e.forbidFileOf(f, p.name); err != nil {
		return err
	}
	end := off + int64(len(data))
	if cut {
		end = max(f.stat.bytes.Load(), end)
	}
	if err := p.regionBytes(x, f, off, end, lock.Exclusive); err != nil {
		return err
	}
	return p.e.on(ctx, p.name, x.path, func(t *tx, _ *place) error {
		g, err := t.current(f)
		if err != nil {
			return err
		}
		return t.overwrite(g, off, data, cut)
	})
}

// truncateStream cuts a stream file at a port's position.
func (p *Process) truncateStream(ctx context.Context, x *port, f *file) error {
	if x.pos == 0 {
		if err := p.e.truncateFile(ctx, p.name, x.path); err != nil {
			return err
		}
	} else if x.pos < f.stat.bytes.Load() {
		if err := p.overwrite(ctx, x, f, x.pos, nil, true); err != nil {
			return err
		}
	}
	x.positioned = false
	return nil
}

// regionBytes refuses I/O on bytes that lie in another port's region, where
// regions are enforced.
func (p *Process) regionBytes(x *port, f *file, from, to int64, m lock.Mode) error {
	if f.attribute(attrRegions) != "1" || x.io == call.DirtyInput || from >= to {
		return nil
	}
	p.e.locks.mu.Lock()
	defer p.e.locks.mu.Unlock()
	if !p.e.locks.regions.Free(x.owner, fileObject(f.id), uint64(from), uint64(to), m) {
		return fmt.Errorf("%s, bytes %d to %d: %w", x.path, from, to, call.RegionInUse)
	}
	return nil
}
