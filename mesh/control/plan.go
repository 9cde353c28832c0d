package control

import (
	"fmt"
	"slices"
	"strings"
)

// Plan tells a person what changes when new takes the place of old: one line a
// change, - for what goes, + for what comes, ~ for what becomes another. No
// line: nothing changes.
func Plan(old, new *Tables) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for i := range old.Shares {
		if _, ok := new.Share(old.Shares[i].Name); !ok {
			add("- share %s: its files stay on every module, and are mirrored no more", old.Shares[i].Name)
		}
	}
	for i := range new.Shares {
		s := &new.Shares[i]
		o, ok := old.Share(s.Name)
		if !ok {
			says := s.durability()
			if s.Policy != policyLatest {
				says += ", policy " + s.Policy
			}
			if s.Images {
				says += ", before-images"
			}
			add("+ share %s: group %s, %s, directory %s", s.Name, s.Group, says, s.Root)
			for _, m := range new.holders(s.Group) {
				if dir, ok := new.Dir(s.Name, m); ok {
					add("+   at %s: %s", m, dir)
				}
			}
			continue
		}
		if o.Group != s.Group {
			add("~ share %s: group %s -> %s", s.Name, o.Group, s.Group)
		}
		if o.durability() != s.durability() {
			add("~ share %s: durability %s -> %s", s.Name, o.durability(), s.durability())
		}
		switch {
		case s.Images && !o.Images:
			add("~ share %s: before-images are kept, of what is written from then on", s.Name)
		case o.Images && !s.Images:
			add("~ share %s: before-images are kept no more; those that are there go with the journal", s.Name)
		}
		if o.Policy != s.Policy {
			add("~ share %s: policy %s -> %s, for what is written from then on", s.Name, o.Policy, s.Policy)
		}
		for i := range new.members {
			m := new.members[i].Name
			if new.standing[m] != &new.members[i] {
				continue
			}
			was, had := old.Dir(s.Name, m)
			is, has := new.Dir(s.Name, m)
			switch {
			case had && !has:
				add("- share %s at %s: %s", s.Name, m, was)
			case has && !had:
				add("+ share %s at %s: %s", s.Name, m, is)
			case was != is:
				add("~ share %s at %s: %s -> %s", s.Name, m, was, is)
			}
		}
	}
	diff(&lines, "include", each(old.rules.Includes, includeText), each(new.rules.Includes, includeText))
	diff(&lines, "exclude", each(old.rules.Excludes, excludeText), each(new.rules.Excludes, excludeText))
	diff(&lines, "group", groupTexts(old.rules), groupTexts(new.rules))
	diff(&lines, "route", routeTexts(old.rules), routeTexts(new.rules))
	diff(&lines, "setting", settingsTexts(old.rules), settingsTexts(new.rules))
	diff(&lines, "peers of", each(old.rules.Peers, peerText), each(new.rules.Peers, peerText))
	for i := range new.members {
		for j := i + 1; j < len(new.members); j++ {
			a, b := &new.members[i], &new.members[j]
			switch was, is := old.Linked(a.Number, b.Number), new.Linked(a.Number, b.Number); {
			case was && !is:
				add("- link %s %s", a.Name, b.Name)
			case is && !was:
				add("+ link %s %s", a.Name, b.Name)
			}
		}
	}
	if len(lines) == 0 && !slices.Equal(each(old.rules.Includes, includeText), each(new.rules.Includes, includeText)) {
		add("~ the order of include records")
	}
	return lines
}

func (s *Share) durability() string {
	if s.Durability == Interval {
		return fmt.Sprintf("interval %d ms", s.IntervalMS)
	}
	return s.Durability
}

// holders lists the names of the standing members that have the group.
func (t *Tables) holders(group string) []string {
	g := t.groupRule(group)
	var l []string
	for i := range t.members {
		if m := &t.members[i]; g != nil && m.HoldsData() && g.has(m.Name) {
			l = append(l, m.Name)
		}
	}
	return l
}

func each[T any](rules []T, text func(*T) string) []string {
	l := make([]string, len(rules))
	for i := range rules {
		l[i] = text(&rules[i])
	}
	return l
}

func includeText(i *IncludeRule) string {
	return fmt.Sprintf("%s:%s%s for %s", i.Share, i.Name, inAny(i.Any), i.Process)
}

func inAny(is bool) string {
	if is {
		return " in any directory"
	}
	return ""
}

func excludeText(x *ExcludeRule) string {
	what := string(x.Path)
	if what == "" {
		what = x.Name + inAny(true)
	}
	if x.Any {
		what += inAny(true)
	}
	return fmt.Sprintf("%s for %s", what, x.Process)
}

func routeTexts(r *Rules) []string {
	var l []string
	for _, g := range r.Groups {
		for _, t := range g.Routes {
			l = append(l, fmt.Sprintf("%s: from %s to %s", g.Name, strings.Join(t.From, " "), strings.Join(t.To, " ")))
		}
	}
	return l
}

// groupTexts tells of groups what is not the same for all.
func groupTexts(r *Rules) []string {
	var l []string
	for _, g := range r.Groups {
		var says []string
		if g.Mode == ModeOwned {
			says = append(says, "one module at a time writes it")
		}
		if g.Mode != ModeOwned && g.Owner != "" {
			says = append(says, "one module at a time takes messages off its queues")
		}
		if g.Owner != "" {
			says = append(says, "first "+g.Owner)
		}
		if len(g.Rank) > 0 {
			says = append(says, "rank "+strings.Join(g.Rank, " "))
		}
		if len(g.Supplementary) > 0 {
			says = append(says, "supplementary "+strings.Join(g.Supplementary, " "))
			if g.Stay {
				says = append(says, "what these wrote after lost transactions stays")
			}
		}
		if g.Failover > 0 {
			says = append(says, fmt.Sprintf("another owner after %d s without it", g.Failover))
		}
		for _, name := range []string{HookStop, HookStart, HookNotify} {
			if c := g.Hook(name); c != "" {
				says = append(says, fmt.Sprintf("%s hook %s", name, c))
			}
		}
		if g.HookSeconds > 0 {
			says = append(says, fmt.Sprintf("hooks end after %d s", g.HookSeconds))
		}
		if g.Scope != "" && g.Scope != ScopeLocal {
			scope := "acknowledged by " + map[string]string{ScopeOne: "one other module", ScopeSystem: "a module of another system", ScopeAll: "all modules"}[g.Scope]
			if g.GoOn {
				scope += ", or after a while by none"
			}
			says = append(says, scope)
		}
		if len(says) > 0 {
			l = append(l, g.Name+": "+strings.Join(says, "; "))
		}
	}
	return l
}

func peerText(p *PeerRule) string { return p.Module + ": " + strings.Join(p.Peers, " ") }

// diff adds a line for each text that only one of the lists has.
func diff(lines *[]string, what string, old, new []string) {
	for _, t := range old {
		if !slices.Contains(new, t) {
			*lines = append(*lines, "- "+what+" "+t)
		}
	}
	for _, t := range new {
		if !slices.Contains(old, t) {
			*lines = append(*lines, "+ "+what+" "+t)
		}
	}
}
