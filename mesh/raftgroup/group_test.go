package raftgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drmesh/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// list is a state machine that remembers every command.
type list struct {
	mu sync.Mutex
	l  []string
}

func (s *list) Apply(index uint64, cmd []byte) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.l = append(s.l, string(cmd))
	return len(s.l)
}

func (s *list) Snapshot() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []byte(strings.Join(s.l, "\n")), nil
}

func (s *list) Restore(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.l = nil
	if len(b) > 0 {
		s.l = strings.Split(string(b), "\n")
	}
	return nil
}

func (s *list) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.l, " ")
}

// network carries streams between the groups of one test, in memory.
type network struct {
	mu     sync.Mutex
	groups map[origin.Module]*Group
	cut    map[origin.Module]bool
	conns  map[net.Conn][2]origin.Module
}

func newNetwork() *network {
	return &network{groups: map[origin.Module]*Group{}, cut: map[origin.Module]bool{}, conns: map[net.Conn][2]origin.Module{}}
}

func (n *network) dialer(from origin.Module) func(context.Context, origin.Module) (net.Conn, error) {
	return func(_ context.Context, to origin.Module) (net.Conn, error) {
		n.mu.Lock()
		g := n.groups[to]
		if g == nil || n.cut[from] || n.cut[to] {
			n.mu.Unlock()
			return nil, fmt.Errorf("no way from %d to %d", from, to)
		}
		a, b := net.Pipe()
		n.conns[a] = [2]origin.Module{from, to}
		n.mu.Unlock()
		g.Accept(from, b)
		return a, nil
	}
}

// isolate cuts a module off, or joins it again.
func (n *network) isolate(m origin.Module, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[m] = cut
	for c, ends := range n.conns {
		if cut && (ends[0] == m || ends[1] == m) {
			c.Close()
			delete(n.conns, c)
		}
	}
}

var quick = Timing{
	Heartbeat: 150 * time.Millisecond, Election: 150 * time.Millisecond, Lease: 100 * time.Millisecond,
	Commit: 5 * time.Millisecond, RPC: 500 * time.Millisecond, NoQuorum: 600 * time.Millisecond,
	SnapshotInterval: time.Hour, SnapshotThreshold: 1 << 30, TrailingLogs: 2,
}

type member struct {
	*Group
	state *list
}

func (n *network) start(t *testing.T, dir string, m origin.Module, bootstrap bool) *member {
	t.Helper()
	s := &list{}
	g, err := Start(Config{Dir: dir, Self: m, Bootstrap: bootstrap, FSM: s, Dial: n.dialer(m), Timing: quick})
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	n.groups[m] = g
	n.mu.Unlock()
	t.Cleanup(func() { n.stop(m, g) })
	return &member{g, s}
}

func (n *network) stop(m origin.Module, g *Group) {
	n.mu.Lock()
	if n.groups[m] == g {
		delete(n.groups, m)
	}
	n.mu.Unlock()
	g.Shutdown()
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// propose puts cmd into the log by whoever of ms leads.
func propose(ctx context.Context, t *testing.T, cmd string, ms ...*member) uint64 {
	t.Helper()
	for {
		var last error
		for _, m := range ms {
			_, index, err := m.Propose(ctx, []byte(cmd))
			if err == nil {
				return index
			}
			if errors.Is(err, ErrUncertain) {
				t.Fatalf("propose %s: %v", cmd, err)
			}
			last = err
		}
		if ctx.Err() != nil {
			t.Fatalf("propose %s: %v", cmd, last)
		}
	}
}

func three(t *testing.T, start func(m origin.Module, bootstrap bool) *member) []*member {
	t.Helper()
	ctx := timeout(t)
	ms := []*member{start(1, true), start(2, false), start(3, false)}
	if err := ms[0].AddVoter(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if err := ms[0].AddVoter(ctx, 3); err != nil {
		t.Fatal(err)
	}
	return ms
}

func caughtUp(ctx context.Context, t *testing.T, index uint64, want string, ms ...*member) {
	t.Helper()
	for _, m := range ms {
		if err := m.WaitApplied(ctx, index); err != nil {
			t.Fatal(err)
		}
		if got := m.state.String(); got != want {
			t.Errorf("module %d applied %q, want %q", m.cfg.Self, got, want)
		}
	}
}

func TestLeaderIsKilledAndTheRestGoOn(t *testing.T) {
	n, ctx := newNetwork(), timeout(t)
	dirs := []string{"", t.TempDir(), t.TempDir(), t.TempDir()}
	ms := three(t, func(m origin.Module, boot bool) *member { return n.start(t, dirs[m], m, boot) })

	result, index, err := ms[0].Propose(ctx, []byte("a"))
	if err != nil || result != 1 {
		t.Fatalf("got %v, %v, want 1", result, err)
	}
	caughtUp(ctx, t, index, "a", ms...)
	eventually(t, "a follower knows the leader", func() bool {
		m, ok := ms[1].Leader()
		return ok && m == 1
	})
	_, _, err = ms[1].Propose(ctx, []byte("x"))
	if e, ok := errors.AsType[ErrNotLeader](err); !ok || e.Leader != 1 {
		t.Fatalf("follower: got %v, want ErrNotLeader{1}", err)
	}
	l, err := ms[2].Members()
	if want := "[{1 true} {2 true} {3 true}]"; err != nil || fmt.Sprint(l) != want {
		t.Fatalf("members %v, %v, want %s", l, err, want)
	}

	n.stop(1, ms[0].Group)
	index = propose(ctx, t, "b", ms[1], ms[2])
	caughtUp(ctx, t, index, "a b", ms[1:]...)

	ms[0] = n.start(t, dirs[1], 1, true)
	caughtUp(ctx, t, index, "a b", ms...)
}

func TestMinorityHasNoQuorum(t *testing.T) {
	n, ctx := newNetwork(), timeout(t)
	ms := three(t, func(m origin.Module, boot bool) *member { return n.start(t, t.TempDir(), m, boot) })
	index := propose(ctx, t, "a", ms...)
	caughtUp(ctx, t, index, "a", ms...)

	n.isolate(1, true)
	start := time.Now()
	_, _, err := ms[0].Propose(ctx, []byte("lost"))
	if !errors.Is(err, ErrNoQuorum) {
		t.Fatalf("leader alone: got %v, want ErrNoQuorum", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	_, _, err = ms[0].Propose(ctx, []byte("lost"))
	if !errors.Is(err, ErrNoQuorum) || errors.Is(err, ErrUncertain) {
		t.Fatalf("again: got %v, want ErrNoQuorum, and certain", err)
	}
	if err := ms[0].Verify(ctx); !errors.Is(err, ErrNoQuorum) {
		t.Fatalf("verify: got %v, want ErrNoQuorum", err)
	}
	index = propose(ctx, t, "b", ms[1], ms[2])
	n.isolate(1, false)
	caughtUp(ctx, t, index, "a b", ms...)
}

// What was applied is there after a start with nobody in reach.
func TestStateIsBackWithoutQuorum(t *testing.T) {
	n, ctx := newNetwork(), timeout(t)
	dirs := []string{"", t.TempDir(), t.TempDir(), t.TempDir()}
	ms := three(t, func(m origin.Module, boot bool) *member { return n.start(t, dirs[m], m, boot) })
	var want []string
	var index uint64
	for i := range 10 {
		want = append(want, fmt.Sprint("c", i))
		index = propose(ctx, t, want[i], ms...)
		if i == 5 {
			for _, m := range ms {
				if err := m.WaitApplied(ctx, index); err != nil {
					t.Fatal(err)
				}
				if err := m.Snapshot(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	all := strings.Join(want, " ")
	caughtUp(ctx, t, index, all, ms...)
	for i, m := range ms {
		n.stop(origin.Module(i+1), m.Group)
	}
	alone := n.start(t, dirs[2], 2, false)
	if got := alone.state.String(); got != all || alone.Applied() != index {
		t.Fatalf("alone: index %d, %q, want %d, %q", alone.Applied(), got, index, all)
	}
	if _, _, err := alone.Propose(ctx, []byte("x")); !errors.Is(err, ErrNoQuorum) {
		t.Fatalf("alone: got %v, want ErrNoQuorum", err)
	}
	// With company it goes on, and applies nothing twice.
	other := n.start(t, dirs[3], 3, false)
	index = propose(ctx, t, "d", alone, other)
	caughtUp(ctx, t, index, all+" d", alone, other)
}

// A member that was away for longer than the log reaches gets a snapshot.
func TestLateMemberGetsASnapshot(t *testing.T) {
	n, ctx := newNetwork(), timeout(t)
	m1 := n.start(t, t.TempDir(), 1, true)
	var want []string
	var index uint64
	for i := range 20 {
		want = append(want, fmt.Sprint("c", i))
		index = propose(ctx, t, want[i], m1)
	}
	if err := m1.Snapshot(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m2 := n.start(t, dir, 2, false)
	if err := m1.AddNonvoter(ctx, 2); err != nil {
		t.Fatal(err)
	}
	caughtUp(ctx, t, index, strings.Join(want, " "), m2)
	l, _ := m1.Members()
	if fmt.Sprint(l) != "[{1 true} {2 false}]" {
		t.Errorf("members %v", l)
	}
	n.stop(2, m2.Group)
	m2 = n.start(t, dir, 2, false)
	if got := m2.state.String(); got != strings.Join(want, " ") {
		t.Errorf("after a restart: %q", got)
	}
	if err := m1.Remove(ctx, 2); err != nil {
		t.Fatal(err)
	}
	l, _ = m1.Members()
	if fmt.Sprint(l) != "[{1 true}]" {
		t.Errorf("members after removal %v", l)
	}
	if err := m1.Barrier(ctx); err != nil {
		t.Error(err)
	}
}

func TestAppliedFileSurvivesATornWrite(t *testing.T) {
	path := t.TempDir() + "/applied"
	a, err := openApplied(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(5) {
		if err := a.set(10 + i); err != nil {
			t.Fatal(err)
		}
	}
	torn := (1 - a.next) * appliedSlot // the slot of 14
	if _, err := a.f.WriteAt([]byte{0xff, 0xff, 0xff}, torn); err != nil {
		t.Fatal(err)
	}
	a.close()
	if a, err = openApplied(path); err != nil || a.index != 13 {
		t.Fatalf("got %d, %v, want 13", a.index, err)
	}
	a.close()
}

func TestSnapshotThatLiesAboutItsSize(t *testing.T) {
	m := newMachine(&list{}, nil, nil)
	for _, b := range []string{"", "drmesh control 1", "something else 123456789012345678",
		"drmesh control 1\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff",
		"drmesh control 1\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x0f\xff\xff\xffabc"} {
		if err := m.Restore(nopCloser{bytes.NewReader([]byte(b))}); err == nil {
			t.Errorf("took %q", b)
		}
	}
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

func TestDirectoryInUseIsRefused(t *testing.T) {
	n, dir := newNetwork(), t.TempDir()
	n.start(t, dir, 1, true)
	_, err := Start(Config{Dir: dir, Self: 1, FSM: &list{}, Dial: n.dialer(1), Timing: quick})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("got %v, want that it is in use", err)
	}
}

// TestRecoverAlone: of three two are gone for good. The third makes a group of
// itself alone, with all that it knew, and a second time does no harm; then it
// takes in others that begin empty.
func TestRecoverAlone(t *testing.T) {
	n, ctx := newNetwork(), timeout(t)
	dirs := map[origin.Module]string{}
	ms := three(t, func(m origin.Module, bootstrap bool) *member {
		dirs[m] = t.TempDir()
		return n.start(t, dirs[m], m, bootstrap)
	})
	caughtUp(ctx, t, propose(ctx, t, "b", ms...), "b", ms...)
	for i, m := range ms {
		n.stop(origin.Module(i+1), m.Group)
	}
	recovered := func() *member {
		s := &list{}
		g, err := Start(Config{Dir: dirs[3], Self: 3, Recover: true, FSM: s, Dial: n.dialer(3), Timing: quick})
		if err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		n.groups[3] = g
		n.mu.Unlock()
		t.Cleanup(func() { n.stop(3, g) })
		return &member{g, s}
	}
	three := recovered()
	caughtUp(ctx, t, propose(ctx, t, "c", three), "b c", three)
	n.stop(3, three.Group)
	three = recovered()
	caughtUp(ctx, t, propose(ctx, t, "d", three), "b c d", three)
	if l, err := three.Members(); err != nil || len(l) != 1 || !l[0].Voter {
		t.Errorf("members: %v, %v", l, err)
	}
	n.stop(3, three.Group)
	three = n.start(t, dirs[3], 3, false)
	caughtUp(ctx, t, propose(ctx, t, "e", three), "b c d e", three)
	four := n.start(t, t.TempDir(), 4, false)
	if err := three.AddVoter(ctx, 4); err != nil {
		t.Fatal(err)
	}
	caughtUp(ctx, t, propose(ctx, t, "f", three, four), "b c d e f", three, four)
}

// TestRecoverOfNothing begins a group.
func TestRecoverOfNothing(t *testing.T) {
	n, ctx := newNetwork(), timeout(t)
	s := &list{}
	g, err := Start(Config{Dir: t.TempDir(), Self: 1, Recover: true, FSM: s, Dial: n.dialer(1), Timing: quick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.stop(1, g) })
	m := &member{g, s}
	caughtUp(ctx, t, propose(ctx, t, "a", m), "a", m)
}
