package control

import (
	"slices"
	"strings"

	"drmesh/origin"
	"drmesh/vosio/path"
)

// Values of fields.
const (
	policyLatest = "latest"
	policyRank   = "rank"

	// All modules that have a route write a group with ModeActive, one at a
	// time one with ModeOwned.
	ModeActive = "active"
	ModeOwned  = "owned"

	// Who must hold a change before it is acknowledged: nobody else, one other
	// module, one of another system, all destinations.
	ScopeLocal  = "local"
	ScopeOne    = "one"
	ScopeSystem = "system"
	ScopeAll    = "all"

	// Sync acknowledges what is flushed; Interval at once, and flushes every
	// IntervalMS.
	Sync     = "sync"
	Interval = "interval"
)

// Share is one share of the tables in force.
type Share struct {
	ShareRule
	GroupNumber  origin.Group  `json:"group_number"`
	Source       origin.Module `json:"source"`        // the first member of the system of source_path
	SourceModule string        `json:"source_module"` // its name
}

// Tables is the control tables joined with the members of the moment. It is
// immutable, and every method answers alike on all modules that stand at the
// same control index.
type Tables struct {
	Epoch  uint64  `json:"epoch"`
	Shares []Share `json:"shares"` // in the order of the text

	rules    *Rules
	members  []Member
	standing map[string]*Member      // by name
	byName   map[string]int          // share's place in Shares
	byGroup  map[origin.Group]int    // group's place in rules.Groups
	groups   map[string]int          // the same by name
	maps     map[[2]string]path.Full // by share, module
	beside   map[besideOf]bool       // who has been supplementary
	peers    map[string][]string
}

func newTables(s *State) *Tables {
	numbers := map[string]origin.Group{}
	for _, g := range s.Groups {
		numbers[g.Name] = g.Number
	}
	return joinTables(s.Epoch, s.Rules, s.Members, numbers, s.besides())
}

func joinTables(epoch uint64, r *Rules, members []Member, numbers map[string]origin.Group, beside map[besideOf]bool) *Tables {
	t := &Tables{
		Epoch: epoch, rules: r, members: members, beside: beside,
		standing: map[string]*Member{}, byName: map[string]int{}, byGroup: map[origin.Group]int{}, groups: map[string]int{},
		maps: map[[2]string]path.Full{}, peers: map[string][]string{},
	}
	for i := range members {
		if members[i].Standing() {
			t.standing[members[i].Name] = &members[i]
		}
	}
	for i, g := range r.Groups {
		t.groups[g.Name] = i
		if n := numbers[g.Name]; n != 0 {
			t.byGroup[n] = i
		}
	}
	for _, m := range r.Maps {
		t.maps[[2]string{m.Share, m.Module}] = m.Directory
	}
	for _, p := range r.Peers {
		t.peers[p.Module] = p.Peers
	}
	for _, rule := range r.Shares {
		s := Share{ShareRule: rule, GroupNumber: numbers[rule.Group]}
		if m := t.source(rule); m != nil {
			s.Source, s.SourceModule = m.Number, m.Name
		}
		t.byName[rule.Name] = len(t.Shares)
		t.Shares = append(t.Shares, s)
	}
	return t
}

// source is the first member of the share's own system: one that may write it,
// if there is one.
func (t *Tables) source(r ShareRule) *Member {
	var first *Member
	g := t.groupRule(r.Group)
	for i := range t.members {
		m := &t.members[i]
		if !m.HoldsData() || path.SystemOf(m.Name) != r.Root.System() {
			continue
		}
		if g != nil && g.mayOwn(m.Name) {
			return m
		}
		if first == nil {
			first = m
		}
	}
	return first
}

func (t *Tables) groupRule(name string) *GroupRule {
	i, ok := t.groups[name]
	if !ok {
		return nil
	}
	return &t.rules.Groups[i]
}

func (t *Tables) group(n origin.Group) *GroupRule {
	i, ok := t.byGroup[n]
	if !ok {
		return nil
	}
	return &t.rules.Groups[i]
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return path.Match(p, name) })
}

func (g *GroupRule) from(name string) bool {
	return slices.ContainsFunc(g.Routes, func(r Route) bool { return matchAny(r.From, name) })
}

func (g *GroupRule) to(name string) bool {
	return slices.ContainsFunc(g.Routes, func(r Route) bool { return matchAny(r.To, name) })
}

// has reports whether the module called name has the group's files.
func (g *GroupRule) has(name string) bool { return g.from(name) || g.to(name) }

// destination reports whether what origin writes goes to the module called to.
// An origin that no route starts at any more has written before: what it wrote
// goes to all. What is written beside an owner goes to none that may be it.
func (g *GroupRule) destination(origin, to string) bool {
	if g.supplements(origin) && g.mayOwn(to) {
		return false
	}
	if !g.from(origin) {
		return g.to(to)
	}
	return slices.ContainsFunc(g.Routes, func(r Route) bool { return matchAny(r.From, origin) && matchAny(r.To, to) })
}

// Rules is what the text says, apart from who is a member.
func (t *Tables) Rules() *Rules { return t.rules }

// Share finds a share by name.
func (t *Tables) Share(name string) (*Share, bool) {
	i, ok := t.byName[name]
	if !ok {
		return nil, false
	}
	return &t.Shares[i], true
}

// ModuleName is the name of a module, standing or not.
func (t *Tables) ModuleName(n origin.Module) string {
	if m := t.member(n); m != nil {
		return m.Name
	}
	return ""
}

func (t *Tables) member(n origin.Module) *Member {
	i, ok := slices.BinarySearchFunc(t.members, n, func(m Member, n origin.Module) int { return int(int64(m.Number) - int64(n)) })
	if !ok {
		return nil
	}
	return &t.members[i]
}

// Dir is the directory of share at the standing member called module: its map
// record; else, outside the source's system, destination_dir; else the source's
// directory; with the module's own system name. ok is false where the share is
// not.
func (t *Tables) Dir(share, module string) (dir path.Full, ok bool) {
	i, ok := t.byName[share]
	m := t.standing[module]
	if !ok || m == nil || !m.HoldsData() {
		return "", false
	}
	s := &t.Shares[i]
	if g := t.groupRule(s.Group); g == nil || !g.has(module) {
		return "", false
	}
	return t.place(&s.ShareRule, module)
}

// place is Dir without the question whether the share is there at all.
func (t *Tables) place(s *ShareRule, module string) (path.Full, bool) {
	system := path.SystemOf(module)
	dir, mapped := t.maps[[2]string{s.Name, module}]
	if !mapped {
		dir = s.Root
		if s.Destination != "" && system != s.Root.System() {
			dir = s.Destination
		}
	}
	dir, err := dir.WithSystem(system)
	return dir, err == nil
}

// Directory is a share's place at one module.
type Directory struct {
	Share *Share
	Path  path.Full
}

// Directories lists what the member called module makes when the tables are
// applied, in the order of the text.
func (t *Tables) Directories(module string) []Directory {
	var l []Directory
	for i := range t.Shares {
		if dir, ok := t.Dir(t.Shares[i].Name, module); ok {
			l = append(l, Directory{&t.Shares[i], dir})
		}
	}
	return l
}

// Locate finds the share that the file full belongs to at the member called
// module, and its path below the share's directory. The first include decides;
// an exclude for all processes takes the file out.
func (t *Tables) Locate(module string, full path.Full) (s *Share, rel string, ok bool) {
	for i := range t.rules.Includes {
		inc := &t.rules.Includes[i]
		dir, ok := t.Dir(inc.Share, module)
		if !ok {
			continue
		}
		rel, ok := full.Rel(dir)
		if !ok || !covers(inc.Name, rel, inc.Any) {
			continue
		}
		s := &t.Shares[t.byName[inc.Share]]
		if t.excluded(s, rel, "") {
			return nil, "", false
		}
		return s, rel, true
	}
	return nil, "", false
}

// covers reports whether the star name of an include covers rel: * alone
// covers everything below the directory, at any depth; any other name covers
// names in the directory itself, and with any in those below it.
func covers(name, rel string, any bool) bool {
	if rel == "" {
		return false
	}
	if any {
		rel = rel[strings.LastIndexByte(rel, '>')+1:]
	}
	return name == "*" || path.Match(name, rel)
}

// excluded reports whether an exclude takes rel of s out: for everyone, if
// process is empty, else for process.
func (t *Tables) excluded(s *Share, rel, process string) bool {
	base := rel[strings.LastIndexByte(rel, '>')+1:]
	for i := range t.rules.Excludes {
		x := &t.rules.Excludes[i]
		if process == "" && x.Process != "*" || process != "" && !path.Match(x.Process, process) {
			continue
		}
		if x.Path == "" {
			if path.Match(x.Name, base) {
				return true
			}
			continue
		}
		// An exclude is written as a path at the source.
		if below, ok := (s.Root + ">" + path.Full(rel)).Rel(x.Path.Dir()); ok && covers(x.Path.Base(), below, x.Any) {
			return true
		}
	}
	return false
}

// MayWrite reports whether the program called process may write rel of share:
// no exclude matches the two, and an include of the share matches both. Whether
// the module may write at all, MayOriginate tells.
func (t *Tables) MayWrite(share, rel, process string) bool {
	s, ok := t.Share(share)
	if !ok || rel == "" || process == "" || t.excluded(s, rel, process) {
		return false
	}
	for i := range t.rules.Includes {
		inc := &t.rules.Includes[i]
		if inc.Share == share && covers(inc.Name, rel, inc.Any) && path.Match(inc.Process, process) {
			return true
		}
	}
	return false
}

// MayOriginate reports whether a route of the group starts at the module: a
// module that is only a destination reads, and writes nothing.
func (t *Tables) MayOriginate(g origin.Group, module origin.Module) bool {
	rule, m := t.group(g), t.member(module)
	return rule != nil && m != nil && m.HoldsData() && rule.from(m.Name)
}

// GroupRule is what the tables say of a group; nil: nothing.
func (t *Tables) GroupRule(g origin.Group) *GroupRule { return t.group(g) }

// FirstOwner is who begins an owned group: its owner as stated, else the first
// of its rank that has a route, else the source of its first share, else the
// first module that has a route. 0: nobody could.
func (t *Tables) FirstOwner(g origin.Group) origin.Module {
	rule := t.group(g)
	if rule == nil {
		return 0
	}
	may := func(name string) origin.Module {
		if m := t.standing[name]; m != nil && t.MayOwn(g, m.Number) {
			return m.Number
		}
		return 0
	}
	if n := may(rule.Owner); n != 0 {
		return n
	}
	for _, name := range rule.Rank {
		if n := may(name); n != 0 {
			return n
		}
	}
	for i := range t.Shares {
		if t.Shares[i].GroupNumber == g && t.MayOwn(g, t.Shares[i].Source) {
			return t.Shares[i].Source
		}
	}
	for i := range t.members {
		if n := may(t.members[i].Name); n != 0 {
			return n
		}
	}
	return 0
}

// Destinations lists the modules that what originModule writes in the group
// goes to, itself left out, by number.
func (t *Tables) Destinations(g origin.Group, originModule origin.Module) []origin.Module {
	rule, from := t.group(g), t.member(originModule)
	if rule == nil || from == nil {
		return nil
	}
	var l []origin.Module
	for i := range t.members {
		m := &t.members[i]
		if m.Number != originModule && m.HoldsData() && t.goes(rule, from, m) {
			l = append(l, m.Number)
		}
	}
	return l
}

// Holders lists the standing members that have the group's files, by number.
func (t *Tables) Holders(g origin.Group) []origin.Module {
	rule := t.group(g)
	if rule == nil {
		return nil
	}
	var l []origin.Module
	for i := range t.members {
		if m := &t.members[i]; m.HoldsData() && rule.has(m.Name) {
			l = append(l, m.Number)
		}
	}
	return l
}

// AppliesHere reports whether module takes the txns of stream: it is a
// destination of them, or their origin.
func (t *Tables) AppliesHere(s origin.Stream, module origin.Module) bool {
	rule, from, to := t.group(s.Group), t.member(s.Module), t.member(module)
	if rule == nil || from == nil || to == nil || to.Role == RoleWitness {
		return false
	}
	return s.Module == module || t.goes(rule, from, to)
}

// Linked reports whether data passes between a and b: a link stands unless the
// record of one of its ends leaves the other out. Witnesses have none.
func (t *Tables) Linked(a, b origin.Module) bool {
	m, n := t.member(a), t.member(b)
	if m == nil || n == nil || a == b || !m.HoldsData() || !n.HoldsData() {
		return false
	}
	return t.admits(m.Name, n.Name) && t.admits(n.Name, m.Name)
}

func (t *Tables) admits(module, peer string) bool {
	peers, stated := t.peers[module]
	return !stated || matchAny(peers, peer)
}

// unreached lists the destinations of from in the group that no chain of
// linked destinations leads to. A leaf ends a chain.
func (t *Tables) unreached(g *GroupRule, from *Member) []*Member {
	var open, rest []*Member
	for i := range t.members {
		if m := &t.members[i]; m.Number != from.Number && m.HoldsData() && t.goes(g, from, m) {
			rest = append(rest, m)
		}
	}
	open = append(open, from)
	for len(open) > 0 {
		at := open[0]
		open = open[1:]
		if at.Role == RoleLeaf && at != from {
			continue
		}
		rest = slices.DeleteFunc(rest, func(m *Member) bool {
			if t.Linked(at.Number, m.Number) {
				open = append(open, m)
				return true
			}
			return false
		})
	}
	return rest
}
