package quicnet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/goleak"

	"drmesh/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is the address book that the modules of a test share.
type book struct {
	mu sync.Mutex
	m  map[origin.Module][]string
}

func (b *book) get(m origin.Module) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.m[m]
}

func (b *book) set(m origin.Module, addrs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = map[origin.Module][]string{}
	}
	b.m[m] = addrs
}

func newAuthority(t *testing.T, id string) *Authority {
	t.Helper()
	a, err := NewAuthority(id, "test authority")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newIdentity(t *testing.T, a *Authority, m origin.Module) Identity {
	t.Helper()
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(m, fmt.Sprintf("%%test#m%d", m), key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return Identity{Cert: cert, Key: key, Authorities: []*x509.Certificate{a.Certificate()}}
}

func listen(t *testing.T, id Identity, b *book, change ...func(*Config)) *Net {
	t.Helper()
	cfg := Config{Identity: id, Listen: []string{"127.0.0.1:0"}, Addresses: b.get}
	for _, c := range change {
		c(&cfg)
	}
	n, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	b.set(n.Self(), n.Addrs()[0].String())
	return n
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// echo answers every stream with what it says, after the number of its peer.
func echo(n *Net, kinds ...Kind) {
	for _, k := range kinds {
		n.Handle(k, func(_ context.Context, peer origin.Module, s Stream) {
			defer s.Close()
			fmt.Fprintf(s, "%d:", peer)
			io.Copy(s, s)
		})
	}
}

func ask(ctx context.Context, n *Net, m origin.Module, k Kind, text string) (string, error) {
	s, err := n.Open(ctx, m, k)
	if err != nil {
		return "", err
	}
	defer s.Close()
	if d, ok := ctx.Deadline(); ok {
		s.SetDeadline(d)
	}
	written := make(chan error, 1)
	go func() {
		_, err := io.WriteString(s, text)
		s.CloseWrite()
		written <- err
	}()
	b, err := io.ReadAll(s)
	return string(b), errors.Join(err, <-written)
}

// eventually polls a condition that other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestStreamsBothWaysOverOneDialledConnection(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1, n2 := listen(t, newIdentity(t, a, 1), b), listen(t, newIdentity(t, a, 2), b)
	echo(n1, RPC, Data)
	echo(n2, RPC, Data)
	for _, k := range []Kind{RPC, Data} {
		got, err := ask(ctx, n1, 2, k, "hello")
		if err != nil || got != "1:hello" {
			t.Fatalf("%v: got %q, %v, want 1:hello", k, got, err)
		}
	}
	// Module 2 does not know the address of 1, and yet can talk to it.
	b.set(1)
	if got, err := ask(ctx, n2, 1, RPC, "back"); err != nil || got != "2:back" {
		t.Fatalf("got %q, %v, want 2:back", got, err)
	}
	st := n1.PeerStats(2)
	if !st.Connected || len(st.Conns) != 2 || st.BytesSent == 0 || st.BytesReceived == 0 || st.RTT <= 0 {
		t.Fatalf("stats %+v: want two connections in use", st)
	}
	if st.Conns[0].Bulk == st.Conns[1].Bulk {
		t.Fatalf("stats %+v: want one of control, one of bulk", st.Conns)
	}
}

func TestManyStreamsShareAConnection(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1, n2 := listen(t, newIdentity(t, a, 1), b), listen(t, newIdentity(t, a, 2), b)
	echo(n2, Data)
	big := strings.Repeat("0123456789abcdef", 8<<10)
	var wg sync.WaitGroup
	errs := make(chan error, 50)
	for i := range 50 {
		wg.Go(func() {
			want := fmt.Sprintf("%d %s", i, big)
			got, err := ask(ctx, n1, 2, Data, want)
			if err == nil && got != "1:"+want {
				err = fmt.Errorf("stream %d: other bytes (%d, want %d)", i, len(got), len(want)+2)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if st := n1.PeerStats(2); len(st.Conns) != 1 {
		t.Fatalf("%d connections, want 1", len(st.Conns))
	}
}

// TestStrangersAreRefused: no certificate, another authority's, another mesh's,
// and a module that is not admitted come to no handler, and are counted.
func TestStrangersAreRefused(t *testing.T) {
	a, other := newAuthority(t, "m1"), newAuthority(t, "m1")
	mesh2 := newAuthority(t, "m2")
	b, ctx := &book{}, timeout(t)
	var log bytes.Buffer
	var logMu sync.Mutex
	n1 := listen(t, newIdentity(t, a, 1), b, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(lockedWriter{&logMu, &log}, nil))
		// Both authorities are known here, so that the name of the mesh is
		// what decides about the second.
		c.Identity.Authorities = append(c.Identity.Authorities, mesh2.Certificate())
		c.Admit = func(m origin.Module, cert *x509.Certificate) error {
			if m == 7 {
				return errors.New("it was revoked")
			}
			if _, _, name, _ := CertificateModule(cert); name != fmt.Sprintf("%%test#m%d", m) {
				return fmt.Errorf("it is called %s", name)
			}
			return nil
		}
	})
	for k := range 256 {
		n1.Handle(Kind(k), func(context.Context, origin.Module, Stream) { t.Errorf("a handler ran") })
	}
	trusting := func(c *Config) {
		c.Identity.Authorities = []*x509.Certificate{c.Identity.Authorities[0], a.Certificate()}
	}
	misnamed := newIdentity(t, a, 9)
	var err error
	if misnamed.Cert, err = a.Issue(9, "%test#m1", misnamed.Key.Public().(ed25519.PublicKey)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		id     Identity
		reason string
	}{
		{"another authority of the same mesh id", newIdentity(t, other, 5), "wrong authority"},
		{"another mesh", newIdentity(t, mesh2, 5), "wrong mesh"},
		{"not admitted", newIdentity(t, a, 7), "not admitted"},
		{"another name", misnamed, "not admitted"},
		{"our own number", newIdentity(t, a, 1), "not admitted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			own := &book{}
			n := listen(t, tc.id, own, trusting)
			before := n1.Refused()[tc.reason]
			if tc.id.Cert.Subject.CommonName == "%test#m1" && n.Self() == 1 {
				// A Net does not dial its own number: go below it.
				own.set(1, b.get(1)...)
				_, err = n.dialPath(ctx, 1, laneControl, Path{0, b.get(1)[0]})
			} else {
				own.set(1, b.get(1)...)
				if _, _, _, e := CertificateModule(tc.id.Cert); e != nil {
					t.Fatal(e)
				}
				id := n.identity.Load()
				id.meshID = "m1" // else the dialer itself refuses first
				_, err = n.Open(ctx, 1, RPC)
			}
			if !errors.Is(translate(err), ErrRefused) {
				t.Errorf("dialer got %v, want ErrRefused", err)
			}
			if n1.Refused()[tc.reason] <= before {
				t.Errorf("refused %v, want one more of %q", n1.Refused(), tc.reason)
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		if err := rawDial(ctx, b.get(1)[0], alpnMesh); err == nil {
			t.Fatal("accepted")
		}
		if n1.Refused()["no certificate"] == 0 {
			t.Errorf("refused %v", n1.Refused())
		}
	})
	t.Run("another protocol", func(t *testing.T) {
		if err := rawDial(ctx, b.get(1)[0], "h3"); err == nil {
			t.Fatal("accepted")
		}
		if n1.Refused()["protocol"] == 0 {
			t.Errorf("refused %v", n1.Refused())
		}
	})
	t.Run("join that nobody serves", func(t *testing.T) {
		if _, err := DialJoin(ctx, b.get(1)[0], a.Fingerprint(), nil); !errors.Is(err, ErrRefused) {
			t.Fatalf("got %v, want ErrRefused", err)
		}
	})
	logMu.Lock()
	defer logMu.Unlock()
	if got := strings.Count(log.String(), `reason="not admitted"`); got != 1 {
		t.Errorf("logged %d times for one reason and address, want once:\n%s", got, &log)
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// rawDial connects without a certificate and tries to use a stream.
func rawDial(ctx context.Context, addr, alpn string) error {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer c.Close()
	tr := &quic.Transport{Conn: c}
	defer tr.Close()
	to, _ := resolve(ctx, addr)
	q, err := tr.Dial(ctx, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}, &quic.Config{})
	if err != nil {
		return err
	}
	defer q.CloseWithError(0, "")
	s, err := q.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	s.Write(append(helloBytes(1, 1, 0, 0), prefaceMagic, 1, byte(RPC), 0))
	_, err = io.ReadFull(s, make([]byte, helloSize))
	return err
}

func TestDialerRefusesWhoIsNotThePeer(t *testing.T) {
	a, other := newAuthority(t, "m1"), newAuthority(t, "m1")
	b, ctx := &book{}, timeout(t)
	n1 := listen(t, newIdentity(t, a, 1), b)
	n3 := listen(t, newIdentity(t, a, 3), b)
	listen(t, newIdentity(t, other, 4), b)
	b.set(2, n3.Addrs()[0].String())
	if _, err := n1.Open(ctx, 2, RPC); !errors.Is(err, ErrWrongPeer) {
		t.Errorf("module 3 at the address of 2: got %v, want ErrWrongPeer", err)
	}
	if _, err := n1.Open(ctx, 4, RPC); !errors.Is(err, ErrWrongAuthority) {
		t.Errorf("another authority: got %v, want ErrWrongAuthority", err)
	}
	if _, err := n1.Open(ctx, 5, RPC); !errors.Is(err, ErrNoAddress) {
		t.Errorf("no address: got %v, want ErrNoAddress", err)
	}
	if _, err := n1.Open(ctx, 1, RPC); !errors.Is(err, ErrWrongPeer) {
		t.Errorf("itself: got %v, want ErrWrongPeer", err)
	}
	if _, err := n1.Open(ctx, 2, RPC); !errors.Is(err, ErrBackoff) || !errors.Is(err, ErrWrongPeer) {
		t.Errorf("again at once: got %v, want ErrBackoff with its cause", err)
	}
}

func TestVersionMismatchNamesBothRanges(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1 := listen(t, newIdentity(t, a, 1), b, func(c *Config) { c.MinVersion, c.MaxVersion = 2, 3 })
	n2 := listen(t, newIdentity(t, a, 2), b, func(c *Config) { c.MinVersion, c.MaxVersion = 1, 1 })
	n3 := listen(t, newIdentity(t, a, 3), b, func(c *Config) { c.MinVersion, c.MaxVersion = 1, 2 })
	_, err := n1.Open(ctx, 2, RPC)
	v, ok := errors.AsType[*VersionError](err)
	if !ok || !errors.Is(err, ErrVersion) || *v != (VersionError{2, 3, 1, 1}) {
		t.Fatalf("got %v, want a VersionError of 2..3 and 1..1", err)
	}
	eventually(t, "counted at the other end", func() bool { return n2.Refused()["version"] == 1 })
	echo(n3, RPC)
	s, err := n1.Open(ctx, 3, RPC)
	if err != nil || s.Version() != 2 {
		t.Fatalf("got %v, want version 2", err)
	}
	s.Close()
}

func TestReconnectAfterRestart(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	var mu sync.Mutex
	var changes []string
	n1 := listen(t, newIdentity(t, a, 1), b, func(c *Config) {
		c.Changed = func(m origin.Module, up bool) {
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, fmt.Sprint(m, up))
		}
	})
	id2 := newIdentity(t, a, 2)
	n2 := listen(t, id2, b)
	echo(n2, RPC)
	if _, err := ask(ctx, n1, 2, RPC, "x"); err != nil {
		t.Fatal(err)
	}
	addr := n2.Addrs()[0].String()
	n2.Close()
	eventually(t, "the loss is seen", func() bool { return !n1.PeerStats(2).Connected })
	if n1.PeerStats(2).LastError == nil {
		t.Error("no last error after the loss")
	}
	n2 = listen(t, id2, b, func(c *Config) { c.Listen = []string{addr} })
	echo(n2, RPC)
	eventually(t, "reconnected", func() bool {
		got, err := ask(ctx, n1, 2, RPC, "y")
		return err == nil && got == "1:y"
	})
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(changes, " "); got != "2 true 2 false 2 true" {
		t.Errorf("changes %q", got)
	}
}

// A peer that vanished without a word and is back on the same port answers
// packets of old connections with a reset, long before the idle timeout.
func TestKilledPeerIsNoticedByReset(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1 := listen(t, newIdentity(t, a, 1), b, func(c *Config) { c.KeepAlive = 200 * time.Millisecond })
	id2 := newIdentity(t, a, 2)
	n2 := listen(t, id2, b)
	echo(n2, RPC)
	if _, err := ask(ctx, n1, 2, RPC, "x"); err != nil {
		t.Fatal(err)
	}
	addr := n2.Addrs()[0].String()
	n2.transports[0].conn.Close() // nothing more goes out
	n2.Close()
	if !n1.PeerStats(2).Connected {
		t.Fatal("the kill was told to the peer")
	}
	start := time.Now()
	n2 = listen(t, id2, b, func(c *Config) { c.Listen = []string{addr} })
	echo(n2, RPC)
	eventually(t, "reset", func() bool {
		st := n1.PeerStats(2)
		return !st.Connected
	})
	if d := time.Since(start); d > 8*time.Second {
		t.Errorf("noticed after %v: that was the idle timeout", d)
	}
	eventually(t, "reconnected", func() bool {
		_, err := ask(ctx, n1, 2, RPC, "y")
		return err == nil
	})
}

func TestDatagrams(t *testing.T) {
	a, b := newAuthority(t, "m1"), &book{}
	n1, n2 := listen(t, newIdentity(t, a, 1), b), listen(t, newIdentity(t, a, 2), b)
	got := make(chan string, 100)
	n2.HandleDatagram(func(m origin.Module, b []byte) { got <- fmt.Sprintf("%d:%d:%s", m, len(b), b[:3]) })
	full := bytes.Repeat([]byte("abc"), MaxDatagram)[:MaxDatagram]
	if err := n1.SendDatagram(2, full); !errors.Is(err, ErrNotConnected) {
		t.Fatalf("got %v, want ErrNotConnected", err)
	}
	eventually(t, "connected by the datagram", func() bool { return n1.SendDatagram(2, full) == nil })
	if g := <-got; g != fmt.Sprintf("1:%d:abc", MaxDatagram) {
		t.Errorf("got %q", g)
	}
	if err := n1.SendDatagram(2, make([]byte, MaxDatagram+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestUnknownKindIsReset(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1, n2 := listen(t, newIdentity(t, a, 1), b), listen(t, newIdentity(t, a, 2), b)
	if got, err := ask(ctx, n1, 2, Kind(99), "x"); err == nil {
		t.Fatalf("answered %q", got)
	}
	eventually(t, "counted", func() bool { return n2.Refused()["kind"] == 1 })
}

func TestRevokedPeerIsCutOff(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	var mu sync.Mutex
	revoked := false
	n1 := listen(t, newIdentity(t, a, 1), b, func(c *Config) {
		c.Admit = func(origin.Module, *x509.Certificate) error {
			mu.Lock()
			defer mu.Unlock()
			if revoked {
				return errors.New("revoked")
			}
			return nil
		}
	})
	n2 := listen(t, newIdentity(t, a, 2), b)
	echo(n1, RPC)
	if _, err := ask(ctx, n2, 1, RPC, "x"); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	revoked = true
	mu.Unlock()
	n1.Recheck()
	eventually(t, "cut off", func() bool { return !n2.PeerStats(1).Connected })
	if _, err := ask(ctx, n2, 1, RPC, "x"); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
	if _, err := n1.Open(ctx, 2, RPC); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("got %v, want ErrNotAdmitted", err)
	}
}

func TestJoin(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1 := listen(t, newIdentity(t, a, 1), b)
	secret := []byte("one time")
	proof := func(s *JoinStream) []byte {
		k, err := s.ExportKeyingMaterial("drmesh join", nil, 32)
		if err != nil {
			t.Error(err)
		}
		h := hmac.New(sha256.New, secret)
		h.Write(k)
		return h.Sum(nil)
	}
	n1.ServeJoin(func(_ context.Context, s *JoinStream) {
		m, err := s.ReadMessage(MaxJoinMessage)
		if err != nil {
			s.WriteMessage([]byte(err.Error()))
			return
		}
		if !hmac.Equal(m, proof(s)) {
			s.WriteMessage([]byte("wrong"))
			return
		}
		s.WriteMessage(bytes.Repeat([]byte("w"), 100_000))
	})
	addr := b.get(1)[0]
	s, err := DialJoin(ctx, addr, a.Fingerprint(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.MeshID() != "m1" || !s.Authority().Equal(a.Certificate()) {
		t.Errorf("mesh %q, authority %v", s.MeshID(), s.Authority().Subject)
	}
	if err := s.WriteMessage(proof(s)); err != nil {
		t.Fatal(err)
	}
	if m, err := s.ReadMessage(MaxJoinMessage); err != nil || len(m) != 100_000 {
		t.Fatalf("got %d bytes, %v, want 100000", len(m), err)
	}
	s.Close()

	t.Run("another authority", func(t *testing.T) {
		other := newAuthority(t, "m1")
		if _, err := DialJoin(ctx, addr, other.Fingerprint(), nil); !errors.Is(err, ErrWrongAuthority) {
			t.Errorf("got %v, want ErrWrongAuthority", err)
		}
		if _, err := DialJoin(ctx, addr, "abc", nil); err == nil {
			t.Error("took a fingerprint that is none")
		}
	})
	t.Run("first message over 4 KiB", func(t *testing.T) {
		s, err := DialJoin(ctx, addr, a.Fingerprint(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.WriteMessage(make([]byte, maxJoinFirst+1))
		m, err := s.ReadMessage(1000)
		if err != nil || !strings.Contains(string(m), ErrTooLarge.Error()) {
			t.Errorf("got %q, %v, want a refusal of the size", m, err)
		}
	})
	t.Run("more than eight", func(t *testing.T) {
		var open []*JoinStream
		defer func() {
			for _, s := range open {
				s.Close()
			}
		}()
		for range maxJoins {
			s, err := DialJoin(ctx, addr, a.Fingerprint(), nil)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, s)
		}
		eventually(t, "all slots taken", func() bool { return len(n1.joins.slots) == maxJoins })
		s, err := DialJoin(ctx, addr, a.Fingerprint(), nil)
		if err == nil {
			s.WriteMessage([]byte("x"))
			_, err = s.ReadMessage(100)
			s.Close()
		}
		if !errors.Is(err, ErrBusy) {
			t.Errorf("the ninth got %v, want ErrBusy", err)
		}
	})
}

// Rubbish on the port leaves nothing behind and disturbs nobody.
func TestRubbishOnThePort(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1, n2 := listen(t, newIdentity(t, a, 1), b), listen(t, newIdentity(t, a, 2), b)
	echo(n2, RPC)
	c, err := net.Dial("udp", b.get(2)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 2000 {
		p := make([]byte, 1+i%1400)
		for j := range p {
			p[j] = byte(i*31 + j*7)
		}
		c.Write(p)
	}
	if got, err := ask(ctx, n1, 2, RPC, "x"); err != nil || got != "1:x" {
		t.Fatalf("got %q, %v", got, err)
	}
	n2.gate.mu.Lock()
	defer n2.gate.mu.Unlock()
	if n2.gate.total != 0 {
		t.Errorf("%d handshakes under way", n2.gate.total)
	}
}

func TestPathsAreSeparateConnections(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	two := func(c *Config) { c.Listen = []string{"127.0.0.1:0", "127.0.0.1:0"} }
	n1, n2 := listen(t, newIdentity(t, a, 1), b, two), listen(t, newIdentity(t, a, 2), b, two)
	b.set(2, n2.Addrs()[0].String(), n2.Addrs()[1].String())
	echo(n2, Data)
	paths := n1.Paths(2)
	if len(paths) != 4 {
		t.Fatalf("paths %v, want 4", paths)
	}
	for _, p := range []Path{paths[0], paths[3], paths[0]} {
		s, err := n1.OpenPath(ctx, 2, p, Data)
		if err != nil {
			t.Fatal(err)
		}
		if s.Path() != p {
			t.Errorf("path %v, want %v", s.Path(), p)
		}
		s.Close()
	}
	if st := n1.PeerStats(2); len(st.Conns) != 2 {
		t.Errorf("%d connections, want 2", len(st.Conns))
	}
}

// Both ends must number their links alike.
func TestPairsAreTheSameAtBothEnds(t *testing.T) {
	v4, v6 := "127.0.0.1:0", "[::1]:0"
	for _, c := range []struct {
		ours, theirs []string
		want         [][2]int // places in ours and theirs
	}{
		{[]string{v4}, []string{v4}, [][2]int{{0, 0}}},
		{[]string{v4, v4}, []string{v4, v4}, [][2]int{{0, 0}, {1, 1}}},
		{[]string{v4, v4, v4}, []string{v4, v4}, [][2]int{{0, 0}, {1, 1}, {2, 0}}},
		{[]string{v4}, []string{v4, v4}, [][2]int{{0, 0}, {0, 1}}},
		{[]string{v6, v4}, []string{v4, v6}, [][2]int{{1, 0}, {0, 1}}},
		{[]string{v6}, []string{v4}, nil},
	} {
		if c, err := net.ListenPacket("udp", v6); err != nil {
			t.Skip("no IPv6 here: ", err)
		} else {
			c.Close()
		}
		a, b := newAuthority(t, "m1"), &book{}
		n1 := listen(t, newIdentity(t, a, 1), b, func(x *Config) { x.Listen = c.ours })
		n2 := listen(t, newIdentity(t, a, 2), b, func(x *Config) { x.Listen = c.theirs })
		var addrs [2][]string
		for i, n := range []*Net{n1, n2} {
			for _, x := range n.Addrs() {
				addrs[i] = append(addrs[i], x.String())
			}
			b.set(origin.Module(i+1), addrs[i]...)
		}
		var want1, want2 []Path
		for _, w := range c.want {
			want1 = append(want1, Path{w[0], addrs[1][w[1]]})
			want2 = append(want2, Path{w[1], addrs[0][w[0]]})
		}
		if got := n1.Pairs(2); !slices.Equal(got, want1) {
			t.Errorf("%v, %v: the first has %v, want %v", c.ours, c.theirs, got, want1)
		}
		if got := n2.Pairs(1); !slices.Equal(got, want2) {
			t.Errorf("%v, %v: the second has %v, want %v", c.ours, c.theirs, got, want2)
		}
	}
}

// A connection that one end made serves the other end's pair, too.
func TestPairIsOneConnection(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	two := func(c *Config) { c.Listen = []string{"127.0.0.1:0", "127.0.0.1:0"} }
	n1, n2 := listen(t, newIdentity(t, a, 1), b, two), listen(t, newIdentity(t, a, 2), b, two)
	b.set(1, n1.Addrs()[0].String(), n1.Addrs()[1].String())
	b.set(2, n2.Addrs()[0].String(), n2.Addrs()[1].String())
	echo(n1, Data)
	echo(n2, Data)
	for i, p := range n1.Pairs(2) {
		s, err := n1.OpenPath(ctx, 2, p, Data)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		back, err := n2.OpenPath(ctx, 1, n2.Pairs(1)[i], Data)
		if err != nil {
			t.Fatal(err)
		}
		defer back.Close()
	}
	if st := n2.PeerStats(1); len(st.Conns) != 2 {
		t.Errorf("%d connections, want 2", len(st.Conns))
	}
}

// An address that answers nothing costs a moment, not the timeout.
func TestDeadAddressDoesNotHoldUpTheNext(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1, n2 := listen(t, newIdentity(t, a, 1), b), listen(t, newIdentity(t, a, 2), b)
	echo(n2, RPC)
	hole, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	b.set(2, hole.LocalAddr().String(), n2.Addrs()[0].String())
	start := time.Now()
	if _, err := ask(ctx, n1, 2, RPC, "x"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestCloseEndsWaitingCallers(t *testing.T) {
	a, b, ctx := newAuthority(t, "m1"), &book{}, timeout(t)
	n1 := listen(t, newIdentity(t, a, 1), b)
	hole, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	b.set(2, hole.LocalAddr().String())
	errc := make(chan error, 1)
	go func() {
		_, err := n1.Open(ctx, 2, RPC)
		errc <- err
	}()
	eventually(t, "dialing", func() bool {
		p := n1.peer(2)
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.dials) == 1
	})
	n1.Close()
	if err := <-errc; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if _, err := n1.Open(ctx, 2, RPC); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
}

func TestIdentityAndKeysSurviveStorage(t *testing.T) {
	a := newAuthority(t, "m1")
	keyPEM, err := a.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	l, err := LoadAuthority(a.CertPEM(), keyPEM)
	if err != nil || l.MeshID() != "m1" || l.Fingerprint() != a.Fingerprint() {
		t.Fatalf("got %v, %v", l, err)
	}
	id := newIdentity(t, l, 12)
	meshID, m, name, err := CertificateModule(id.Cert)
	if err != nil || meshID != "m1" || m != 12 || name != "%test#m12" {
		t.Errorf("got %q %d %q %v", meshID, m, name, err)
	}
	if got := id.Cert.URIs[0].String(); got != "mesh://m1/module/12" {
		t.Errorf("URI name %q", got)
	}
	if _, err := LoadAuthority(a.CertPEM(), mustPEM(t, id.Key)); err == nil {
		t.Error("took a key of another certificate")
	}
	if _, err := (Identity{Cert: a.Certificate(), Key: id.Key, Authorities: id.Authorities}).check(); err == nil {
		t.Error("took the authority's certificate for a module's")
	}
}

func mustPEM(t *testing.T, k ed25519.PrivateKey) []byte {
	b, err := KeyPEM(k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
