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
	"drmesh/origin/entry"
)

// headStream reads which stream a head is of.
func headStream(b []byte) (origin.Stream, bool) {
	h, err := entry.DecodeHead(b)
	return h.Stream, err == nil
}

// RPCHandler answers one question of another module.
type RPCHandler func(ctx context.Context, from origin.Module, req []byte) ([]byte, error)

// MaxRPC bounds a question, and an answer.
const MaxRPC = 8 << 20

// An RPC stream carries one message each way: length(4), then for the
// question name length(1), name, body; for the answer status(1), body.

// HandleRPC sets who answers a question. Set handlers before Run.
func (m *Mesh) HandleRPC(name string, fn RPCHandler) {
	m.mu.Lock()
	m.rpcs[name] = fn
	m.mu.Unlock()
}

// Call asks another module, and waits for its answer until ctx ends.
func (m *Mesh) Call(ctx context.Context, peer origin.Module, name string, req []byte) ([]byte, error) {
	conn, err := m.cfg.Network.Open(ctx, peer, quicnet.RPC)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b := append(make([]byte, 4, 5+len(name)+len(req)), byte(len(name)))
	b = append(append(b, name...), req...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := conn.Write(b); err != nil {
		return nil, fmt.Errorf("ask module %d for %s: %w", peer, name, err)
	}
	r, err := readMessage(conn)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("ask module %d for %s: %w", peer, name, err)
	}
	if len(r) < 1 {
		return nil, fmt.Errorf("ask module %d for %s: empty answer", peer, name)
	}
	if r[0] != 0 {
		return nil, &RemoteError{Peer: peer, Name: name, Text: string(r[1:])}
	}
	return r[1:], nil
}

// RemoteError is what the asked module said went wrong there.
type RemoteError struct {
	Peer       origin.Module
	Name, Text string
}

func (e *RemoteError) Error() string { return fmt.Sprintf("module %d, %s: %s", e.Peer, e.Name, e.Text) }

func readMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxRPC {
		return nil, fmt.Errorf("message of %d bytes, %d are allowed", n, MaxRPC)
	}
	// Memory follows what arrives.
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && uint32(len(b)) != n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

func (m *Mesh) serveRPC(ctx context.Context, peer origin.Module, conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	q, err := readMessage(conn)
	if err != nil || len(q) < 1 || len(q) < 1+int(q[0]) {
		return
	}
	name, req := string(q[1:1+q[0]]), q[1+q[0]:]
	m.mu.Lock()
	fn := m.rpcs[name]
	m.mu.Unlock()
	b := make([]byte, 5)
	ctx, cancel := context.WithTimeout(ctx, 25*time.Second)
	defer cancel()
	switch {
	case fn == nil:
		b[4] = 1
		b = append(b, "this module does not answer that"...)
	default:
		r, err := fn(ctx, peer, req)
		if err != nil {
			b[4] = 1
			b = append(b, err.Error()...)
		} else {
			b = append(b, r...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	conn.Write(b)
}

// SnapshotServer gives what a joining module asks for, chunk by chunk. emit
// must not keep the chunk; its error ends the snapshot.
type SnapshotServer func(ctx context.Context, from origin.Module, req []byte, emit func(chunk []byte) error) error

// maxChunk bounds one chunk of a snapshot.
const maxChunk = 64 << 20

// HandleSnapshot sets who serves snapshots. Set it before Run.
func (m *Mesh) HandleSnapshot(fn SnapshotServer) {
	m.mu.Lock()
	m.snapshot = fn
	m.mu.Unlock()
}

// A snapshot stream carries the request as one message, then chunks as
// length(4), CRC-32C(4), bytes. A chunk of length 0 ends it; without it the
// snapshot is not whole.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrIncomplete says that a snapshot broke off.
var ErrIncomplete = errors.New("snapshot broke off before its end")

// FetchSnapshot asks a module for a snapshot and takes its chunks in order;
// take may keep the chunk.
func (m *Mesh) FetchSnapshot(ctx context.Context, peer origin.Module, req []byte, take func(chunk []byte) error) error {
	conn, err := m.cfg.Network.Open(ctx, peer, quicnet.Snapshot)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(req)))
	if _, err := conn.Write(append(b, req...)); err != nil {
		return err
	}
	for {
		var head [8]byte
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return fmt.Errorf("snapshot from module %d: %w: %w", peer, ErrIncomplete, err)
		}
		n := binary.BigEndian.Uint32(head[:])
		if n == 0 {
			return nil
		}
		if n > maxChunk {
			return fmt.Errorf("snapshot from module %d: chunk of %d bytes", peer, n)
		}
		chunk, err := io.ReadAll(io.LimitReader(conn, int64(n)))
		if err != nil || uint32(len(chunk)) != n {
			return fmt.Errorf("snapshot from module %d: %w: %v", peer, ErrIncomplete, err)
		}
		if crc32.Checksum(chunk, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
			return fmt.Errorf("snapshot from module %d: damaged chunk", peer)
		}
		if err := take(chunk); err != nil {
			return err
		}
	}
}

func (m *Mesh) serveSnapshot(ctx context.Context, peer origin.Module, conn net.Conn) {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	req, err := readMessage(conn)
	m.mu.Lock()
	fn := m.snapshot
	m.mu.Unlock()
	if err != nil || fn == nil {
		return
	}
	var b []byte
	send := func(chunk []byte) error {
		b = binary.BigEndian.AppendUint32(b[:0], uint32(len(chunk)))
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(chunk, castagnoli))
		b = append(b, chunk...)
		conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
		_, err := conn.Write(b)
		return err
	}
	if err := fn(ctx, peer, req, func(chunk []byte) error {
		if len(chunk) == 0 {
			return nil
		}
		return send(chunk)
	}); err != nil {
		m.cfg.Logger.Warn("a snapshot broke off", "to", peer, "err", err)
		return
	}
	send(nil)
}
