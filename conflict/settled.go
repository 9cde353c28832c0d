package conflict

import (
	"slices"

	"drmesh/origin"
	"drmesh/origin/mutant"
)

// Said is what a member's stream has last said: its last entry or head of
// which all before it is applied here.
type Said struct {
	Stream  origin.Stream
	Seq     origin.Seq     // of that entry or head
	Context origin.Context // what the member had applied when it said so
	Control uint64         // control index that the head names; 0 for an entry
}

// Settled reports whether nothing concurrent with d can still come, so that a
// tombstone d may go: every stream that members writes in d's group by the
// greatest control index that is named has said, here, that it has applied d.
// members lists those streams; ok is false where this module does not know
// control so far, or where some stream of the group does not go to all of its
// writers: then nothing settles.
//
// A member that never writes counts too, by its heads: one that is silent
// keeps d from settling until it is back or removed.
func Settled(d origin.Dot, said []Said, members func(control uint64) (streams []origin.Stream, ok bool)) bool {
	var control uint64
	for i := range said {
		if mutant.On(mutant.TombstoneControl) && said[i].Control > 0 && control > 0 {
			control = min(control, said[i].Control)
			continue
		}
		control = max(control, said[i].Control)
	}
	streams, ok := members(control)
	if !ok || len(streams) == 0 {
		return false
	}
	for _, s := range streams {
		if mutant.On(mutant.TombstoneEarly) && s != d.Stream && saidIt(d, s, said) {
			return true
		}
		if !saidIt(d, s, said) {
			if mutant.On(mutant.TombstoneSilent) && !slices.ContainsFunc(said, func(x Said) bool { return x.Stream == s && x.Seq > 0 }) {
				continue
			}
			return false
		}
	}
	return true
}

func saidIt(d origin.Dot, s origin.Stream, said []Said) bool {
	for i := range said {
		x := &said[i]
		if x.Stream != s {
			continue
		}
		if d.Stream == s && d.Seq <= x.Seq || x.Context.Has(d) {
			return true
		}
	}
	return false
}
