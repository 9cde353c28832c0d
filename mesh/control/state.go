package control

import (
	"bytes"
	"cmp"
	"slices"

	"drmesh/origin"
)

// Role is what a member is for.
type Role string

const (
	RoleMember  Role = "member"  // holds data, writes, relays, votes
	RoleWitness Role = "witness" // votes, holds no data
	RoleLeaf    Role = "leaf"    // writes; does not vote, carries nothing for others
)

// Status is where a member stands in its life.
type Status string

const (
	Joining Status = "joining" // admitted; has not the data yet
	Active  Status = "member"
	Leaving Status = "leaving" // sealed: the others report its heads
	Left    Status = "left"
	Removed Status = "removed" // left, and its certificate is revoked
)

// Limits of the state.
const (
	MaxMembers   = 4096
	MaxTokens    = 4096
	MaxAddresses = 16
	MaxHistory   = 20 // table texts kept
)

// A leaf that was not heard of for longer than its limit is removed, so that
// nobody keeps a journal for it forever. In milliseconds.
const (
	LeafLimit    = 30 * 24 * 3600 * 1000 // where its token says nothing
	MaxLeafLimit = 10 * 365 * 24 * 3600 * 1000
)

// Member is a module that was admitted.
type Member struct {
	Number    origin.Module `msgpack:"n" json:"number"`
	Name      string        `msgpack:"m" json:"name"` // %system#module
	Addresses []string      `msgpack:"a" json:"addresses"`
	Role      Role          `msgpack:"r" json:"role"`
	Key       []byte        `msgpack:"k" json:"key"` // Ed25519 public key
	Status    Status        `msgpack:"s" json:"status"`
	Voter     bool          `msgpack:"v" json:"voter"`
	Serial    string        `msgpack:"c" json:"serial"` // of its certificate
	JoinedAt  int64         `msgpack:"t" json:"joined_at"`
	// Behind says that control went on without it, and that it has not followed
	// yet: nothing is heard of it, and it does not vote.
	Behind bool `msgpack:"b,omitempty" json:"behind,omitempty"`
	// Limit is how long a leaf may go unheard, in ms; Heard when somebody last
	// said that he had heard of it, in unix ms. That is said now and then only:
	// see HeardAt.
	Limit int64 `msgpack:"l,omitempty" json:"limit_ms,omitempty"`
	Heard int64 `msgpack:"h,omitempty" json:"heard_at,omitempty"`
	// Instance is that of the one directory of it that may write; none until it
	// is renewed.
	Instance []byte `msgpack:"i,omitempty" json:"-"`
}

// HeardAt is when control last knew of m being there, in unix ms.
func (m *Member) HeardAt() int64 { return max(m.Heard, m.JoinedAt) }

// Standing reports whether m takes part in the mesh: it has not left.
func (m *Member) Standing() bool {
	return m.Status == Joining || m.Status == Active || m.Status == Leaving
}

// HoldsData reports whether m is standing and no witness.
func (m *Member) HoldsData() bool { return m.Standing() && m.Role != RoleWitness }

// Token admits one module.
type Token struct {
	ID      string        `msgpack:"i" json:"id"`
	Secret  []byte        `msgpack:"s" json:"-"` // SHA-256
	Role    Role          `msgpack:"r" json:"role"`
	Expires int64         `msgpack:"e" json:"expires"` // unix ms
	UsedBy  origin.Module `msgpack:"u" json:"used_by"` // 0: unused
	Limit   int64         `msgpack:"l,omitempty" json:"limit_ms,omitempty"`
}

// Group is a name and its number, given out once.
type Group struct {
	Number origin.Group `msgpack:"n" json:"number"`
	Name   string       `msgpack:"m" json:"name"`
	Mode   string       `msgpack:"o" json:"mode"` // active, owned
}

// Writing is the incarnation under which a module writes a group now.
type Writing struct {
	Group       origin.Group       `msgpack:"g" json:"group"`
	Module      origin.Module      `msgpack:"m" json:"module"`
	Incarnation origin.Incarnation `msgpack:"i" json:"incarnation"`
	// Beside: an owned group, which the module writes beside its owner.
	Beside bool `msgpack:"b,omitempty" json:"beside,omitempty"`
}

func (w Writing) compare(v Writing) int {
	return cmp.Or(cmp.Compare(w.Group, v.Group), cmp.Compare(w.Module, v.Module))
}

// Place is a position of a stream, in the flat form that is encoded.
type Place struct {
	Group       origin.Group       `msgpack:"g" json:"group"`
	Module      origin.Module      `msgpack:"m" json:"module"`
	Incarnation origin.Incarnation `msgpack:"i" json:"incarnation"`
	Seq         origin.Seq         `msgpack:"s" json:"seq"`
	Hash        []byte             `msgpack:"h" json:"hash"`
}

// PlaceOf is the flat form of a stream's position.
func PlaceOf(s origin.Stream, p origin.Position) Place {
	return Place{s.Group, s.Module, s.Incarnation, p.Seq, p.Hash[:]}
}

// Stream is the stream that p is a position of.
func (p Place) Stream() origin.Stream {
	return origin.Stream{Group: p.Group, Module: p.Module, Incarnation: p.Incarnation}
}

// Position is the place within the stream.
func (p Place) Position() origin.Position {
	q := origin.Position{Seq: p.Seq}
	copy(q.Hash[:], p.Hash)
	return q
}

// beyond orders places of one stream: by seq, then hash, so that of two
// branches of a fork every module picks the same.
func (p Place) beyond(q Place) bool {
	return cmp.Or(cmp.Compare(p.Seq, q.Seq), bytes.Compare(p.Hash, q.Hash)) > 0
}

// Departure is a leave, a removal or a renewal under way.
type Departure struct {
	Module  origin.Module   `msgpack:"m" json:"module"`
	Removed bool            `msgpack:"r" json:"removed"`
	Needed  []origin.Module `msgpack:"n" json:"needed"` // who stood by when it began
	Reports []Report        `msgpack:"p" json:"reports"`
	// Renews is not empty where the module stays: the instance that it gets.
	Renews []byte `msgpack:"w,omitempty" json:"renews,omitempty"`
}

// Report is what one member holds of the streams of a module that leaves. From
// its report on it takes nothing more of them but up to the greatest reported.
type Report struct {
	By     origin.Module `msgpack:"b" json:"by"`
	Places []Place       `msgpack:"p" json:"places"`
}

// Text is one applied version of the control tables, as it was written.
type Text struct {
	Epoch  uint64 `msgpack:"e" json:"epoch"`
	At     int64  `msgpack:"t" json:"at"` // unix ms
	By     string `msgpack:"b" json:"by"`
	Format string `msgpack:"f" json:"format"`
	Source []byte `msgpack:"s" json:"source"`
}

// Placed remembers the group that a share was last in.
type Placed struct {
	Share string `msgpack:"s" json:"share"`
	Group string `msgpack:"g" json:"group"`
}

// State is everything agreed upon. It is immutable: whoever holds one may read
// it from any goroutine, forever. All lists are sorted.
type State struct {
	Index        uint64      `msgpack:"x" json:"index"`
	Mesh         string      `msgpack:"i" json:"mesh"` // id; empty before Init
	Name         string      `msgpack:"n" json:"name"`
	Authority    []byte      `msgpack:"a" json:"-"` // certificate, PEM
	AuthorityKey []byte      `msgpack:"k" json:"-"` // private key, PEM; plain or sealed
	Members      []Member    `msgpack:"m" json:"members"`
	Tokens       []Token     `msgpack:"t" json:"tokens"`
	Groups       []Group     `msgpack:"g" json:"groups"`
	Writings     []Writing   `msgpack:"w" json:"writings"`
	Ends         []Place     `msgpack:"e" json:"ends"`
	Departures   []Departure `msgpack:"d" json:"departures"`
	NextModule   uint32      `msgpack:"nm" json:"next_module"`
	NextGroup    uint32      `msgpack:"ng" json:"next_group"`
	Epoch        uint64      `msgpack:"p" json:"epoch"`
	Rules        *Rules      `msgpack:"r" json:"rules"`
	History      []Text      `msgpack:"h" json:"-"` // oldest first; the last is in force
	Placed       []Placed    `msgpack:"pl" json:"-"`
	// Policies say which policy each share had from which policy epoch on: a
	// version keeps to that of the tables it was made under.
	Policies []SharePolicy `msgpack:"po,omitempty" json:"policies"` // in the order in which they came
	Terms    []Term        `msgpack:"o,omitempty" json:"terms"`     // in the order in which they began
	Switches []Switch      `msgpack:"sw,omitempty" json:"switches"`
	Receipts []Receipt     `msgpack:"rc,omitempty" json:"receipts"` // oldest first
	Lost     []LostFile    `msgpack:"lo,omitempty" json:"lost"`     // by name
	Lineages []Lineage     `msgpack:"li,omitempty" json:"lineages"` // the last is this log's
	Extents  []Extent      `msgpack:"ex,omitempty" json:"-"`        // by file and first number

	tables *Tables // derived from Rules and Members by settle
}

// New is the state before the first command.
func New() *State {
	s := &State{NextModule: 1, NextGroup: 1, Rules: &Rules{}}
	s.tables = newTables(s)
	return s
}

// Tables is the control tables in force, joined with the members.
func (s *State) Tables() *Tables { return s.tables }

// Member finds a member by number, standing or not.
func (s *State) Member(n origin.Module) (Member, bool) {
	i, ok := slices.BinarySearchFunc(s.Members, n, func(m Member, n origin.Module) int { return cmp.Compare(m.Number, n) })
	if !ok {
		return Member{}, false
	}
	return s.Members[i], true
}

// Named finds the standing member called name.
func (s *State) Named(name string) (Member, bool) {
	for _, m := range s.Members {
		if m.Name == name && m.Standing() {
			return m, true
		}
	}
	return Member{}, false
}

// Keyed finds the member, standing or not, whose public key is key.
func (s *State) Keyed(key []byte) (Member, bool) {
	for i := len(s.Members) - 1; i >= 0; i-- {
		if bytes.Equal(s.Members[i].Key, key) {
			return s.Members[i], true
		}
	}
	return Member{}, false
}

// Group finds a group by name.
func (s *State) Group(name string) (Group, bool) {
	i := slices.IndexFunc(s.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return Group{}, false
	}
	return s.Groups[i], true
}

// GroupName is the name of a group, empty if the number was not given out.
func (s *State) GroupName(n origin.Group) string {
	i := s.group(n)
	if i < 0 {
		return ""
	}
	return s.Groups[i].Name
}

// Incarnation is the one under which module writes group now; 0: it may not.
func (s *State) Incarnation(g origin.Group, m origin.Module) origin.Incarnation {
	w := Writing{Group: g, Module: m}
	i, ok := slices.BinarySearchFunc(s.Writings, w, Writing.compare)
	if !ok {
		return 0
	}
	return s.Writings[i].Incarnation
}

// End is where a stream ended; ok is false while it goes on.
func (s *State) End(st origin.Stream) (p origin.Position, ok bool) {
	i, ok := slices.BinarySearchFunc(s.Ends, st, func(p Place, st origin.Stream) int { return p.Stream().Compare(st) })
	if !ok {
		return origin.Position{}, false
	}
	return s.Ends[i].Position(), true
}

// Carries reports whether a stream is pulled from module: from a leaf only what
// it writes itself. What an owner that is gone, or a module that goes, may have
// given to a leaf alone is taken from it all the same.
func (s *State) Carries(module origin.Module, st origin.Stream) bool {
	m, ok := s.Member(module)
	if !ok || m.Role != RoleLeaf || st.Module == module {
		return true
	}
	if _, ended := s.End(st); ended {
		return true
	}
	o, ok := s.Member(st.Module)
	if !ok || o.Status == Leaving || !o.Standing() {
		return true
	}
	return slices.ContainsFunc(s.Switches, func(w Switch) bool { return w.Group == st.Group && w.Failover })
}

// Departure finds the leave, removal or renewal of m that is under way.
func (s *State) Departure(m origin.Module) (Departure, bool) {
	i := slices.IndexFunc(s.Departures, func(d Departure) bool { return d.Module == m })
	if i < 0 {
		return Departure{}, false
	}
	return s.Departures[i], true
}

// Missing lists who has still to report before d's streams have their ends.
func (s *State) Missing(d Departure) []origin.Module {
	var missing []origin.Module
	for _, n := range d.Needed {
		m, ok := s.Member(n)
		if !ok || !m.Standing() {
			continue
		}
		if e, leaving := s.Departure(n); leaving && e.Removed {
			continue // it is not there to report
		}
		if !slices.ContainsFunc(d.Reports, func(r Report) bool { return r.By == n }) {
			missing = append(missing, n)
		}
	}
	return missing
}

// maxVoters is the most that take part in an election.
const maxVoters = 7

// IdealVoters lists who ought to vote: the first active members and witnesses
// by number, an odd number of them, seven at most; of two the first alone.
// Those who vote already come before those who do not, so that a vote moves
// only when it must.
func (s *State) IdealVoters() []origin.Module {
	var can []Member
	for _, m := range s.Members {
		if m.Status == Active && m.Role != RoleLeaf && !m.Behind {
			can = append(can, m)
		}
	}
	slices.SortStableFunc(can, func(a, b Member) int {
		if a.Voter != b.Voter {
			if a.Voter {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Number, b.Number)
	})
	n := min(len(can), maxVoters)
	if n > 0 && n%2 == 0 {
		n--
	}
	voters := make([]origin.Module, 0, n)
	for _, m := range can[:n] {
		voters = append(voters, m.Number)
	}
	slices.Sort(voters)
	return voters
}
