package control

import (
	"fmt"
	"slices"

	"drmesh/vosio/path"
)

// Rules is a compiled control table: what the text says, with paths full and
// defaults filled in, and nothing that depends on who is a member. It travels
// in the Apply command and stands in the state.
type Rules struct {
	Shares   []ShareRule   `msgpack:"s" json:"shares"`   // in order of first mention
	Includes []IncludeRule `msgpack:"i" json:"includes"` // in the order of the text: the first match decides
	Excludes []ExcludeRule `msgpack:"x" json:"excludes"`
	Maps     []MapRule     `msgpack:"m" json:"maps"`
	Groups   []GroupRule   `msgpack:"g" json:"groups"`
	Peers    []PeerRule    `msgpack:"p" json:"peers"`
	Settings *Settings     `msgpack:"t,omitempty" json:"settings,omitempty"`
}

// ShareRule is a set of files under one name.
type ShareRule struct {
	Name        string    `msgpack:"n" json:"name"`
	Group       string    `msgpack:"g" json:"group"`
	Root        path.Full `msgpack:"r" json:"root"`          // directory of source_path
	Destination path.Full `msgpack:"d" json:"destination"`   // its system part means nothing; empty: as Root
	Policy      string    `msgpack:"p" json:"policy"`        // one of builtPolicies
	Durability  string    `msgpack:"u" json:"durability"`    // sync, interval
	IntervalMS  int       `msgpack:"v" json:"interval_ms"`   // with interval
	OnFull      string    `msgpack:"f" json:"on_full"`       // refuse
	TwinPorts   bool      `msgpack:"t" json:"twin_ports"`    // not built: false
	Images      bool      `msgpack:"b" json:"before_images"` // kept for what is written from then on
	Line        int       `msgpack:"l" json:"line"`          // of the first include that names it
}

// IncludeRule lets Process write the files of Share whose names match Name.
type IncludeRule struct {
	Share   string `msgpack:"s" json:"share"`
	Name    string `msgpack:"n" json:"name"`    // star name below the share's directory; with Any also in all directories there
	Process string `msgpack:"p" json:"process"` // star name
	Any     bool   `msgpack:"a,omitempty" json:"in_any_directory,omitempty"`
}

// ExcludeRule takes files out, or keeps a process from them.
type ExcludeRule struct {
	Path    path.Full `msgpack:"f" json:"path"` // full, on the source's system; empty: by Name in any directory
	Name    string    `msgpack:"n" json:"name"`
	Process string    `msgpack:"p" json:"process"`
	Any     bool      `msgpack:"a,omitempty" json:"in_any_directory,omitempty"` // the name of Path in its directory and in all below
}

// MapRule says where a share is at one module.
type MapRule struct {
	Share     string    `msgpack:"s" json:"share"`
	Module    string    `msgpack:"m" json:"module"`
	Directory path.Full `msgpack:"d" json:"directory"`
}

// GroupRule is a set of routes.
type GroupRule struct {
	Name   string  `msgpack:"n" json:"name"`
	Mode   string  `msgpack:"m" json:"mode"` // active, owned
	Routes []Route `msgpack:"r" json:"routes"`
	// Of a group with an owner: the first one, and who may follow, first first.
	Owner string   `msgpack:"o,omitempty" json:"owner,omitempty"`
	Rank  []string `msgpack:"k,omitempty" json:"rank,omitempty"`
	// Scope is who must hold a change before it is acknowledged; GoOn says that
	// it is acknowledged all the same when they do not in time.
	Scope string `msgpack:"c,omitempty" json:"commit_scope,omitempty"`
	GoOn  bool   `msgpack:"t,omitempty" json:"go_on,omitempty"`
	// Failover is after how many seconds without its owner a group gets another
	// by itself; 0: never.
	// Divert keeps what an owner had committed beyond its end in a file; else
	// what is safe is offered to the owner that followed.
	Divert   bool `msgpack:"d,omitempty" json:"divert,omitempty"`
	Failover int  `msgpack:"f,omitempty" json:"failover,omitempty"`
	// Supplementary are the modules that write a group beside its owner; Stay
	// keeps of theirs what followed txns that were lost with an owner.
	Supplementary []string `msgpack:"sm,omitempty" json:"supplementary,omitempty"`
	Stay          bool     `msgpack:"sy,omitempty" json:"stay,omitempty"`
	// Hooks are programs by their full path, with arguments divided by blanks,
	// that a module runs when the owner changes; HookSeconds is how long each
	// may take, 0: the default.
	StopHook    string `msgpack:"hs,omitempty" json:"stop_hook,omitempty"`
	StartHook   string `msgpack:"ha,omitempty" json:"start_hook,omitempty"`
	NotifyHook  string `msgpack:"hn,omitempty" json:"notify_hook,omitempty"`
	HookSeconds int    `msgpack:"ht,omitempty" json:"hook_timeout,omitempty"`
}

// Route sends what the modules of From write to those of To; both are lists of
// star names.
type Route struct {
	From []string `msgpack:"f" json:"from"`
	To   []string `msgpack:"t" json:"to"`
}

// PeerRule lists the modules, by star names, that Module has links with.
type PeerRule struct {
	Module string   `msgpack:"m" json:"module"`
	Peers  []string `msgpack:"p" json:"peers"`
}

const (
	maxShares = 4096
	maxList   = 256 // star names of one list
)

// check holds rules that came from elsewhere against what the rest relies on.
// It is no second compilation: the compiler's checks against members were made
// where the table was proposed.
func (r *Rules) check() error {
	if n := max(len(r.Shares), len(r.Groups), len(r.Includes), len(r.Excludes), len(r.Maps), len(r.Peers)); n > 2*maxShares {
		return fmt.Errorf("tables have %d rules of one kind", n)
	}
	shares, groups := map[string]bool{}, map[string]bool{}
	for _, g := range r.Groups {
		if err := path.CheckShare(g.Name); err != nil {
			return err
		}
		if groups[g.Name] {
			return fmt.Errorf("group %s stands twice", g.Name)
		}
		if g.Mode != ModeActive && g.Mode != ModeOwned {
			return fmt.Errorf("group %s: mode %q is not known", g.Name, g.Mode)
		}
		switch g.Scope {
		case "", ScopeLocal, ScopeOne, ScopeSystem, ScopeAll:
		default:
			return fmt.Errorf("group %s: commit scope %q is not known", g.Name, g.Scope)
		}
		if err := g.checkHooks(); err != nil {
			return err
		}
		groups[g.Name] = true
	}
	for _, s := range r.Shares {
		if err := path.CheckShare(s.Name); err != nil {
			return err
		}
		if shares[s.Name] || !groups[s.Group] {
			return fmt.Errorf("share %s stands twice, or its group %s does not stand", s.Name, s.Group)
		}
		shares[s.Name] = true
		if _, err := path.Parse(string(s.Root)); err != nil {
			return err
		}
		if s.Destination != "" {
			if _, err := path.Parse(string(s.Destination)); err != nil {
				return err
			}
		}
		if !slices.Contains(builtPolicies, s.Policy) {
			return fmt.Errorf("share %s has the policy %q, which is not known", s.Name, s.Policy)
		}
		if s.TwinPorts {
			return fmt.Errorf("share %s uses what is not built yet", s.Name)
		}
	}
	for _, i := range r.Includes {
		if !shares[i.Share] {
			return fmt.Errorf("an include names the share %s, which does not stand", i.Share)
		}
	}
	for _, m := range r.Maps {
		if !shares[m.Share] {
			return fmt.Errorf("a map names the share %s, which does not stand", m.Share)
		}
		if _, err := path.Parse(string(m.Directory)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rules) share(name string) *ShareRule {
	for i := range r.Shares {
		if r.Shares[i].Name == name {
			return &r.Shares[i]
		}
	}
	return nil
}
