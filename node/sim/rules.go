package sim

import (
	"fmt"
	"strings"
	"time"

	"drmesh/origin"
	"drmesh/vosio"
)

// All simulated files are in one share of one group.
const (
	theGroup origin.Group = 1
	theShare              = "orders"
)

// rules stand in for the control tables.
type rules struct{ share vosio.Share }

func newRules(n int) *rules {
	m := origin.Module(n + 1)
	return &rules{vosio.Share{Name: theShare, Group: theGroup, Stream: origin.Stream{Group: theGroup, Module: m, Incarnation: 1},
		Root: fmt.Sprintf("%%site%d#d%d>shared>orders", m, m), Policy: 1}}
}

// Locate implements vosio.Rules.
func (r *rules) Locate(full string) (*vosio.Share, string) {
	if rel, ok := strings.CutPrefix(full, r.share.Root+">"); ok {
		return &r.share, rel
	}
	return nil, full
}

// Share implements vosio.Rules.
func (r *rules) Share(name string) *vosio.Share {
	if name == r.share.Name {
		return &r.share
	}
	return nil
}

// Shares implements vosio.Rules.
func (r *rules) Shares() []*vosio.Share { return []*vosio.Share{&r.share} }

// MayWrite implements vosio.Rules.
func (r *rules) MayWrite(*vosio.Share, string, string) bool { return true }

// interval gives the share another durability: 0 is flushed before the answer.
func (r *rules) interval(d time.Duration) { r.share.Interval = d }
