package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drmesh/vosio"
)

// Report is what a run did and what it checked.
type Report struct {
	Seed    uint64
	Modules int
	Ops     map[string]int // by kind, as far as they succeeded
	Refused map[string]int // by status code
	Faults  map[string]int
	Checks  map[string]int
	Txns    int
	// Account sums up what became of all changes, as a module has them in the
	// end: its classes make up those written.
	Account map[string]int64
	// Conflicts are those that were open in the end, at each module.
	Conflicts int
	// Time is the virtual time that went by for the mesh.
	Time  time.Duration
	Trace uint64 // hash of all that happened
}

// NewReport is an empty sum.
func NewReport() *Report {
	return &Report{Ops: map[string]int{}, Refused: map[string]int{}, Faults: map[string]int{}, Checks: map[string]int{}, Account: map[string]int64{}}
}

// account takes the sums of the first module that is up.
func (r *Report) account(ms []*module) {
	for _, m := range ms {
		if !m.up {
			continue
		}
		for _, a := range m.eng.Account() {
			for c := vosio.Written; c <= vosio.Parked; c++ {
				r.Account[c.String()] += a.Of(c)
			}
		}
		return
	}
}

// Add sums up runs.
func (r *Report) Add(o *Report) {
	for _, p := range [][2]map[string]int{{r.Ops, o.Ops}, {r.Refused, o.Refused}, {r.Faults, o.Faults}, {r.Checks, o.Checks}} {
		for k, n := range p[1] {
			p[0][k] += n
		}
	}
	for k, n := range o.Account {
		r.Account[k] += n
	}
	r.Txns += o.Txns
	r.Conflicts += o.Conflicts
	r.Time += o.Time
}

// String prints what a run did, for people.
func (r *Report) String() string {
	var b strings.Builder
	list := func(name string, m map[string]int) {
		fmt.Fprintf(&b, "  %s:", name)
		for i, k := range slices.Sorted(maps.Keys(m)) {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %d %s", m[k], k)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "seed %d: %d modules, %d txns, %d open conflicts in the end, trace %016x\n", r.Seed, r.Modules, r.Txns, r.Conflicts, r.Trace)
	list("operations", r.Ops)
	list("refused", r.Refused)
	list("faults", r.Faults)
	list("checked", r.Checks)
	fmt.Fprintf(&b, "  account:")
	for _, k := range slices.Sorted(maps.Keys(r.Account)) {
		if r.Account[k] != 0 {
			fmt.Fprintf(&b, " %d %s", r.Account[k], k)
		}
	}
	b.WriteString("\n")
	return b.String()
}
