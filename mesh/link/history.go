package link

import (
	"slices"

	"drmesh/origin"
)

// Chains answers what the journal has of each stream's chain.
type Chains interface {
	// HashAt is the chain value at a seq; ok is false where it is not known.
	HashAt(origin.Stream, origin.Seq) (h origin.Hash, ok bool, err error)
	// Tail is where the stream stands here.
	Tail(origin.Stream) origin.Position
}

// Contradiction says that a stream's writer worked on a history that is not
// the one here. Nothing of By may be let through: the two must not be mixed.
type Contradiction struct {
	By origin.Stream
	Fork
}

// Histories holds what writers say, in their heads' contexts, against the
// chains that are here. What a head names and is not here yet is remembered,
// and looked at when it comes: so it does not matter whether a writer is heard
// before the history that it worked on, or after. It is pure, and not safe for
// concurrent use.
type Histories struct {
	here  Chains
	ahead map[origin.Stream]*ahead
	named map[origin.Stream][]naming // bounded for each stream by maxNamed
}

// ahead is the chain of what was verified and may not be in the journal yet;
// the applier's credit bounds it.
type ahead struct {
	after  origin.Seq
	hashes []origin.Hash
}

func (a *ahead) end() origin.Seq { return a.after + origin.Seq(len(a.hashes)) }

type naming struct {
	by origin.Stream
	at origin.Position
}

// maxNamed is how many places of one stream are remembered that heads named and
// that are not here. What is more comes again with later heads.
const maxNamed = 1024

// NewHistories begins with nothing heard.
func NewHistories(here Chains) *Histories {
	return &Histories{here: here, ahead: map[origin.Stream]*ahead{}, named: map[origin.Stream][]naming{}}
}

// hashAt is the chain value at a place, in the journal or on its way there.
func (h *Histories) hashAt(s origin.Stream, q origin.Seq) (origin.Hash, bool, error) {
	if v, ok, err := h.here.HashAt(s, q); ok || err != nil {
		return v, ok, err
	}
	if a := h.ahead[s]; a != nil && q > a.after && q <= a.end() {
		return a.hashes[q-a.after-1], true, nil
	}
	return origin.Hash{}, false, nil
}

// trim forgets what the journal has by now.
func (h *Histories) trim(s origin.Stream) {
	a := h.ahead[s]
	if a == nil {
		return
	}
	tail := h.here.Tail(s).Seq
	switch {
	case tail >= a.end():
		delete(h.ahead, s)
	case tail > a.after:
		a.hashes = a.hashes[tail-a.after:]
		a.after = tail
	}
}

// Head compares the context of a verified head. The first contradiction is
// enough: ok is false if there is one.
func (h *Histories) Head(head *origin.Head) (c Contradiction, ok bool, err error) {
	h.trim(head.Stream)
	for _, e := range head.Context {
		if e.Hash.IsZero() || e.Stream == head.Stream {
			continue
		}
		ours, known, err := h.hashAt(e.Stream, e.Seq)
		switch {
		case err != nil:
			return c, true, err
		case known && ours != e.Hash:
			return Contradiction{head.Stream, Fork{e.Stream, e.Seq, ours, e.Hash}}, false, nil
		case known:
		case e.Seq > h.here.Tail(e.Stream).Seq:
			h.remember(e.Stream, naming{head.Stream, e.Position})
		}
	}
	return c, true, nil
}

func (h *Histories) remember(s origin.Stream, n naming) {
	l := h.named[s]
	if len(l) < maxNamed && !slices.Contains(l, n) {
		h.named[s] = append(l, n)
	}
}

// Run takes a verified run that goes to the applier, as the chain after each of
// its entries, and gives the streams whose writers had named another history.
func (h *Histories) Run(s origin.Stream, after origin.Seq, chain []origin.Hash) ([]Contradiction, error) {
	h.trim(s)
	a := h.ahead[s]
	if a == nil || a.end() != after {
		a = &ahead{after: after} // the first, or it came again from an earlier place
		h.ahead[s] = a
	}
	a.hashes = append(a.hashes, chain...)
	var err error
	var out []Contradiction
	h.named[s] = slices.DeleteFunc(h.named[s], func(n naming) bool {
		if n.at.Seq > a.end() {
			return false
		}
		ours, known, herr := h.hashAt(s, n.at.Seq)
		if herr != nil {
			err = herr
		}
		if known && ours != n.at.Hash {
			out = append(out, Contradiction{n.by, Fork{s, n.at.Seq, ours, n.at.Hash}})
		}
		return true
	})
	if len(h.named[s]) == 0 {
		delete(h.named, s)
	}
	return out, err
}
