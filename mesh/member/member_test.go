package member

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drmesh/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire joins the members of one test.
type wire struct {
	mu      sync.Mutex
	members map[origin.Module]*Members
	cut     map[origin.Module]bool
}

func (w *wire) to(from, m origin.Module) *Members {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut[from] || w.cut[m] {
		return nil
	}
	return w.members[m]
}

// end is one module's side of the wire.
type end struct {
	w    *wire
	self origin.Module
}

func (e end) SendDatagram(m origin.Module, b []byte) error {
	to := e.w.to(e.self, m)
	if to == nil {
		return fmt.Errorf("module %d is not connected", m)
	}
	to.Datagram(e.self, slices.Clone(b))
	return nil
}

func (e end) OpenStream(_ context.Context, m origin.Module) (net.Conn, error) {
	to := e.w.to(e.self, m)
	if to == nil {
		return nil, fmt.Errorf("module %d is not connected", m)
	}
	a, b := net.Pipe()
	to.Stream(e.self, b)
	return a, nil
}

var quick = Timing{Probe: 50 * time.Millisecond, Timeout: 20 * time.Millisecond, Gossip: 10 * time.Millisecond,
	PushPull: 200 * time.Millisecond, Rejoin: 50 * time.Millisecond, Suspect: 2}

// notes is what callbacks of one member said.
type notes struct {
	mu        sync.Mutex
	last      map[origin.Module]Event
	conflicts map[origin.Module]int
}

func (n *notes) state(m origin.Module) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.last[m]
	return fmt.Sprintf("%v %d %s", e.State, e.Meta.Control, e.Meta.Digest)
}

func (w *wire) start(t *testing.T, m origin.Module, instance uint64, peers ...origin.Module) (*Members, *notes) {
	t.Helper()
	n := &notes{last: map[origin.Module]Event{}, conflicts: map[origin.Module]int{}}
	s, err := Start(Config{Self: m, Instance: instance, Network: end{w, m}, Timing: quick,
		Peers: func() []origin.Module { return peers },
		Changed: func(e Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.last[e.Module] = e
		},
		Conflict: func(m origin.Module) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.conflicts[m]++
		}})
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	if w.members == nil {
		w.members, w.cut = map[origin.Module]*Members{}, map[origin.Module]bool{}
	}
	w.members[m] = s
	w.mu.Unlock()
	t.Cleanup(func() { s.Shutdown() })
	return s, n
}

func (w *wire) isolate(m origin.Module, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[m] = cut
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func names(m *Members) string {
	var l []string
	for _, e := range m.Members() {
		l = append(l, fmt.Sprint(e.Module))
	}
	return strings.Join(l, " ")
}

func TestOneDiesAndTheOthersHear(t *testing.T) {
	w := &wire{}
	peers := []origin.Module{1, 2, 3}
	m1, n1 := w.start(t, 1, 11, peers...)
	m2, n2 := w.start(t, 2, 22, peers...)
	m3, _ := w.start(t, 3, 33, peers...)
	for _, m := range []*Members{m1, m2, m3} {
		eventually(t, "all three know each other", func() bool { return names(m) == "1 2 3" })
	}
	if err := m3.SetMeta(Meta{Control: 42, Digest: []byte("abc")}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*notes{n1, n2} {
		eventually(t, "its metadata arrives", func() bool { return n.state(3) == "alive 42 abc" })
	}
	w.isolate(3, true) // as good as dead: it says nothing
	for _, n := range []*notes{n1, n2} {
		eventually(t, "its death is heard of", func() bool { return strings.HasPrefix(n.state(3), "dead") })
	}
	if got := names(m1); got != "1 2" {
		t.Errorf("alive %s, want 1 2", got)
	}
	w.isolate(3, false)
	for _, n := range []*notes{n1, n2} {
		eventually(t, "its return is heard of", func() bool { return n.state(3) == "alive 42 abc" })
	}
	if err := m3.Leave(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*notes{n1, n2} {
		eventually(t, "its leaving is heard of", func() bool { return strings.HasPrefix(n.state(3), "left") })
	}
}

// Who asks for the members meanwhile gets whole news: memberlist goes on
// writing what its own list gives.
func TestMembersWhileTheyChange(t *testing.T) {
	w := &wire{}
	m1, _ := w.start(t, 1, 11, 1, 2)
	m2, _ := w.start(t, 2, 22, 1, 2)
	eventually(t, "both know each other", func() bool { return names(m1) == "1 2" && names(m2) == "1 2" })
	for i := uint64(1); i <= 20; i++ {
		if err := m2.SetMeta(Meta{Control: i}); err != nil {
			t.Fatal(err)
		}
		var told []Event
		for deadline := time.Now().Add(15 * time.Second); len(told) < 2 || told[1].Meta.Control < i; told = m1.Members() {
			if time.Now().After(deadline) {
				t.Fatalf("never: %d is heard of", i)
			}
		}
	}
}

// Shutdown leaves no goroutine (TestMain looks), gives no event afterwards, and
// a dead neighbour never blocks the rest.
func TestShutdownWaitsForProbes(t *testing.T) {
	w := &wire{}
	peers := []origin.Module{1, 2}
	m1, n1 := w.start(t, 1, 0, peers...)
	m2, _ := w.start(t, 2, 0, peers...)
	eventually(t, "they know each other", func() bool { return names(m1) == "1 2" && names(m2) == "1 2" })
	m2.Shutdown()
	m2.Shutdown() // twice is once
	m2.Datagram(1, []byte{0})
	a, b := net.Pipe()
	m2.Stream(1, b)
	if _, err := a.Read(make([]byte, 1)); err == nil {
		t.Error("a stream was taken after Shutdown")
	}
	eventually(t, "death", func() bool { return strings.HasPrefix(n1.state(2), "dead") })
	if err := m2.Leave(time.Second); err != nil {
		t.Error(err)
	}
}

func TestTwoMachinesUnderOneNumber(t *testing.T) {
	w := &wire{}
	peers := []origin.Module{1, 2}
	m1, n1 := w.start(t, 1, 0, peers...)
	_, _ = w.start(t, 2, 22, peers...)
	eventually(t, "they know each other", func() bool { return names(m1) == "1 2" })
	_, _ = w.start(t, 2, 23, peers...) // takes the wire's place of 2
	eventually(t, "conflict", func() bool {
		n1.mu.Lock()
		defer n1.mu.Unlock()
		return n1.conflicts[2] > 0
	})
}

func TestStrangersAndRubbishAreDropped(t *testing.T) {
	w := &wire{}
	m1, n1 := w.start(t, 1, 0, 1, 2)
	m9, _ := w.start(t, 9, 0, 1, 9) // believes to belong
	m2, _ := w.start(t, 2, 0, 1, 2)
	for i := range 512 {
		b := make([]byte, i%300)
		for j := range b {
			b[j] = byte(i + j*j)
		}
		m1.Datagram(2, b)
		if i%16 == 0 {
			c, d := net.Pipe()
			m1.Stream(2, d)
			c.SetDeadline(time.Now().Add(time.Second))
			c.Write(b)
			c.Close()
		}
	}
	eventually(t, "members know each other", func() bool { return names(m1) == "1 2" && names(m2) == "1 2" })
	if got := names(m9); strings.Contains(got, "2") {
		t.Errorf("the stranger knows %s", got)
	}
	if s := n1.state(9); !strings.HasPrefix(s, "state 0") {
		t.Errorf("the stranger is %s", s)
	}
}

func TestMetaForm(t *testing.T) {
	b := appendMeta(nil, 7, Meta{Control: 300, Digest: make([]byte, maxDigest)}, true)
	if len(b) > 512 {
		t.Errorf("%d bytes", len(b))
	}
	m, id, leaving, err := decodeMeta(b)
	if err != nil || id != 7 || !leaving || m.Control != 300 || len(m.Digest) != maxDigest {
		t.Errorf("got %v %d %v", m, id, err)
	}
	for i := range b {
		if _, _, _, err := decodeMeta(b[:i]); err == nil {
			t.Errorf("took %d of %d bytes", i, len(b))
		}
	}
}
