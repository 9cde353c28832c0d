package link

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"drmesh/origin"
	"drmesh/origin/entry"
)

func keyOf(m origin.Module) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = byte(m)
	return ed25519.NewKeyFromSeed(seed)
}

func public(m origin.Module) ed25519.PublicKey {
	if m > 9 {
		return nil
	}
	return keyOf(m).Public().(ed25519.PublicKey)
}

// run makes n entries of a stream after a position, and their head.
func run(s origin.Stream, from origin.Position, n int, key ed25519.PrivateKey) (entries [][]byte, head []byte) {
	at := from
	for i := range n {
		e := []byte{'e', byte(i), byte(from.Seq)}
		entries = append(entries, e)
		at = origin.Position{Seq: at.Seq + 1, Hash: at.Hash.Next(e)}
	}
	h := origin.Head{Stream: s, Position: at, Floor: 5}
	entry.SignHead(&h, key)
	return entries, entry.AppendHead(nil, &h)
}

func TestOnlyWhatItsOriginSignedIsTaken(t *testing.T) {
	s, from := st(2), position(2, 0)
	entries, head := run(s, from, 5, keyOf(2))
	if h, chain, err := Verify(s, from, entries, head, public); err != nil || h.Position.Seq != 5 || len(chain) != 5 || chain[0] != from.Hash.Next(entries[0]) || chain[4] != h.Position.Hash {
		t.Fatalf("an honest run: %+v, %v, %v", h, chain, err)
	}
	mine, forged := run(s, from, 5, keyOf(3))
	changed := append([][]byte{}, entries...)
	changed[2] = []byte("another")
	swapped := append([][]byte{}, entries...)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	foreign, foreignHead := run(st(3), position(3, 0), 5, keyOf(3))
	unknown, unknownHead := run(st(12), position(12, 0), 5, keyOf(12))
	flipped := append([]byte{}, head...)
	flipped[len(flipped)-1] ^= 1
	version := append([]byte{}, head...)
	version[1] = 9
	for _, c := range []struct {
		name    string
		stream  origin.Stream
		from    origin.Position
		entries [][]byte
		head    []byte
		want    error
	}{
		{"signed by a relay", s, from, mine, forged, ErrForged},
		{"an entry changed", s, from, changed, head, ErrChain},
		{"two entries swapped", s, from, swapped, head, ErrChain},
		{"an entry missing", s, from, entries[:4], head, ErrChain},
		{"an entry too many", s, from, append(append([][]byte{}, entries...), []byte("x")), head, ErrChain},
		{"another stream's run", s, from, foreign, foreignHead, ErrChain},
		{"from another history of ours", s, origin.Position{Hash: origin.Hash{1}}, entries, head, ErrChain},
		{"from elsewhere", s, origin.Position{Seq: 1, Hash: from.Hash.Next(entries[0])}, entries, head, ErrChain},
		{"a bit of the signature", s, from, entries, flipped, ErrForged},
		{"nobody's", st(12), position(12, 0), unknown, unknownHead, ErrNobody},
		{"no head", s, from, entries, nil, entry.ErrDamaged},
		{"half a head", s, from, entries, head[:len(head)/2], entry.ErrDamaged},
		{"a head of a later version", s, from, entries, version, entry.ErrUnknown},
	} {
		if _, chain, err := Verify(c.stream, c.from, c.entries, c.head, public); !errors.Is(err, c.want) || chain != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}
