package mesh

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// RPCHandler answers one question of another module. It must end soon after
// ctx does.
type RPCHandler func(ctx context.Context, from origin.Module, req []byte) ([]byte, error)

const (
	// MaxRPC bounds a question, and an answer.
	MaxRPC = 8 << 20
	// maxQuestions bounds how many of one module's are answered at a time.
	maxQuestions = 64
	// An answer takes at most so long; the asker waits a little longer.
	maxAnswer = 30 * time.Second
)

// An RPC stream carries one message each way: length(4), then for the
// question name length(1), name, body; for the answer status(1), body. Status
// 0 is an answer, 1 an error, whose text follows.

// HandleRPC sets who answers a question.
func (m *Mesh) HandleRPC(name string, fn RPCHandler) {
	m.mu.Lock()
	m.rpcs[name] = fn
	m.mu.Unlock()
}

// Call asks another module, and waits for its answer until ctx ends, 40 s at
// most. What the other said went wrong is a RemoteError.
func (m *Mesh) Call(ctx context.Context, peer origin.Module, name string, req []byte) ([]byte, error) {
	r, err := m.call(ctx, peer, name, req)
	if err != nil {
		return nil, fmt.Errorf("ask module %d for %s: %w", peer, name, err)
	}
	if r[0] != 0 {
		return nil, &RemoteError{Peer: peer, Name: name, Text: string(r[1:])}
	}
	return r[1:], nil
}

func (m *Mesh) call(ctx context.Context, peer origin.Module, name string, req []byte) ([]byte, error) {
	if len(name) > 255 || 1+len(name)+len(req) > MaxRPC {
		return nil, fmt.Errorf("question of %d bytes, %d are allowed", len(req), MaxRPC-1-len(name))
	}
	ctx, cancel := context.WithTimeout(ctx, maxAnswer+10*time.Second)
	defer cancel()
	conn, err := m.cfg.Network.Open(ctx, peer, quicnet.RPC)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	b := append(make([]byte, 4, 5+len(name)+len(req)), byte(len(name)))
	b = append(append(b, name...), req...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	var r []byte
	if _, err = conn.Write(b); err == nil {
		r, err = readMessage(conn)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case len(r) < 1:
		return nil, fmt.Errorf("empty answer")
	}
	return r, nil
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
	ctx, cancel := context.WithTimeout(ctx, maxAnswer-5*time.Second)
	defer cancel()
	conn.SetDeadline(time.Now().Add(maxAnswer))
	m.mu.Lock()
	m.questions[peer]++
	busy := m.questions[peer] > maxQuestions
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		if m.questions[peer]--; m.questions[peer] == 0 {
			delete(m.questions, peer)
		}
		m.mu.Unlock()
	}()
	var r []byte
	err := fmt.Errorf("%d questions of yours are being answered already", maxQuestions)
	if !busy {
		var q []byte
		if q, err = readMessage(conn); err != nil || len(q) < 1 || len(q) < 1+int(q[0]) {
			return
		}
		name := string(q[1 : 1+q[0]])
		m.mu.Lock()
		fn := m.rpcs[name]
		m.mu.Unlock()
		if fn == nil {
			err = fmt.Errorf("this module does not answer that")
		} else if r, err = fn(ctx, peer, q[1+len(name):]); err == nil && len(r) >= MaxRPC {
			err = fmt.Errorf("the answer has %d bytes, %d are allowed", len(r), MaxRPC-1)
		}
	}
	b := make([]byte, 5, 5+len(r))
	if err != nil {
		b[4] = 1
		text := err.Error()
		b = append(b, text[:min(len(text), 4096)]...)
	} else {
		b = append(b, r...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	conn.Write(b)
}
