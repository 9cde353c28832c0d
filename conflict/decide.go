package conflict

import (
	"slices"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// Class says what became of an operation that put a version into a register.
type Class uint8

const (
	ClassLive        Class = iota // shown, or says what is shown
	ClassOverwritten              // replaced by a writer that was shown it
	ClassDeleted                  // deleted or truncated by one that was shown it
	ClassOpen                     // stands, and is not shown
	ClassSuperseded               // replaced by a writer that was not shown it
	ClassClosed                   // superseded, and closed by a person
	Classes                       // how many there are
)

// String names the class.
func (c Class) String() string {
	if c >= Classes {
		return "no class"
	}
	return [Classes]string{"live", "overwritten", "deleted", "open", "superseded", "closed"}[c]
}

// Count is a change of how many operations of a stream are in a class.
type Count struct {
	Stream origin.Stream
	Class  Class
	Delta  int64
}

// Input is an operation and what it meets.
type Input struct {
	File    origin.FileID
	Address []byte
	// Standing is the register's set, in any order; it is not changed.
	Standing []origin.Version
	// Incoming is the version that the operation brings, nil for a truncate.
	Incoming *origin.Version
	By       origin.OpDot
	// Covers tells whether a version is in the operation's context and not in
	// its unseen list.
	Covers func(origin.OpDot) bool
	// Hidden lists covered versions of which it is known that the writer was
	// not shown them. Without, all that the set tells is used.
	Hidden []origin.OpDot
	// Closes are versions that a person dealt with by this operation: he was
	// shown them, so they are closed and not superseded.
	Closes []origin.OpDot
	// Policies are those of the register; nil: latest.
	Policies Policies
}

// Outcome is what an operation makes of a register. Decide reuses its slices;
// the versions share Data with the input.
type Outcome struct {
	Next    []origin.Version // visible first, the rest by dot
	Policy  Kind             // that chose the visible one
	Entries []Entry          // new, changed and withdrawn ledger entries, by the loser's dot
	Counts  []Count
}

// Decide lets an operation meet the standing versions. It allocates nothing
// once out has held an outcome of the same size, unless there is a conflict.
func Decide(in *Input, out *Outcome) {
	out.Next, out.Entries, out.Counts = out.Next[:0], out.Entries[:0], out.Counts[:0]
	if in.Incoming != nil && slices.ContainsFunc(in.Standing, func(v origin.Version) bool { return v.Dot == in.Incoming.Dot }) {
		// Applied before. Callers drop duplicates; here they change nothing.
		out.Next = append(out.Next, in.Standing...)
		arrange(out.Next, in.Policies)
		return
	}
	for i := range in.Standing {
		if !in.covers(in.Standing[i].Dot) {
			out.Next = append(out.Next, in.Standing[i])
		}
	}
	if in.Incoming != nil {
		out.Next = append(out.Next, *in.Incoming)
	}
	arrange(out.Next, in.Policies)
	out.Policy = in.Policies.of(out.Next).Kind

	before := Visible(in.Standing, in.Policies)
	shown := in.shown()
	for i := range in.Standing {
		v := &in.Standing[i]
		was := ClassLive
		if open(in.Standing, i, before) {
			was = ClassOpen
		}
		is := in.fate(i, shown)
		if !in.covers(v.Dot) {
			is = standingClass(out.Next, v)
		}
		if was != is {
			out.Counts = append(out.Counts, Count{v.Dot.Stream, was, -1}, Count{v.Dot.Stream, is, 1})
		}
		switch {
		case is == ClassOpen:
			if was != ClassOpen || in.Standing[before].Dot != out.Next[0].Dot && !mutant.On(mutant.WrongWinner) {
				out.Entries = append(out.Entries, in.entry(v, Open, &out.Next[0]))
			}
		case is == ClassSuperseded:
			out.Entries = append(out.Entries, in.entry(v, Superseded, in.Incoming))
		case is == ClassClosed:
			out.Entries = append(out.Entries, in.entry(v, Closed, in.Incoming))
		case was == ClassOpen && !mutant.On(mutant.NeverWithdraw):
			out.Entries = append(out.Entries, in.entry(v, Withdrawn, in.Incoming))
		}
	}
	if in.Incoming != nil {
		is := standingClass(out.Next, in.Incoming)
		out.Counts = append(out.Counts, Count{in.Incoming.Dot.Stream, is, 1})
		if is == ClassOpen && !mutant.On(mutant.LoserUnlisted) {
			out.Entries = append(out.Entries, in.entry(in.Incoming, Open, &out.Next[0]))
		}
	}
	if len(out.Entries) > 1 {
		slices.SortFunc(out.Entries, func(a, b Entry) int { return a.Loser.Dot.Compare(b.Loser.Dot) })
	}
}

// covers tells whether a version leaves the set.
func (in *Input) covers(d origin.OpDot) bool {
	return in.Covers(d) && !mutant.On(mutant.NothingCovers) || mutant.On(mutant.AnyCovers)
}

// shown is the index of the standing version that the writer was shown: the
// visible one among the covered that it does not call hidden; -1 if none.
func (in *Input) shown() int {
	seen := func(v *origin.Version) bool { return in.Covers(v.Dot) && !slices.Contains(in.Hidden, v.Dot) }
	n, only, epoch := 0, -1, uint64(0)
	for i := range in.Standing {
		if v := &in.Standing[i]; seen(v) {
			n, only, epoch = n+1, i, max(epoch, v.Policy)
		}
	}
	if n < 2 {
		return only
	}
	var p Policy
	if in.Policies != nil {
		p = in.Policies(epoch)
	}
	best := -1
	for i := range in.Standing {
		if v := &in.Standing[i]; seen(v) && (best < 0 || p.compare(v, &in.Standing[best]) > 0) {
			best = i
		}
	}
	return best
}

// fate is the class of the covered version i.
func (in *Input) fate(i, shown int) Class {
	if i != shown && (shown < 0 || slices.Contains(in.Hidden, in.Standing[i].Dot) || !same(&in.Standing[i], &in.Standing[shown])) {
		if slices.Contains(in.Closes, in.Standing[i].Dot) {
			return ClassClosed
		}
		return ClassSuperseded
	}
	if in.Incoming == nil || in.Incoming.Tombstone {
		return ClassDeleted
	}
	return ClassOverwritten
}

// entry makes a ledger entry; winner may be nil.
func (in *Input) entry(loser *origin.Version, s State, winner *origin.Version) Entry {
	e := Entry{ID: EntryID(in.File, in.Address, loser.Dot), State: s, Loser: *loser, By: in.By}
	if winner != nil {
		e.Winner = *winner
	}
	return e
}

// open reports whether version i of a set is an open conflict.
func open(set []origin.Version, i, visible int) bool {
	return i != visible && !same(&set[i], &set[visible])
}

// standingClass is the class of v in next, a set in stored order that has it.
func standingClass(next []origin.Version, v *origin.Version) Class {
	if v.Dot != next[0].Dot && !same(v, &next[0]) {
		return ClassOpen
	}
	return ClassLive
}
