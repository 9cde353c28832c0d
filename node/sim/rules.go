package sim

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio"
	"drmesh/vosio/path"
)

// Simulated files are in one share, but for those of scenarios that say
// otherwise: they may be in another share, of the same group, that is always
// flushed before an answer, or a module's own.
const (
	theGroup  origin.Group = 1
	theShare               = "orders"
	safeShare              = "safe"
)

// rules are one module's control tables: those that were put in force, or else
// all below two directories is shared.
type rules struct {
	share  vosio.Share
	safe   vosio.Share // without a name: there is none
	module string
	tables *control.Tables // nil: none yet; they know theShare only
}

func newRules(n int) *rules {
	m := origin.Module(n + 1)
	return &rules{module: nameOf(n), share: vosio.Share{Name: theShare, Group: theGroup, Stream: origin.Stream{Group: theGroup, Module: m, Incarnation: 1},
		Root: fmt.Sprintf("%%site%d#d1>shared>orders", m), Policy: 1}}
}

// addSafe adds the second share.
func (r *rules) addSafe() {
	r.safe = r.share
	r.safe.Name, r.safe.Root = safeShare, strings.TrimSuffix(r.share.Root, theShare)+safeShare
}

// Locate implements vosio.Rules.
func (r *rules) Locate(full string) (*vosio.Share, string) {
	if r.tables != nil {
		if s, rel, ok := r.tables.Locate(r.module, path.Full(full)); ok && s.Name == theShare {
			return &r.share, rel
		}
		return nil, full
	}
	for _, s := range r.Shares() {
		if rel, ok := strings.CutPrefix(full, s.Root+">"); ok {
			return s, rel
		}
	}
	return nil, full
}

// Share implements vosio.Rules.
func (r *rules) Share(name string) *vosio.Share {
	for _, s := range r.Shares() {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Shares implements vosio.Rules.
func (r *rules) Shares() []*vosio.Share {
	if r.safe.Name == "" || r.tables != nil {
		return []*vosio.Share{&r.share}
	}
	return []*vosio.Share{&r.share, &r.safe}
}

// MayWrite implements vosio.Rules.
func (r *rules) MayWrite(s *vosio.Share, rel, process string) bool {
	return r.tables == nil || r.tables.MayWrite(s.Name, rel, process)
}

// stop takes the stream away: shared files take no writes.
func (r *rules) stop() { r.share.Stream, r.safe.Stream = origin.Stream{}, origin.Stream{} }

// interval gives the share another durability: 0 is flushed before the answer.
func (r *rules) interval(d time.Duration) { r.share.Interval = d }

// follow puts tables in force.
func (r *rules) follow(st *control.State) error {
	t := st.Tables()
	root, ok := t.Dir(theShare, r.module)
	s, _ := t.Share(theShare)
	if !ok || s.GroupNumber != theGroup {
		return fmt.Errorf("%s: no share %s of group %d", r.module, theShare, theGroup)
	}
	r.tables, r.share.Root, r.share.Policy = t, string(root), st.Epoch
	return nil
}

// newControl is the state of a mesh with so many members and no tables.
func newControl(members int) (*control.State, error) {
	st := control.New()
	secret := sha256.Sum256([]byte("secret"))
	for n := range members {
		commands := []*control.Command{
			{Kind: control.KindCreateToken, CreateToken: &control.CreateToken{ID: nameOf(n), Secret: secret[:], Role: control.RoleMember, Expires: 1}},
			{Kind: control.KindAdmit, Admit: &control.Admit{Token: nameOf(n), Secret: secret[:], Module: nameOf(n), Addresses: []string{"site:1"}, Key: publicKey(origin.Module(n + 1)), Serial: "1"}},
			{Kind: control.KindUpdate, Update: &control.Update{Module: origin.Module(n + 1), Serving: true}},
		}
		if n == 0 {
			commands = []*control.Command{{Kind: control.KindInit, Init: &control.Init{Mesh: "0123456789abcdef", Name: "sim", Authority: []byte("none"), AuthorityKey: []byte("none"),
				Module: nameOf(n), Addresses: []string{"site:1"}, Key: publicKey(1), Serial: "1"}}}
		}
		for _, c := range commands {
			var err error
			if st, err = step(st, c); err != nil {
				return nil, err
			}
		}
	}
	return st, nil
}

func step(st *control.State, c *control.Command) (*control.State, error) {
	b, err := c.Encode()
	if err != nil {
		return nil, err
	}
	next, _, err := control.Step(st, st.Index+1, b)
	return next, err
}

// apply compiles new tables and puts them into a control state.
func apply(st *control.State, text string) (*control.State, error) {
	c, format, err := control.CompileText([]byte(text), st, path.Context{})
	if err != nil {
		return nil, err
	}
	return step(st, &control.Command{Kind: control.KindApply, Apply: c.Apply(format, []byte(text), "sim")})
}
