package control

import (
	"slices"

	"drmesh/origin"
)

// builtPolicies are what a share's policy may be.
var builtPolicies = []string{policyLatest, "earliest", policyRank, "ask"}

// SharePolicy is the policy of a share from one policy epoch on.
type SharePolicy struct {
	Share  string          `msgpack:"s" json:"share"`
	From   uint64          `msgpack:"f" json:"from"` // policy epoch
	Policy string          `msgpack:"p" json:"policy"`
	Rank   []origin.Module `msgpack:"r,omitempty" json:"rank,omitempty"` // with rank: best first
}

func (p *SharePolicy) same(q *SharePolicy) bool {
	return p.Policy == q.Policy && slices.Equal(p.Rank, q.Rank)
}

// notePolicies keeps what the tables that were just applied say of policies,
// where it is not what was said before. It is never forgotten, since versions
// of any age may meet.
func (s *State) notePolicies() {
	s.Policies = slices.Clone(s.Policies)
	for i := range s.Rules.Shares {
		r := &s.Rules.Shares[i]
		p := SharePolicy{Share: r.Name, From: s.Epoch, Policy: r.Policy}
		if r.Policy == policyRank {
			for _, g := range s.Rules.Groups {
				if g.Name != r.Group {
					continue
				}
				for _, name := range g.Rank {
					if m, ok := s.Named(name); ok {
						p.Rank = append(p.Rank, m.Number)
					}
				}
			}
		}
		if was := s.Policy(r.Name, s.Epoch); !was.same(&p) {
			s.Policies = append(s.Policies, p)
		}
	}
}

// Policy is the policy that a share has under the tables of a policy epoch:
// latest where nothing else was said.
func (s *State) Policy(share string, epoch uint64) SharePolicy {
	for i := len(s.Policies) - 1; i >= 0; i-- {
		if p := &s.Policies[i]; p.Share == share && p.From <= epoch {
			return *p
		}
	}
	return SharePolicy{Share: share, Policy: policyLatest}
}
