package control

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"drmesh/origin"
	"drmesh/vosio/path"
)

// Step carries out the command at index and gives the state that follows. s is
// not changed. When the command is refused, err is a *Refused, and next is s
// with the index moved on; next is never nil.
func Step(s *State, index uint64, command []byte) (next *State, res Result, err error) {
	if index <= s.Index {
		return s, Result{Index: s.Index, Epoch: s.Epoch}, refuse(ErrOldIndex, fmt.Sprint(index), "the state stands at %d", s.Index)
	}
	n := *s
	n.Index = index
	res = Result{Index: index}
	c, err := DecodeCommand(command)
	if err != nil {
		err = refuse(ErrMalformed, "", "%v", err)
	} else {
		err = n.do(c, &res)
	}
	if err != nil {
		n = *s // as it was: a refused command leaves nothing half done
		n.Index = index
		return &n, Result{Index: index, Epoch: n.Epoch}, err
	}
	n.settle(s, c.At)
	res.Epoch = n.Epoch
	return &n, res, nil
}

func (s *State) do(c *Command, res *Result) error {
	if s.Mesh == "" && c.Kind != KindInit {
		return refuse(ErrNoMesh, "", "")
	}
	missing := refuse(ErrMalformed, "", "the body of a command of kind %d is missing", c.Kind)
	switch c.Kind {
	case KindInit:
		if c.Init == nil {
			return missing
		}
		return s.init(c.Init, c.At, res)
	case KindCreateToken:
		if c.CreateToken == nil {
			return missing
		}
		return s.createToken(c.CreateToken, c.At)
	case KindRevokeToken:
		if c.RevokeToken == nil {
			return missing
		}
		return s.revokeToken(c.RevokeToken)
	case KindAdmit:
		if c.Admit == nil {
			return missing
		}
		return s.admit(c.Admit, c.At, res)
	case KindUpdate:
		if c.Update == nil {
			return missing
		}
		return s.update(c.Update, c.At)
	case KindLeave:
		if c.Leave == nil {
			return missing
		}
		return s.leave(c.Leave)
	case KindReport:
		if c.Report == nil {
			return missing
		}
		return s.report(c.Report)
	case KindApply:
		if c.Apply == nil {
			return missing
		}
		return s.apply(c.Apply, c.At)
	case KindBeginSwitch:
		if c.BeginSwitch == nil {
			return missing
		}
		return s.beginSwitch(c.BeginSwitch, c.At)
	case KindSeal:
		if c.Seal == nil {
			return missing
		}
		return s.seal(c.Seal, c.At)
	case KindEndSwitch:
		if c.EndSwitch == nil {
			return missing
		}
		return s.endSwitch(c.EndSwitch, c.At)
	case KindDropSwitch:
		if c.DropSwitch == nil {
			return missing
		}
		return s.dropSwitch(c.DropSwitch, c.At)
	case KindHookDone:
		if c.HookDone == nil {
			return missing
		}
		return s.hookDone(c.HookDone, c.At)
	case KindRecordLost:
		if c.RecordLost == nil {
			return missing
		}
		return s.recordLost(c.RecordLost, c.At)
	case KindRecover:
		if c.Recover == nil {
			return missing
		}
		return s.recover(c.Recover, c.At)
	case KindEndBeside:
		if c.EndBeside == nil {
			return missing
		}
		return s.endBeside(c.EndBeside)
	case KindRenew:
		if c.Renew == nil {
			return missing
		}
		return s.renew(c.Renew)
	case KindLease:
		if c.Lease == nil {
			return missing
		}
		return s.leaseNumbers(c.Lease)
	}
	return refuse(ErrUnknownKind, "", "%d; this release knows %d to %d", c.Kind, KindInit, KindLease)
}

// Bounds of what a command may put into the state.
const (
	keySize    = 32
	hashSize   = 32
	maxAddress = 300
	maxText    = 128
	maxPEM     = 64 << 10
)

func checkMember(name string, addresses []string, key []byte, serial string) error {
	if err := path.CheckModule(name); err != nil {
		return refuse(ErrMalformed, name, "%v", err)
	}
	if len(key) != keySize {
		return refuse(ErrMalformed, name, "a public key has %d bytes, not %d", keySize, len(key))
	}
	if len(serial) > maxText {
		return refuse(ErrMalformed, name, "the serial number is too long")
	}
	return checkAddresses(name, addresses)
}

func checkAddresses(name string, addresses []string) error {
	if len(addresses) > MaxAddresses {
		return refuse(ErrTooMany, name, "%d addresses, %d are allowed", len(addresses), MaxAddresses)
	}
	for _, a := range addresses {
		if len(a) > maxAddress || a == "" {
			return refuse(ErrMalformed, name, "an address is empty or too long")
		}
	}
	return nil
}

func (s *State) init(c *Init, at int64, res *Result) error {
	if s.Mesh != "" {
		return refuse(ErrMeshExists, s.Name, "")
	}
	if c.Mesh == "" || max(len(c.Mesh), len(c.Name)) > maxText || max(len(c.Authority), len(c.AuthorityKey)) > maxPEM {
		return refuse(ErrMalformed, c.Name, "a mesh has an id, a name and an authority of some length")
	}
	if err := checkMember(c.Module, c.Addresses, c.Key, c.Serial); err != nil {
		return err
	}
	s.Mesh, s.Name, s.Authority, s.AuthorityKey = c.Mesh, c.Name, c.Authority, c.AuthorityKey
	res.Module = s.add(Member{
		Name: c.Module, Addresses: c.Addresses, Role: RoleMember, Key: c.Key,
		Status: Active, Voter: true, Serial: c.Serial, JoinedAt: at,
	})
	return nil
}

// add gives m the next number.
func (s *State) add(m Member) origin.Module {
	m.Number = origin.Module(s.NextModule)
	s.NextModule++
	i, _ := slices.BinarySearchFunc(s.Members, m.Number, func(m Member, n origin.Module) int { return cmp.Compare(m.Number, n) })
	s.Members = slices.Insert(slices.Clone(s.Members), i, m)
	return m.Number
}

// put replaces the member with m's number.
func (s *State) put(m Member) {
	s.Members = slices.Clone(s.Members)
	i, _ := slices.BinarySearchFunc(s.Members, m.Number, func(m Member, n origin.Module) int { return cmp.Compare(m.Number, n) })
	s.Members[i] = m
}

func (s *State) createToken(c *CreateToken, at int64) error {
	if c.ID == "" || len(c.ID) > maxText || len(c.Secret) != hashSize {
		return refuse(ErrMalformed, "token", "a token has an id and the SHA-256 of a secret")
	}
	if c.Role != RoleMember && c.Role != RoleWitness && c.Role != RoleLeaf {
		return refuse(ErrMalformed, "token "+c.ID, "the role %q is not one of: member, witness, leaf", c.Role)
	}
	switch {
	case c.Role != RoleLeaf && c.Limit != 0:
		return refuse(ErrMalformed, "token "+c.ID, "only a leaf has a limit")
	case c.Limit < 0 || c.Limit > MaxLeafLimit:
		return refuse(ErrMalformed, "token "+c.ID, "a leaf's limit is 1 to %d ms", int64(MaxLeafLimit))
	}
	limit := c.Limit
	if c.Role == RoleLeaf && limit == 0 {
		limit = LeafLimit
	}
	// Those that expired a day ago and admitted nobody need not be told apart
	// from those that never were.
	kept := slices.DeleteFunc(slices.Clone(s.Tokens), func(t Token) bool { return t.UsedBy == 0 && t.Expires < at-24*3600*1000 })
	i, found := slices.BinarySearchFunc(kept, c.ID, func(t Token, id string) int { return cmp.Compare(t.ID, id) })
	if found {
		return refuse(ErrTokenExists, "token "+c.ID, "")
	}
	if len(kept) >= MaxTokens {
		return refuse(ErrTooMany, "tokens", "%d are allowed", MaxTokens)
	}
	s.Tokens = slices.Insert(kept, i, Token{ID: c.ID, Secret: c.Secret, Role: c.Role, Expires: c.Expires, Limit: limit})
	return nil
}

func (s *State) token(id string) int {
	return slices.IndexFunc(s.Tokens, func(t Token) bool { return t.ID == id })
}

func (s *State) revokeToken(c *RevokeToken) error {
	i := s.token(c.ID)
	if i < 0 {
		return refuse(ErrTokenUnknown, "token "+clipText(c.ID), "")
	}
	if n := s.Tokens[i].UsedBy; n != 0 {
		m, _ := s.Member(n)
		return refuse(ErrTokenUsed, "token "+c.ID, "%s joined with it", m.Name)
	}
	s.Tokens = slices.Delete(slices.Clone(s.Tokens), i, i+1)
	return nil
}

// CheckToken is what Admit will say of a token at the time at, so that a join
// can be refused before a certificate is made.
func (s *State) CheckToken(id string, secret []byte, at int64) (Role, error) {
	i := s.token(id)
	if i < 0 || !bytes.Equal(s.Tokens[i].Secret, secret) {
		return "", refuse(ErrTokenUnknown, "token "+clipText(id), "make one with: drmesh token create")
	}
	t := s.Tokens[i]
	if t.UsedBy != 0 {
		m, _ := s.Member(t.UsedBy)
		return "", refuse(ErrTokenUsed, "token "+t.ID, "%s joined with it; make another with: drmesh token create", m.Name)
	}
	if at >= t.Expires {
		return "", refuse(ErrTokenExpired, "token "+t.ID, "make another with: drmesh token create")
	}
	return t.Role, nil
}

func (s *State) admit(c *Admit, at int64, res *Result) error {
	if err := checkMember(c.Module, c.Addresses, c.Key, c.Serial); err != nil {
		return err
	}
	i := s.token(c.Token)
	again, known := s.Keyed(c.Key)
	known = known && again.Standing() && again.Name == c.Module
	if known && i >= 0 && s.Tokens[i].UsedBy == again.Number && bytes.Equal(s.Tokens[i].Secret, c.Secret) {
		res.Module = again.Number // the join is retried
		return nil
	}
	role, err := s.CheckToken(c.Token, c.Secret, at)
	if err != nil {
		return err
	}
	if holder, taken := s.Named(c.Module); taken && !known {
		return refuse(ErrNameTaken, c.Module, "module %d has it, at %v", holder.Number, holder.Addresses)
	}
	if !known {
		if m, taken := s.Keyed(c.Key); taken {
			return refuse(ErrKeyTaken, c.Module, "%s has the same key", m.Name)
		}
		if len(s.Members) >= MaxMembers {
			return refuse(ErrTooMany, "members", "%d are allowed", MaxMembers)
		}
		res.Module = s.add(Member{
			Name: c.Module, Addresses: c.Addresses, Role: role, Key: c.Key,
			Status: Joining, Serial: c.Serial, JoinedAt: at, Limit: s.Tokens[i].Limit,
		})
	} else {
		res.Module = again.Number
	}
	s.Tokens = slices.Clone(s.Tokens)
	s.Tokens[i].UsedBy = res.Module
	return nil
}

func (s *State) update(c *Update, at int64) error {
	m, ok := s.Member(c.Module)
	if !ok || !m.Standing() {
		return refuse(ErrNoMember, fmt.Sprintf("module %d", c.Module), "")
	}
	if err := checkAddresses(m.Name, c.Addresses); err != nil {
		return err
	}
	if len(c.Serial) > maxText {
		return refuse(ErrMalformed, m.Name, "the serial number is too long")
	}
	if len(c.Addresses) > 0 {
		m.Addresses = c.Addresses
	}
	if c.Serial != "" {
		m.Serial = c.Serial
	}
	if c.Serving && m.Status == Joining {
		m.Status = Active
	}
	if c.Following {
		m.Behind = false
	}
	if c.Heard != 0 {
		if m.Role != RoleLeaf || c.Heard > at {
			return refuse(ErrMalformed, m.Name, "a %s heard of at %d, which is said at %d", m.Role, c.Heard, at)
		}
		m.Heard = max(m.Heard, c.Heard)
	}
	if c.Voter != nil {
		if *c.Voter && (m.Behind || m.Role == RoleLeaf || m.Status != Active) {
			return refuse(ErrMalformed, m.Name, "a %s with status %s does not vote", m.Role, m.Status)
		}
		m.Voter = *c.Voter
	}
	s.put(m)
	return nil
}

func (s *State) leave(c *Leave) error {
	m, ok := s.Member(c.Module)
	if !ok || !m.Standing() {
		return refuse(ErrNoMember, fmt.Sprintf("module %d", c.Module), "")
	}
	if c.Since != 0 && (m.Role != RoleLeaf || !c.Removed) {
		return refuse(ErrMalformed, m.Name, "only a leaf is removed for not being heard")
	}
	if c.Since != 0 && m.HeardAt() > c.Since {
		return refuse(ErrHeard, m.Name, "at %d, and not last at %d", m.HeardAt(), c.Since)
	}
	if g := s.owns(c.Module); g != "" {
		return refuse(ErrOwns, m.Name, "it owns the group %s: give that to another first, with: drmesh switchover start %s MODULE", g, g)
	}
	if i := slices.IndexFunc(s.Departures, func(d Departure) bool { return d.Module == c.Module }); i >= 0 {
		// A leave that does not come to its end is turned into a removal, and so
		// may a renewal be.
		s.Departures = slices.Clone(s.Departures)
		if s.Departures[i].Renews != nil {
			s.Departures[i].Renews = nil
			m.Status = Leaving
			s.put(m)
		}
		s.Departures[i].Removed = s.Departures[i].Removed || c.Removed
		if c.Removed {
			s.Departures[i].Needed = slices.DeleteFunc(slices.Clone(s.Departures[i].Needed), func(n origin.Module) bool { return n == c.Module })
		}
		return nil
	}
	d := Departure{Module: c.Module, Removed: c.Removed}
	others := 0
	for _, o := range s.Members {
		if !o.Standing() || o.Number == c.Module {
			continue
		}
		if o.Status == Active && o.Role != RoleWitness {
			others++
		}
		if o.HoldsData() && o.Status != Joining {
			d.Needed = append(d.Needed, o.Number)
		}
	}
	if others == 0 && m.Role != RoleWitness && m.Status != Joining {
		return refuse(ErrLastMember, m.Name, "no other member has the data")
	}
	// One that leaves by itself reports too, and so leaves no tail behind.
	if !c.Removed && m.HoldsData() && m.Status == Active {
		d.Needed = append(d.Needed, c.Module)
		slices.Sort(d.Needed)
	}
	m.Status = Leaving
	s.put(m)
	s.Departures = append(slices.Clone(s.Departures), d)
	slices.SortFunc(s.Departures, func(a, b Departure) int { return cmp.Compare(a.Module, b.Module) })
	return nil
}

func (s *State) report(c *ReportHeads) error {
	m, ok := s.Member(c.By)
	if !ok || !m.Standing() {
		return refuse(ErrNoMember, fmt.Sprintf("module %d", c.By), "")
	}
	i := slices.IndexFunc(s.Departures, func(d Departure) bool { return d.Module == c.Of })
	if i < 0 {
		return refuse(ErrNotLeaving, fmt.Sprintf("module %d", c.Of), "")
	}
	if len(c.Places) > origin.MaxStreams {
		return refuse(ErrTooMany, m.Name, "%d streams, %d are allowed", len(c.Places), origin.MaxStreams)
	}
	for _, p := range c.Places {
		if p.Module != c.Of || len(p.Hash) != hashSize {
			return refuse(ErrMalformed, m.Name, "a report on module %d names %v", c.Of, p.Stream())
		}
	}
	d := s.Departures[i]
	if slices.ContainsFunc(d.Reports, func(r Report) bool { return r.By == c.By }) {
		return nil
	}
	d.Reports = append(slices.Clone(d.Reports), Report{c.By, c.Places})
	s.Departures = slices.Clone(s.Departures)
	s.Departures[i] = d
	return nil
}

func (s *State) apply(c *Apply, at int64) error {
	if c.Base != s.Epoch {
		return refuse(ErrEpochMoved, "control tables", "they were compiled against epoch %d, %d is in force", c.Base, s.Epoch)
	}
	if c.Rules == nil || len(c.Format) > maxText || len(c.By) > maxText {
		return refuse(ErrMalformed, "control tables", "rules are missing, or a text is too long")
	}
	if err := c.Rules.check(); err != nil {
		return refuse(ErrTables, "control tables", "%v", err)
	}
	for _, r := range c.Rules.Shares {
		for _, p := range s.Placed {
			if p.Share == r.Name && p.Group != r.Group {
				return refuse(ErrTables, "share "+r.Name, "it was in the group %s", p.Group)
			}
		}
	}
	for _, g := range c.Rules.Groups {
		if h, ok := s.Group(g.Name); ok && h.Mode != g.Mode {
			return refuse(ErrTables, "group "+g.Name, "its mode is %s: name another group to have the mode %s", h.Mode, g.Mode)
		}
		if why := s.besideProblem(&g); why != "" {
			return refuse(ErrTables, "group "+g.Name, "%s", why)
		}
	}
	s.Epoch++
	s.Rules = c.Rules
	s.Groups = slices.Clone(s.Groups)
	for _, g := range c.Rules.Groups {
		if i := slices.IndexFunc(s.Groups, func(h Group) bool { return h.Name == g.Name }); i >= 0 {
			s.Groups[i].Mode = g.Mode
			continue
		}
		s.addGroup(g.Name, g.Mode)
	}
	s.Placed = slices.Clone(s.Placed)
	for _, r := range c.Rules.Shares {
		if !slices.ContainsFunc(s.Placed, func(p Placed) bool { return p.Share == r.Name }) {
			s.Placed = append(s.Placed, Placed{r.Name, r.Group})
		}
	}
	s.notePolicies()
	s.History = append(slices.Clone(s.History), Text{s.Epoch, at, c.By, c.Format, c.Source})
	if n := len(s.History) - MaxHistory; n > 0 {
		s.History = slices.Delete(s.History, 0, n)
	}
	return nil
}

// settle draws what follows from a change of old: departures that are
// complete, the tables as they now stand, new writers' incarnations.
func (s *State) settle(old *State, at int64) {
	for i := 0; i < len(s.Departures); {
		if len(s.Missing(s.Departures[i])) > 0 {
			i++
			continue
		}
		s.depart(s.Departures[i])
		i = 0 // those who waited for this one need not any more
	}
	if s.Rules != old.Rules || len(s.Members) != len(old.Members) || len(s.Members) > 0 && &s.Members[0] != &old.Members[0] {
		s.tables = newTables(s)
		s.grant()
		s.beside()
		s.found(at)
	}
}

// depart ends the streams of a module that everyone has reported on.
func (s *State) depart(d Departure) {
	s.Departures = slices.DeleteFunc(slices.Clone(s.Departures), func(e Departure) bool { return e.Module == d.Module })
	if d.Renews != nil {
		s.renewed(d)
		return
	}
	for _, w := range s.Writings {
		st := origin.Stream{Group: w.Group, Module: w.Module, Incarnation: w.Incarnation}
		if _, ended := s.End(st); w.Module != d.Module || ended {
			continue
		}
		s.setEnd(d.end(st))
	}
	m, _ := s.Member(d.Module)
	m.Status, m.Voter = Left, false
	if d.Removed {
		m.Status = Removed
	}
	s.put(m)
	s.disown(d.Module, true)
}

// grant gives every (group, module) that may write and has no incarnation its
// first. A leaving module gets no new one.
func (s *State) grant() {
	var fresh []Writing
	for _, g := range s.Groups {
		for _, m := range s.Members {
			if m.Status != Leaving && s.tables.MayOriginate(g.Number, m.Number) && s.Incarnation(g.Number, m.Number) == 0 {
				fresh = append(fresh, Writing{Group: g.Number, Module: m.Number, Incarnation: origin.Incarnation(s.first())})
			}
		}
	}
	if len(fresh) > 0 {
		s.Writings = append(slices.Clone(s.Writings), fresh...)
		slices.SortFunc(s.Writings, Writing.compare)
	}
}
