package raftgroup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// maxSnapshot bounds a snapshot that is read, from disk or from a peer.
const maxSnapshot = 256 << 20

// machine stands between raft and the FSM: it knows what is applied, leaves
// out what already was, and makes that known.
type machine struct {
	fsm FSM
	rec *applied
	log *slog.Logger

	mu      sync.Mutex
	index   uint64        // last command applied
	changed chan struct{} // closed and replaced when index rises
}

func newMachine(fsm FSM, rec *applied, log *slog.Logger) *machine {
	return &machine{fsm: fsm, rec: rec, log: log, changed: make(chan struct{})}
}

func (m *machine) applied() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index
}

func (m *machine) advance(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if index > m.index {
		m.index = index
		close(m.changed)
		m.changed = make(chan struct{})
	}
}

func (m *machine) wait(ctx context.Context, done <-chan struct{}, index uint64) error {
	for {
		m.mu.Lock()
		at, changed := m.index, m.changed
		m.mu.Unlock()
		if at >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for control index %d, here is %d: %w", index, at, ctx.Err())
		case <-done:
			return ErrShutdown
		}
	}
}

// recover brings the state machine to where it was: the latest snapshot, then
// the log up to the recorded index. Raft will offer the same entries again,
// and apply leaves them out.
func (m *machine) recover(snaps raft.SnapshotStore, logs *wal.WAL) error {
	list, err := snaps.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	from := uint64(0)
	if len(list) > 0 {
		// Only the newest: raft takes its index from it, too, and the log
		// need not reach back to an older one.
		_, r, err := snaps.Open(list[0].ID)
		if err != nil {
			return fmt.Errorf("open snapshot %s: %w", list[0].ID, err)
		}
		if err := m.Restore(r); err != nil {
			return fmt.Errorf("snapshot %s: %w", list[0].ID, err)
		}
		from = list[0].Index
	}
	last, err := logs.LastIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	for i := from + 1; i <= min(m.rec.index, last); i++ {
		var l raft.Log
		if err := logs.GetLog(i, &l); err != nil {
			return fmt.Errorf("read log entry %d: %w", i, err)
		}
		m.apply(&l)
	}
	return nil
}

// Apply implements raft.FSM; raft calls ApplyBatch instead.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. What it applied is on disk as applied
// before any of it is answered or waited for.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	last := uint64(0)
	for i, l := range logs {
		r, ok := m.applyQuietly(l)
		if ok {
			results[i], last = r, l.Index
		}
	}
	if last > 0 {
		if err := m.rec.set(last); err != nil {
			// Only a restart without quorum misses it; the log has it.
			m.log.Error("record applied control index", "index", last, "error", err)
		}
		m.advance(last)
	}
	return results
}

func (m *machine) apply(l *raft.Log) {
	if _, ok := m.applyQuietly(l); ok {
		m.advance(l.Index)
	}
}

func (m *machine) applyQuietly(l *raft.Log) (any, bool) {
	if l.Type != raft.LogCommand || l.Index <= m.applied() {
		return nil, false
	}
	if len(l.Data) == 0 || l.Data[0] != commandPlain {
		// A newer version's: to skip it would let states differ, so it is
		// the state machine's to refuse, as an empty command.
		return m.fsm.Apply(l.Index, nil), true
	}
	return m.fsm.Apply(l.Index, l.Data[1:]), true
}

// The head of a snapshot: what it is, and the last command in it.
const snapshotMagic = "drmesh control 1"

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	state, err := m.fsm.Snapshot()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(snapshotMagic)+16+len(state))
	b = append(b, snapshotMagic...)
	b = binary.BigEndian.AppendUint64(b, m.applied())
	b = binary.BigEndian.AppendUint64(b, uint64(len(state)))
	return snapshot(append(b, state...)), nil
}

// Restore implements raft.FSM.
func (m *machine) Restore(r io.ReadCloser) error {
	defer r.Close()
	var head [len(snapshotMagic) + 16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return errors.New("not a snapshot of the control state")
	}
	index := binary.BigEndian.Uint64(head[len(snapshotMagic):])
	size := binary.BigEndian.Uint64(head[len(snapshotMagic)+8:])
	if size > maxSnapshot {
		return fmt.Errorf("snapshot of %d bytes, %d are allowed", size, maxSnapshot)
	}
	// Grown as it comes: the length is only believed as far as bytes follow.
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(size)); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if err := m.fsm.Restore(b.Bytes()); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	// Exactly this index, even if it were lower: what follows must be applied
	// to the state that there now is.
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index = index
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

func (m *machine) close() error { return m.rec.close() }

type snapshot []byte

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s snapshot) Release() {}

// applied is the file that keeps the last applied index: two slots of an index
// and a checksum, written in turn, so that a torn write leaves the one before.
// Its lock says that the group's directory is in use.
type applied struct {
	f     *os.File
	index uint64
	next  int64 // slot to write
}

const appliedSlot = 16

func openApplied(path string) (*applied, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another process: %w", path, err)
	}
	a := &applied{f: f}
	for slot := range int64(2) {
		var b [appliedSlot]byte
		if _, err := f.ReadAt(b[:], slot*appliedSlot); err != nil {
			if err == io.EOF {
				continue
			}
			f.Close()
			return nil, fmt.Errorf("read applied index: %w", err)
		}
		index := binary.BigEndian.Uint64(b[:])
		if binary.BigEndian.Uint32(b[8:]) == crc32.ChecksumIEEE(b[:8]) && index >= a.index {
			a.index, a.next = index, 1-slot
		}
	}
	return a, nil
}

func (a *applied) set(index uint64) error {
	var b [appliedSlot]byte
	binary.BigEndian.PutUint64(b[:], index)
	binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	if _, err := a.f.WriteAt(b[:], a.next*appliedSlot); err != nil {
		return err
	}
	if err := a.f.Sync(); err != nil {
		return err
	}
	a.index, a.next = index, 1-a.next
	return nil
}

func (a *applied) close() error { return a.f.Close() }

func sortMembers(l []Member) {
	slices.SortFunc(l, func(a, b Member) int { return int(a.Module) - int(b.Module) })
}
