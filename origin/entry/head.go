package entry

import (
	"crypto/ed25519"
	"fmt"

	"drmesh/origin"
	"drmesh/origin/pack"
)

// A head is one msgpack array, its signature last:
//
//	[version, group, module, incarnation, seq, hash(32), floor, control, context, signature(64)]
//	context = [[group, module, incarnation, seq, hash(32)], ...]
//
// The signature is Ed25519, by the key of the stream's module, over
// signContext and the nine fields before it, encoded as an array of nine.
const signContext = "drmesh head 1\x00"

func appendHeadFields(b []byte, h *origin.Head, n int) []byte {
	b = pack.AppendArray(b, n)
	b = pack.AppendUint(b, Version)
	b = appendStream(b, h.Stream)
	b = pack.AppendUint(b, uint64(h.Position.Seq))
	b = pack.AppendBytes(b, h.Position.Hash[:])
	b = pack.AppendUint(b, uint64(h.Floor))
	b = pack.AppendUint(b, h.Control)
	b = pack.AppendArray(b, len(h.Context))
	for _, e := range h.Context {
		b = pack.AppendArray(b, 5)
		b = appendStream(b, e.Stream)
		b = pack.AppendUint(b, uint64(e.Seq))
		b = pack.AppendBytes(b, e.Hash[:])
	}
	return b
}

// AppendHead appends the byte form of a head, signature included.
func AppendHead(b []byte, h *origin.Head) []byte {
	b = appendHeadFields(b, h, 10)
	return pack.AppendBytes(b, h.Sig[:])
}

func signed(h *origin.Head) []byte {
	b := append(make([]byte, 0, 256), signContext...)
	return appendHeadFields(b, h, 9)
}

// SignHead sets the head's signature.
func SignHead(h *origin.Head, key ed25519.PrivateKey) {
	h.Sig = [64]byte(ed25519.Sign(key, signed(h)))
}

// VerifyHead reports whether the head was signed with the key of pub.
func VerifyHead(h *origin.Head, pub ed25519.PublicKey) bool {
	return len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, signed(h), h.Sig[:])
}

// DecodeHead reads a head; nothing of it is checked but its form.
func DecodeHead(b []byte) (origin.Head, error) {
	var h origin.Head
	if len(b) > origin.MaxFrame {
		return h, fmt.Errorf("head: %w: %d bytes", ErrDamaged, len(b))
	}
	r := pack.NewReader(b)
	n := r.Array(64)
	if v := r.Uint(); r.Err() == nil && v != Version {
		return h, fmt.Errorf("head: version %d: %w", v, ErrUnknown)
	}
	if r.Err() == nil && n != 10 {
		return h, fmt.Errorf("head: %w: %d fields", ErrDamaged, n)
	}
	h.Stream = readStream(&r)
	h.Position = readPosition(&r)
	h.Floor = origin.Stamp(r.Uint())
	h.Control = r.Uint()
	for m := r.Array(origin.MaxStreams); m > 0 && r.Err() == nil; m-- {
		if k := r.Array(5); k != 5 && r.Err() == nil {
			return h, fmt.Errorf("head: %w: context", ErrDamaged)
		}
		e := origin.StreamPosition{Stream: readStream(&r)}
		e.Position = readPosition(&r)
		h.Context = append(h.Context, e)
	}
	if s := r.Bytes(len(h.Sig)); len(s) == len(h.Sig) {
		h.Sig = [64]byte(s)
	} else if r.Err() == nil {
		return h, fmt.Errorf("head: %w: signature of %d bytes", ErrDamaged, len(s))
	}
	if err := r.Done(); err != nil {
		return h, fmt.Errorf("head: %w: %w", ErrDamaged, err)
	}
	return h, nil
}

func readPosition(r *pack.Reader) origin.Position {
	p := origin.Position{Seq: origin.Seq(r.Uint())}
	h := r.Bytes(len(p.Hash))
	if r.Err() == nil && len(h) != len(p.Hash) {
		r.Refuse()
	}
	copy(p.Hash[:], h)
	return p
}
