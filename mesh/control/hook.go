package control

import (
	"fmt"
	stdpath "path"
	"slices"
	"strings"

	"drmesh/origin"
)

// Hooks of a group with an owner: what a module runs in the course of a change
// of owner.
const (
	HookStop   = "stop"   // at the old owner, before it takes no more writes; one that does not succeed undoes the change
	HookStart  = "start"  // at who owns the group then, once it takes writes
	HookNotify = "notify" // at both, with the outcome
)

// What became of one.
const (
	HookDue     = ""        // its module has yet to say
	HookOK      = "ok"      // it ended with exit status 0
	HookFailed  = "failed"  // it did not, or could not be begun
	HookTimeout = "timeout" // it hung, and was killed
	HookSkipped = "skipped" // there was no use in it any more
)

const (
	// DefaultHookSeconds is how long a hook may take, if the tables do not say.
	DefaultHookSeconds = 10
	maxHook            = 256
	maxHookWords       = 32
	// MaxHookOutput is how much of what a hook printed is kept.
	MaxHookOutput = 1024
)

// HookRun is one hook of one change of owner. It is due from the moment at
// which control decided what calls for it, with the command that the tables
// named then, and no module runs one that is not.
type HookRun struct {
	Hook    string        `msgpack:"h" json:"hook"`
	Module  origin.Module `msgpack:"m" json:"module"`
	Command string        `msgpack:"c" json:"command"`
	Limit   int64         `msgpack:"l" json:"limit"` // ms
	State   string        `msgpack:"s" json:"state"`
	Text    string        `msgpack:"t" json:"text"` // why it did not succeed
	Output  string        `msgpack:"o" json:"output"`
	At      int64         `msgpack:"a" json:"at"`   // unix ms, when it was told
	Took    int64         `msgpack:"k" json:"took"` // ms
}

// HookCommand takes a hook of the tables apart: a program by its full path, and
// its arguments, divided by blanks. No shell reads it.
func HookCommand(s string) ([]string, error) {
	if len(s) > maxHook {
		return nil, fmt.Errorf("it has %d bytes, %d are allowed", len(s), maxHook)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return nil, fmt.Errorf("%q has a character that does not print", clipText(s))
		}
	}
	l := strings.Fields(s)
	switch {
	case len(l) == 0:
		return nil, fmt.Errorf("no program is named")
	case len(l) > maxHookWords:
		return nil, fmt.Errorf("it has %d arguments, %d are allowed", len(l)-1, maxHookWords-1)
	case !stdpath.IsAbs(l[0]) || stdpath.Clean(l[0]) != l[0] || l[0] == "/":
		return nil, fmt.Errorf("%q is not the full path of a program", clipText(l[0]))
	}
	return l, nil
}

func hook(s string) (string, string) {
	l, err := HookCommand(s)
	if err != nil {
		return "", err.Error()
	}
	return strings.Join(l, " "), ""
}

// Hook is the command of a group's hook; empty: it has none.
func (g *GroupRule) Hook(name string) string {
	switch name {
	case HookStop:
		return g.StopHook
	case HookStart:
		return g.StartHook
	case HookNotify:
		return g.NotifyHook
	}
	return ""
}

func (g *GroupRule) checkHooks() error {
	if g.HookSeconds < 0 || g.HookSeconds > maxHookSeconds {
		return fmt.Errorf("group %s: hooks of %d seconds", g.Name, g.HookSeconds)
	}
	for _, name := range []string{HookStop, HookStart, HookNotify} {
		if c := g.Hook(name); c != "" {
			if _, err := HookCommand(c); err != nil {
				return fmt.Errorf("group %s: %s hook: %w", g.Name, name, err)
			}
		}
	}
	return nil
}

// maxHookSeconds is the longest that a hook may take.
const maxHookSeconds = 3600

// due appends a hook to those of a switch, if the group has it.
func (s *State) due(l []HookRun, g origin.Group, hook string, at origin.Module) []HookRun {
	rule := s.tables.group(g)
	if rule == nil || rule.Hook(hook) == "" {
		return l
	}
	limit := rule.HookSeconds
	if limit == 0 {
		limit = DefaultHookSeconds
	}
	return append(slices.Clone(l), HookRun{Hook: hook, Module: at, Command: rule.Hook(hook), Limit: int64(limit) * 1000})
}

// Due is the hook of w that a module has yet to run, or to tell of: the first,
// since one may rely on another.
func (w *Switch) Due(at origin.Module) (HookRun, bool) {
	for _, h := range w.Hooks {
		if h.Module == at && h.State == HookDue {
			return h, true
		}
	}
	return HookRun{}, false
}

// Holding reports whether w waits for its stop hook: the owner writes on.
func (w *Switch) Holding() bool {
	return slices.ContainsFunc(w.Hooks, func(h HookRun) bool { return h.Hook == HookStop && h.State == HookDue })
}

// hookDone notes what became of a hook. When it is the stop hook of a switch
// under way, the owner stops now, or the switch is dropped.
func (s *State) hookDone(c *HookDone, at int64) error {
	switch c.State {
	case HookOK, HookFailed, HookTimeout, HookSkipped:
	default:
		return refuse(ErrMalformed, "hook", "its state %q is not known", clipText(c.State))
	}
	if len(c.Text) > maxAddress || len(c.Output) > MaxHookOutput || c.Took < 0 {
		return refuse(ErrMalformed, "hook", "a text is too long")
	}
	set := func(l []HookRun) ([]HookRun, bool) {
		i := slices.IndexFunc(l, func(h HookRun) bool { return h.Hook == c.Hook && h.Module == c.Module })
		if i < 0 {
			return nil, false
		}
		if l[i].State == HookDue {
			l = slices.Clone(l)
			l[i].State, l[i].Text, l[i].Output, l[i].At, l[i].Took = c.State, c.Text, c.Output, at, c.Took
		}
		return l, true
	}
	none := refuse(ErrSwitchOver, "hook", "no %s hook of the switch %s is due at %s", clipText(c.Hook), clipText(c.ID), s.memberName(c.Module))
	if i := slices.IndexFunc(s.Receipts, func(r Receipt) bool { return r.ID == c.ID }); i >= 0 {
		l, ok := set(s.Receipts[i].Hooks)
		if !ok {
			return none
		}
		s.Receipts = slices.Clone(s.Receipts)
		s.Receipts[i].Hooks = l
		return nil
	}
	i := slices.IndexFunc(s.Switches, func(w Switch) bool { return w.ID == c.ID })
	if i < 0 {
		return none
	}
	w := s.Switches[i]
	holding := w.Holding()
	l, ok := set(w.Hooks)
	if !ok {
		return none
	}
	w.Hooks = l
	s.Switches = slices.Clone(s.Switches)
	if holding && c.Hook == HookStop {
		if c.State != HookOK {
			s.Switches[i] = w
			why := fmt.Sprintf("the stop hook at %s %s", s.memberName(c.Module), map[string]string{HookFailed: "failed", HookTimeout: "did not end in time", HookSkipped: "was not run"}[c.State])
			if c.Text != "" {
				why += ": " + c.Text
			}
			return s.dropSwitch(&DropSwitch{ID: c.ID, Why: why[:min(len(why), maxAddress)]}, at)
		}
		// The time that the change may take counts from now.
		w.Until += max(at, w.Begun) - w.Begun - w.limit()
		w.Froze = at
	}
	s.Switches[i] = w
	return nil
}

// limit is how long the stop hook may take, in ms.
func (w *Switch) limit() int64 {
	for _, h := range w.Hooks {
		if h.Hook == HookStop {
			return h.Limit
		}
	}
	return 0
}

// closing are the hooks that fall due when w ends: done, or undone. Undone,
// whose stop hook was run is started again.
func (s *State) closing(w Switch, done bool) []HookRun {
	l := w.Hooks
	switch {
	case done:
		l = s.due(l, w.Group, HookStart, w.To)
	case slices.ContainsFunc(l, func(h HookRun) bool { return h.Hook == HookStop }):
		for i := range l {
			if l[i].State == HookDue { // nobody waits for it any more
				l = slices.Clone(l)
				l[i].State = HookSkipped
			}
		}
		l = s.due(l, w.Group, HookStart, w.From)
	}
	l = s.due(l, w.Group, HookNotify, w.From)
	return s.due(l, w.Group, HookNotify, w.To)
}

// NewHooks names the groups with a hook that old does not have there.
func (r *Rules) NewHooks(old *Rules) (groups []string) {
	for i := range r.Groups {
		g := &r.Groups[i]
		had := func(name string) bool {
			return slices.ContainsFunc(old.Groups, func(o GroupRule) bool { return o.Name == g.Name && o.Hook(name) == g.Hook(name) })
		}
		if slices.ContainsFunc([]string{HookStop, HookStart, HookNotify}, func(name string) bool { return g.Hook(name) != "" && !had(name) }) {
			groups = append(groups, g.Name)
		}
	}
	return groups
}
