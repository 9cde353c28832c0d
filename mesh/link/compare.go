package link

import (
	"drmesh/origin"
	"drmesh/origin/mutant"
)

// Fork says that a stream has two histories, which differ at Seq at the latest.
type Fork struct {
	Stream       origin.Stream
	Seq          origin.Seq
	Ours, Theirs origin.Hash
}

// Compare looks, when two modules meet, for streams of which they hold
// different histories, at the lesser of both positions. hashAt reads our own
// chain; ok is false where it does not reach (the neighbour has more: it sees
// the fork, or let go: nothing can be said). ahead lists streams of self of
// which the neighbour holds more than we: our directory was restored from a
// copy.
func Compare(self origin.Module, ours origin.Vector, theirs []origin.StreamPosition, hashAt func(origin.Stream, origin.Seq) (origin.Hash, bool, error)) (forks []Fork, ahead []origin.StreamSeq, err error) {
	for _, t := range theirs {
		o := ours.At(t.Stream)
		var h origin.Hash
		switch {
		case t.Seq > o.Seq:
			if t.Stream.Module == self && !mutant.On(mutant.ReuseSeq) {
				ahead = append(ahead, origin.StreamSeq{Stream: t.Stream, Seq: t.Seq})
			}
			continue
		case t.Seq == 0:
			continue
		case t.Seq == o.Seq:
			h = o.Hash
		default:
			var ok bool
			if h, ok, err = hashAt(t.Stream, t.Seq); err != nil {
				return nil, nil, err
			} else if !ok {
				continue
			}
		}
		if h != t.Hash {
			forks = append(forks, Fork{t.Stream, t.Seq, h, t.Hash})
		}
	}
	return forks, ahead, nil
}
