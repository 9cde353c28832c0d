package mesh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// SnapshotServer gives what a joining module asks for, chunk by chunk. emit
// must not keep the chunk; its error ends the snapshot. What the server itself
// fails with is told to the one who asked.
type SnapshotServer func(ctx context.Context, from origin.Module, req []byte, emit func(chunk []byte) error) error

const (
	// maxChunk bounds one chunk of a snapshot.
	maxChunk = 64 << 20
	// maxSnapshots bounds how many are served at a time: each holds on to a
	// moment of the database.
	maxSnapshots = 4
	// Between two chunks the donor reads its disk, and the other writes his.
	snapshotPause = 2 * time.Minute
	// failed stands for the length of a chunk: the donor's error follows.
	failed = 1<<32 - 1
)

// HandleSnapshot sets who serves snapshots.
func (m *Mesh) HandleSnapshot(fn SnapshotServer) {
	m.mu.Lock()
	m.snapshot = fn
	m.mu.Unlock()
}

// A snapshot stream carries the request as one message, then chunks as
// length(4), CRC-32C(4), bytes. A chunk of length 0 ends it; without it the
// snapshot is not whole. Length 0xffffffff says that the donor failed; its
// CRC is 0, and a message follows: why.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrIncomplete says that a snapshot broke off.
var ErrIncomplete = errors.New("snapshot broke off before its end")

// FetchSnapshot asks a module for a snapshot and takes its chunks in order;
// take may keep the chunk. nil: it was whole.
func (m *Mesh) FetchSnapshot(ctx context.Context, peer origin.Module, req []byte, take func(chunk []byte) error) error {
	stream, err := m.cfg.Network.Open(ctx, peer, quicnet.Snapshot)
	if err != nil {
		return err
	}
	defer reset(stream)
	defer context.AfterFunc(ctx, func() { reset(stream) })()
	conn := &paced{Conn: stream, idle: snapshotPause, stuck: snapshotPause}
	broken := func(err error) error {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("snapshot from module %d: %w: %w", peer, ErrIncomplete, err)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(req)))
	if _, err := conn.Write(append(b, req...)); err != nil {
		return broken(err)
	}
	for {
		var head [8]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return broken(err)
		}
		n := binary.BigEndian.Uint32(head[:])
		switch {
		case n == 0:
			return nil
		case n == failed:
			text, err := readMessage(conn)
			if err != nil {
				return broken(err)
			}
			return fmt.Errorf("snapshot: %w", &RemoteError{Peer: peer, Name: "snapshot", Text: string(text)})
		case n > maxChunk:
			return fmt.Errorf("snapshot from module %d: chunk of %d bytes", peer, n)
		}
		// Memory follows what arrives.
		chunk, err := io.ReadAll(io.LimitReader(conn, int64(n)))
		if err == nil && uint32(len(chunk)) != n {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return broken(err)
		}
		if crc32.Checksum(chunk, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
			return fmt.Errorf("snapshot from module %d: damaged chunk", peer)
		}
		if err := take(chunk); err != nil {
			return err
		}
	}
}

func (m *Mesh) serveSnapshot(ctx context.Context, peer origin.Module, stream net.Conn) {
	whole := false
	defer func() {
		if whole {
			stream.Close() // what was written still arrives
		} else {
			reset(stream)
		}
	}()
	defer context.AfterFunc(ctx, func() { reset(stream) })()
	conn := &paced{Conn: stream, idle: greeting, stuck: snapshotPause}
	req, err := readMessage(conn)
	if err != nil {
		return
	}
	m.mu.Lock()
	fn := m.snapshot
	m.snapshots++
	busy := m.snapshots > maxSnapshots
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.snapshots--
		m.mu.Unlock()
	}()
	var b []byte
	send := func(chunk []byte) error {
		b = binary.BigEndian.AppendUint32(b[:0], uint32(len(chunk)))
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(chunk, castagnoli))
		b = append(b, chunk...)
		_, err := conn.Write(b)
		return err
	}
	lost := false // the other side is gone
	switch {
	case fn == nil:
		err = errors.New("this module gives no snapshots")
	case busy:
		err = fmt.Errorf("%d snapshots are being served already", maxSnapshots)
	default:
		err = fn(ctx, peer, req, func(chunk []byte) error {
			if len(chunk) > maxChunk {
				return fmt.Errorf("chunk of %d bytes, %d are allowed", len(chunk), maxChunk)
			}
			if len(chunk) == 0 {
				return nil
			}
			err := send(chunk)
			lost = lost || err != nil
			return err
		})
	}
	switch {
	case err == nil:
		whole = send(nil) == nil
	case lost || ctx.Err() != nil:
		m.cfg.Logger.Warn("a snapshot broke off", "to", peer, "err", err)
	default:
		m.cfg.Logger.Warn("a snapshot was refused or failed", "to", peer, "err", err)
		text := err.Error()
		text = text[:min(len(text), 4096)]
		b = binary.BigEndian.AppendUint32(b[:0], failed)
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		_, err := conn.Write(append(b, text...))
		whole = err == nil
	}
}
