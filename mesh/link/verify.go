package link

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/origin/mutant"
)

// Errors of Verify.
var (
	ErrForged = errors.New("head is not signed by its origin")
	ErrNobody = errors.New("head is of a module that is not known here")
	ErrChain  = errors.New("entries do not chain to the head")
)

// Verify checks a run of entries that follow the position from: their chain must lead to
// the head's position, and the head must be signed by the stream's module.
// Nothing of a run that fails may be applied or kept. chain is the chain value
// after each entry.
func Verify(s origin.Stream, from origin.Position, entries [][]byte, head []byte, key func(origin.Module) ed25519.PublicKey) (h origin.Head, chain []origin.Hash, err error) {
	if h, err = VerifyHead(head, key); err != nil {
		return h, nil, err
	}
	chain, err = VerifyChain(s, from, entries, &h)
	return h, chain, err
}

// VerifyChain checks a run of entries against a head that was verified.
func VerifyChain(s origin.Stream, from origin.Position, entries [][]byte, h *origin.Head) (chain []origin.Hash, err error) {
	if h.Stream != s || h.Position.Seq != from.Seq+origin.Seq(len(entries)) {
		return nil, fmt.Errorf("verify %v:%d..%d: %w: the head is of %v:%d", s, from.Seq+1, from.Seq+origin.Seq(len(entries)), ErrChain, h.Stream, h.Position.Seq)
	}
	at := from.Hash
	chain = make([]origin.Hash, len(entries))
	for i, e := range entries {
		at = at.Next(e)
		chain[i] = at
	}
	if at != h.Position.Hash && !mutant.On(mutant.SkipChain) {
		return nil, fmt.Errorf("verify %v:%d..%d: %w", s, from.Seq+1, h.Position.Seq, ErrChain)
	}
	return chain, nil
}

// VerifyHead checks a head's form and signature. key gives nil for a module
// that is not known (yet).
func VerifyHead(head []byte, key func(origin.Module) ed25519.PublicKey) (origin.Head, error) {
	h, err := entry.DecodeHead(head)
	if err != nil {
		return h, err
	}
	k := key(h.Stream.Module)
	if k == nil {
		return h, fmt.Errorf("%v: %w", &h, ErrNobody)
	}
	if !entry.VerifyHead(&h, k) && !mutant.On(mutant.SkipSignature) {
		return h, fmt.Errorf("%v: %w", &h, ErrForged)
	}
	return h, nil
}
