package quicnet

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"io"
	"testing"

	"drmesh/origin"
)

func benchPair(b *testing.B) (*Net, *Net) {
	a, err := NewAuthority("m1", "bench")
	if err != nil {
		b.Fatal(err)
	}
	bk := &book{}
	var nets []*Net
	for m := origin.Module(1); m <= 2; m++ {
		key, _ := GenerateKey()
		cert, err := a.Issue(m, "%b#m", key.Public().(ed25519.PublicKey))
		if err != nil {
			b.Fatal(err)
		}
		n, err := Listen(Config{Identity: Identity{cert, key, []*x509.Certificate{a.Certificate()}},
			Listen: []string{"127.0.0.1:0"}, Addresses: bk.get})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { n.Close() })
		bk.set(m, n.Addrs()[0].String())
		nets = append(nets, n)
	}
	return nets[0], nets[1]
}

// BenchmarkBulk is one stream in 128 KiB writes.
func BenchmarkBulk(b *testing.B) {
	n1, n2 := benchPair(b)
	done := make(chan int64, 1)
	n2.Handle(Data, func(_ context.Context, _ origin.Module, s Stream) {
		n, _ := io.Copy(io.Discard, s)
		s.Close()
		done <- n
	})
	s, err := n1.Open(b.Context(), 2, Data)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 128<<10)
	b.SetBytes(int64(len(buf)))
	b.ResetTimer()
	for range b.N {
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	s.CloseWrite()
	if n := <-done; n != int64(b.N)*int64(len(buf)) {
		b.Fatalf("%d bytes arrived", n)
	}
	s.Close()
}

// BenchmarkPing is one 100-byte exchange after the other on one stream.
func BenchmarkPing(b *testing.B) {
	n1, n2 := benchPair(b)
	n2.Handle(RPC, func(_ context.Context, _ origin.Module, s Stream) {
		io.Copy(s, s)
		s.Close()
	})
	s, err := n1.Open(b.Context(), 2, RPC)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	buf := make([]byte, 100)
	b.ResetTimer()
	for range b.N {
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			b.Fatal(err)
		}
	}
}
