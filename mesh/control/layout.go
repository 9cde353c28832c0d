package control

import (
	"slices"
	"strings"

	"drmesh/vosio/path"
)

// finish checks what only the whole table shows.
func (c *compiler) finish() {
	c.joinGroups()
	c.owners()
	c.placeMaps()
	c.interval()
	c.ranks()
	c.tables = joinTables(c.state.Epoch+1, c.rules, c.state.Members, c.state.numbers(c.rules), c.state.besides())
	c.moved()
	c.sourcesKnown()
	c.chains()
	c.layouts()
}

// ranks checks that a policy which goes by rank has one.
func (c *compiler) ranks() {
	for i := range c.rules.Shares {
		rule := &c.rules.Shares[i]
		if rule.Policy != policyRank || len(c.tablesGroup(rule.Group).Rank) > 0 {
			continue
		}
		line := rule.Line
		if f, ok := c.shares[rule.Name].stated["policy"]; ok {
			line = f.Line
		}
		c.problems.Add(line, "policy", "rank needs the field rank in a record of type group for %s: names of modules, best first", rule.Group)
	}
}

// joinGroups gives every share its group, and the routes that includes state
// to the group.
func (c *compiler) joinGroups() {
	for i := range c.rules.Shares {
		rule := &c.rules.Shares[i]
		s := c.shares[rule.Name]
		g := c.groups[rule.Group]
		if g == nil {
			g = &groupText{line: s.line}
			c.groups[rule.Group] = g
			c.rules.Groups = append(c.rules.Groups, GroupRule{Name: rule.Group, Mode: ModeActive})
		}
		g.used = true
		if !s.routed {
			continue
		}
		r := s.route
		for _, l := range []*[]string{&r.From, &r.To} {
			if len(*l) == 0 {
				*l = []string{"*"}
			}
		}
		for _, name := range []string{"from_modules", "to_modules"} {
			if f, ok := s.stated[name]; ok {
				for _, p := range strings.Fields(f.Value) {
					c.matches(f.Line, name, p)
				}
			}
		}
		group := c.tablesGroup(rule.Group)
		switch {
		case len(group.Routes) == 0:
			group.Routes, g.routeAt = []Route{r}, s.routedBy.Line
		case !slices.ContainsFunc(group.Routes, r.same) || len(group.Routes) > 1:
			at := g.line
			if g.routes == 0 {
				at = g.routeAt
			}
			c.problems.Add(s.routedBy.Line, s.routedBy.Name, "the group %s has other routes (line %d): all shares of a group go to the same modules", rule.Group, at)
		}
	}
	for i := range c.rules.Shares {
		r := &c.rules.Shares[i]
		g := c.groups[r.Group]
		if t := c.tablesGroup(r.Group); len(t.Routes) == 0 {
			t.Routes = []Route{{[]string{"*"}, []string{"*"}}}
		}
		if g.routes == 0 && g.routeAt > 0 && !c.shares[r.Name].routed {
			c.warnings.Add(r.Line, "group", "the share %s takes the routes of the group %s, which line %d states", r.Name, r.Group, g.routeAt)
		}
	}
	for i := range c.rules.Groups {
		if g := c.groups[c.rules.Groups[i].Name]; !g.used {
			c.warnings.Add(g.line, "group", "no share is in the group %s", c.rules.Groups[i].Name)
		}
	}
}

// same reports whether two routes say the same, whatever the order of names.
func (r Route) same(q Route) bool {
	eq := func(a, b []string) bool {
		a, b = slices.Clone(a), slices.Clone(b)
		slices.Sort(a)
		slices.Sort(b)
		return slices.Equal(slices.Compact(a), slices.Compact(b))
	}
	return eq(r.From, q.From) && eq(r.To, q.To)
}

func (c *compiler) placeMaps() {
	for _, m := range c.maps {
		if c.rules.share(m.rule.Share) == nil {
			if !c.broken {
				c.problems.Add(m.line, "share", "no include names the share %s", m.rule.Share)
			}
			continue
		}
		c.rules.Maps = append(c.rules.Maps, m.rule)
	}
}

func (c *compiler) interval() {
	for i := range c.rules.Shares {
		r := &c.rules.Shares[i]
		f, stated := c.shares[r.Name].stated["interval_ms"]
		switch {
		case r.Durability == Interval && !stated:
			r.IntervalMS = 10
		case r.Durability != Interval && stated:
			c.problems.Add(f.Line, "interval_ms", "it goes with durability interval")
			r.IntervalMS = 0
		}
	}
}

// moved refuses a share that was in another group, now or ever.
func (c *compiler) moved() {
	for _, r := range c.rules.Shares {
		for _, p := range c.state.Placed {
			if p.Share == r.Name && p.Group != r.Group {
				c.problems.Add(r.Line, "group", "the share %s was in the group %s: moving a share to another group is not built yet", r.Name, p.Group)
			}
		}
	}
}

// sourcesKnown looks for the system of each source_path among the members.
func (c *compiler) sourcesKnown() {
	for i := range c.tables.Shares {
		s := &c.tables.Shares[i]
		if s.Source == 0 {
			c.problems.Add(s.Line, "source_path", "no member is on the system %%%s; members are: %s", s.Root.System(), c.memberNames())
			continue
		}
		if g := c.tables.groupRule(s.Group); !g.has(s.SourceModule) {
			c.warnings.Add(s.Line, "source_path", "no route of the group %s begins or ends at %s: files there are not in the share", s.Group, s.SourceModule)
		}
	}
	for _, src := range c.sources {
		if src.share != "" {
			continue
		}
		dir := src.path.Dir()
		if !slices.ContainsFunc(c.rules.Shares, func(r ShareRule) bool {
			_, below := dir.Rel(r.Root)
			_, above := r.Root.Rel(dir)
			return below || above
		}) {
			c.warnings.Add(src.line, "source_path", "no share has files there: the exclude matches nothing")
		}
	}
}

// chains refuses a route that no chain of links serves.
func (c *compiler) chains() {
	if c.unlinked {
		return
	}
	for i := range c.rules.Groups {
		g := &c.rules.Groups[i]
		line, name := c.routeLine(g.Name)
		for j := range c.state.Members {
			m := &c.state.Members[j]
			if !m.HoldsData() || !g.from(m.Name) {
				continue
			}
			lost := c.tables.unreached(g, m)
			if len(lost) == 0 {
				continue
			}
			var l []string
			for _, m := range lost {
				l = append(l, m.Name)
			}
			c.problems.Add(line, name, "no chain of linked modules that have the group %s leads from %s to %s", g.Name, m.Name, strings.Join(l[:min(len(l), 8)], " "))
			break
		}
	}
}

func (c *compiler) routeLine(group string) (int, string) {
	g := c.groups[group]
	if g.routes == 0 && g.routeAt > 0 {
		return g.routeAt, "to_modules"
	}
	return g.line, "to_modules"
}

// meeting is how the directories of two shares stand to one another at one
// module: inner is at outer, or below it by rel.
type meeting struct{ outer, inner int }

// layouts looks for places where files of two shares would meet. Where two
// shares lie one in the other alike on every module, the first include that
// matches tells their files apart, alike on every module. Where they meet at
// some modules only, one name would be two files there.
func (c *compiler) layouts() {
	type seen struct {
		rel    string
		at     int // modules where they meet so
		dir    path.Full
		module string
	}
	meetings := map[meeting]*seen{}
	order := []meeting{}
	reported := map[meeting]bool{}
	for i := range c.state.Members {
		m := &c.state.Members[i]
		if !m.HoldsData() {
			continue
		}
		at := map[path.Full][]int{}
		dirs := make([]path.Full, len(c.tables.Shares))
		for j := range c.tables.Shares {
			if dir, ok := c.tables.Dir(c.tables.Shares[j].Name, m.Name); ok {
				at[dir] = append(at[dir], j)
				dirs[j] = dir
			} else if g := c.tables.groupRule(c.tables.Shares[j].Group); g != nil && g.has(m.Name) {
				c.problems.Add(c.tables.Shares[j].Line, "source_path", "the directory at %s would have over %d bytes", m.Name, path.MaxPath)
			}
		}
		for j, dir := range dirs {
			if dir == "" {
				continue
			}
			for d := dir; ; d = d.Dir() {
				for _, k := range at[d] {
					if k == j || d == dir && k > j {
						continue
					}
					p := meeting{k, j}
					rel, _ := dir.Rel(d)
					if rel == "" && !reported[p] && c.mapMeets(k, j, m.Name, dir) {
						reported[p] = true
					}
					w := meetings[p]
					switch {
					case w == nil:
						meetings[p] = &seen{rel, 1, dir, m.Name}
						order = append(order, p)
					case w.rel == rel:
						w.at++
					}
				}
				if d.IsRoot() {
					break
				}
			}
		}
	}
	for _, p := range order {
		w := meetings[p]
		if reported[p] || w.at == c.together(p) || !c.overlap(p.outer, p.inner, w.rel) {
			continue
		}
		a, b := &c.tables.Shares[p.outer], &c.tables.Shares[p.inner]
		c.problems.Add(b.Line, "source_path", "files of the shares %s and %s meet in %s at %s, but not at every module: give one another destination_dir or a map record",
			a.Name, b.Name, w.dir, w.module)
	}
}

// together counts the modules that have both shares.
func (c *compiler) together(p meeting) int {
	n := 0
	for i := range c.state.Members {
		m := &c.state.Members[i]
		_, a := c.tables.Dir(c.tables.Shares[p.outer].Name, m.Name)
		_, b := c.tables.Dir(c.tables.Shares[p.inner].Name, m.Name)
		if m.HoldsData() && a && b {
			n++
		}
	}
	return n
}

// mapMeets reports two shares in one directory that a map record made meet.
func (c *compiler) mapMeets(a, b int, module string, dir path.Full) bool {
	for _, m := range slices.Backward(c.maps) {
		for _, pair := range [][2]int{{a, b}, {b, a}} {
			if m.rule.Module == module && m.rule.Share == c.tables.Shares[pair[0]].Name {
				c.problems.Add(m.line, "directory", "%s holds the share %s at %s already: two shares do not stand in one directory", dir, c.tables.Shares[pair[1]].Name, module)
				return true
			}
		}
	}
	return false
}

// overlap reports whether a name could be in both shares where inner's
// directory is rel below outer's.
func (c *compiler) overlap(outer, inner int, rel string) bool {
	a, b := c.tables.Shares[outer].Name, c.tables.Shares[inner].Name
	for _, i := range c.rules.Includes {
		if i.Share != a {
			continue
		}
		if rel != "" {
			if i.Name == "*" {
				return true
			}
			if !i.Any {
				continue
			}
		}
		for _, j := range c.rules.Includes {
			if j.Share == b && starsMeet(i.Name, j.Name) {
				return true
			}
		}
	}
	return false
}

// starsMeet reports whether some name matches both star names.
func starsMeet(p, q string) bool {
	// row[j]: p up to here and q[:j] can stand for one text.
	row := make([]bool, len(q)+1)
	for i := 0; i <= len(p); i++ {
		next := make([]bool, len(q)+1)
		for j := 0; j <= len(q); j++ {
			switch {
			case i == 0 && j == 0:
				next[j] = true
			case i > 0 && p[i-1] == '*':
				next[j] = row[j] || j > 0 && next[j-1]
			case j > 0 && q[j-1] == '*':
				next[j] = next[j-1] || i > 0 && row[j]
			default:
				next[j] = i > 0 && j > 0 && p[i-1] == q[j-1] && row[j-1]
			}
		}
		row = next
	}
	return row[len(q)]
}

// owners checks the groups' modes against the state, and that who is to begin
// may write.
func (c *compiler) owners() {
	for i := range c.rules.Groups {
		g := &c.rules.Groups[i]
		line := 0
		if t := c.groups[g.Name]; t != nil {
			line = t.line
		}
		if old, ok := c.state.Group(g.Name); ok && old.Mode != g.Mode {
			c.problems.Add(line, "mode", "the group %s has been %s: a group keeps its mode; name another", g.Name, old.Mode)
		}
		for _, m := range append([]string{g.Owner}, g.Rank...) {
			if m != "" && len(g.Routes) > 0 && !g.from(m) {
				c.problems.Add(line, "owner", "no route of the group %s starts at %s: it could not write", g.Name, m)
			}
			if m != "" && g.supplements(m) {
				c.problems.Add(line, "supplementary", "%s cannot own the group %s and be supplementary in it", m, g.Name)
			}
		}
		if why := c.state.besideProblem(g); why != "" {
			c.problems.Add(line, "supplementary", "group %s: %s", g.Name, why)
		}
		c.supplementary(g, line)
	}
}

// supplementary checks that somebody is left to own the group, that each module
// beside the owner writes and gets what the owner writes, and that no route
// names one that may own it for what they write.
func (c *compiler) supplementary(g *GroupRule, line int) {
	if g.Mode != ModeOwned || len(g.Supplementary) == 0 {
		return
	}
	owner := ""
	for i := range c.state.Members {
		if m := &c.state.Members[i]; m.HoldsData() && m.Role != RoleLeaf && g.mayOwn(m.Name) {
			owner = m.Name
			break
		}
	}
	if owner == "" {
		c.problems.Add(line, "supplementary", "no module is left that could own the group %s", g.Name)
		return
	}
	for i := range c.state.Members {
		m := &c.state.Members[i]
		if !m.HoldsData() || !g.supplements(m.Name) {
			continue
		}
		if !g.from(m.Name) {
			c.problems.Add(line, "supplementary", "no route of the group %s starts at %s: it could not write", g.Name, m.Name)
			continue
		}
		for j := range c.state.Members {
			o := &c.state.Members[j]
			if o.HoldsData() && g.mayOwn(o.Name) && !g.destination(o.Name, m.Name) {
				c.problems.Add(line, "supplementary", "no route of the group %s leads from %s, which may own it, to %s", g.Name, o.Name, m.Name)
				break
			}
		}
		for _, r := range g.Routes {
			for _, to := range r.To {
				if matchAny(r.From, m.Name) && !path.HasStar(to) && g.mayOwn(to) && !slices.ContainsFunc(r.From, g.mayOwn) {
					c.problems.Add(line, "to_modules", "%s may own the group %s: what the supplementary %s writes cannot go there", to, g.Name, m.Name)
				}
			}
		}
	}
}
