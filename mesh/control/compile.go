package control

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drmesh/origin"
	"drmesh/vosio/path"
	"drmesh/vosio/tin"
)

// Compiled is a table that may be proposed: what it says, what it would mean
// with today's members, and what is worth telling its author.
type Compiled struct {
	Rules    *Rules
	Tables   *Tables // as they will stand when they are applied to the state
	Warnings tin.Problems
	base     uint64
}

// Apply is the body of the command that puts c in force.
func (c *Compiled) Apply(format tin.Format, source []byte, by string) *Apply {
	return &Apply{Base: c.base, Rules: c.Rules, Format: string(format), Source: source, By: by}
}

// CompileText parses and compiles. An error is a tin.Problems: all that is
// wrong, each with its line.
func CompileText(source []byte, s *State, ctx path.Context) (*Compiled, tin.Format, error) {
	t, err := tin.Parse(source)
	if err != nil {
		return nil, tin.Detect(source), err
	}
	c, err := Compile(t.Records, s, ctx)
	if c != nil {
		c.Warnings = append(t.Warnings, c.Warnings...)
		c.Warnings.Sort()
	}
	return c, t.Format, err
}

// Compile checks a table as a whole against the members and groups of s. ctx
// completes paths that are not full; with a zero ctx they are refused.
func Compile(records []tin.Record, s *State, ctx path.Context) (*Compiled, error) {
	c := compiler{state: s, ctx: ctx, rules: &Rules{}, shares: map[string]*shareText{}, groups: map[string]*groupText{}}
	for i := range records {
		c.record(&records[i])
	}
	c.finish()
	if err := c.problems.Err(); err != nil {
		return nil, err
	}
	c.warnings.Sort()
	return &Compiled{Rules: c.rules, Tables: c.tables, Warnings: c.warnings, base: s.Epoch}, nil
}

// compiler collects. Its problems end the compilation only when all records
// were looked at.
type compiler struct {
	state    *State
	ctx      path.Context
	rules    *Rules
	tables   *Tables
	problems tin.Problems
	warnings tin.Problems

	shares   map[string]*shareText
	groups   map[string]*groupText
	sources  []sourceText
	maps     []mapText
	unlinked bool // a module record was not understood: links are not known
	broken   bool // an include was not understood: its share may be missing
}

// shareText is what the includes of one share said, and where.
type shareText struct {
	line     int
	rule     int // place in rules.Shares
	stated   map[string]tin.Field
	route    Route
	routed   bool // an include states from_modules or to_modules
	routedBy tin.Field
}

// groupText is what group records and includes said of one group.
type groupText struct {
	line    int // of the first mention
	routes  int // group records that state a route
	routeAt int // line of the include that stated the route
	used    bool
}

type sourceText struct {
	path  path.Full
	share string
	line  int
}

type mapText struct {
	line int
	rule MapRule
}

// texts is a record after the check of its fields, one by one.
type texts struct {
	c    *compiler
	line int
	kind *recordKind
	at   map[string]tin.Field
	off  map[string]bool // fields that stand there and are wrong: told once
}

// get is the value of a field, or its default.
func (t *texts) get(name string) string {
	if f, ok := t.at[name]; ok {
		return f.Value
	}
	return t.kind.field(name).normal
}

func (t *texts) has(name string) bool { f, ok := t.at[name]; return ok && f.Value != "" }

// lineOf is the line of a field, or of the record that lacks it.
func (t *texts) lineOf(name string) int {
	if f, ok := t.at[name]; ok {
		return f.Line
	}
	return t.line
}

func (t *texts) bad(name, format string, args ...any) {
	t.c.problems.Add(t.lineOf(name), name, format, args...)
}

func (t *texts) warn(name, format string, args ...any) {
	t.c.warnings.Add(t.lineOf(name), name, format, args...)
}

// require reports each of the fields that is missing or empty.
func (t *texts) require(names ...string) bool {
	ok := true
	for _, n := range names {
		if t.off[n] {
			ok = false
		} else if !t.has(n) {
			t.bad(n, "a record of type %s needs it: %s", t.kind.name, t.kind.field(n).allowed)
			ok = false
		}
	}
	return ok
}

// record checks the fields of one record and hands it on.
func (c *compiler) record(r *tin.Record) {
	name := "include"
	if f, ok := r.Get("record_type"); ok && f.Value != "" {
		name = f.Value
	}
	k := kind(name)
	if k == nil {
		f, _ := r.Get("record_type")
		c.problems.Add(f.Line, "record_type", "%q is not one of: %s", clipText(name), kindNames())
		return
	}
	t := texts{c: c, line: r.Line, kind: k, at: map[string]tin.Field{}, off: map[string]bool{}}
	before := len(c.problems)
	for _, f := range r.Fields {
		if f.Name != "record_type" {
			t.field(f)
		}
	}
	if k.refuse != "" {
		c.problems.Add(r.Line, "record_type", "%s: %s", k.name, k.refuse)
		return
	}
	if k.warn != "" {
		c.warnings.Add(r.Line, "record_type", "%s: %s", k.name, k.warn)
		t.drms()
		t.settings()
		return
	}
	switch k.name {
	case "include":
		if !t.include(len(c.problems) == before) {
			c.broken = true
		}
	case "exclude":
		t.exclude()
	case "map":
		t.mapRecord()
	case "group":
		t.group()
	case "module":
		t.module()
		c.unlinked = c.unlinked || len(c.problems) > before
	}
}

// field checks one field by itself.
func (t *texts) field(f tin.Field) {
	name := f.Name
	if a := plainAliases[t.kind.name][name]; a != "" {
		name = a
	} else if a := aliases[name]; a != "" && t.kind.field(a) != nil {
		name = a
		t.c.warnings.Add(f.Line, f.Name, "is read as %s", a)
	}
	k := t.kind.field(name)
	if k == nil {
		t.c.problems.Add(f.Line, f.Name, "a record of type %s has no such field; it has: %s", t.kind.name, t.kind.names())
		return
	}
	if g, twice := t.at[name]; twice {
		if g.Value != f.Value {
			t.c.problems.Add(f.Line, f.Name, "line %d says %q for the same field", g.Line, clipText(g.Value))
		}
		return
	}
	v0, v, why := f.Value, f.Value, ""
	if v != "" {
		v, why = k.value(v)
	}
	if why != "" {
		if k.use == unbuilt {
			why = fmt.Sprintf("%q is not allowed: %s is", clipText(v0), k.allowed)
		}
		t.c.problems.Add(f.Line, f.Name, "%s", why)
		t.off[name] = true
		return
	}
	f.Value = v
	t.at[name] = f
	if v == "" || v == k.normal {
		return
	}
	switch k.use {
	case unbuilt:
		t.c.problems.Add(f.Line, f.Name, "%q needs a feature that is not built yet: %s is allowed", clipText(v), k.allowed)
	case ignored:
		t.c.warnings.Add(f.Line, f.Name, "has no effect: %s", cmp.Or(k.note, "a record of type "+t.kind.name+" has no use for it"))
	}
}

// drms tells what is odd in a record of drms.table.
func (t *texts) drms() {
	if n, err := strconv.Atoi(t.get("tcp_port")); err == nil && n > 32767 {
		t.warn("tcp_port", "a bin(15) of DRMS would not hold it")
	}
	if t.get("primary_call_timeout") == "0" {
		t.warn("primary_call_timeout", "DRMS wants 1 at least")
	}
	if m := t.get("run_on_module"); m != "" && m != path.CurrentModule && path.CheckModule(m) != nil {
		t.warn("run_on_module", "%q is not a module name", clipText(m))
	}
}

// full completes a path of the record in field name.
func (t *texts) full(name string, ctx path.Context) (path.Full, bool) {
	f, err := path.Expand(t.get(name), ctx)
	if err != nil {
		t.bad(name, "%s", whyOf(err))
		return "", false
	}
	return f, true
}

func (t *texts) include(good bool) bool {
	if !t.require("process_name", "source_path") || !good {
		return false
	}
	anywhere := t.get("in_any_directory") == "1"
	if p := t.get("source_path"); anywhere && !strings.ContainsAny(p, "%#><(") {
		t.bad("source_path", "%q says not where to look: name the directory whose files, and those of all directories below it, are meant, such as %%system#disk>dir>%s", clipText(p), clipText(p))
		return false
	}
	source, ok := t.full("source_path", t.c.ctx)
	if !ok {
		return false
	}
	if source.IsRoot() {
		t.bad("source_path", "it names a disk: name files, such as %s>*", source)
		return false
	}
	root := source.Dir()
	share := t.get("share_name")
	if share == "" {
		if share = root.Base(); path.CheckShare(share) != nil {
			t.bad("source_path", "its directory %q does not make a share's name: state share_name", clipText(string(root)))
			return false
		}
	}
	rule := ShareRule{
		Name: share, Group: share, Root: root, Line: t.line,
		Policy: t.get("policy"), Durability: t.get("durability"), OnFull: t.get("on_full"),
		Images: t.get("before_images") == "1",
	}
	if t.has("group") {
		rule.Group = t.get("group")
	}
	if t.has("destination_dir") {
		if rule.Destination, ok = t.destination(source); !ok {
			return false
		}
	}
	if rule.Durability == Interval {
		rule.IntervalMS, _ = strconv.Atoi(t.get("interval_ms"))
	}
	t.share(rule)
	for _, s := range t.c.sources {
		if s.path == source && s.share != share {
			t.bad("source_path", "the include on line %d has the same one for the share %s: a file is in one share", s.line, s.share)
			break
		}
	}
	t.c.sources = append(t.c.sources, sourceText{source, share, t.line})
	t.c.rules.Includes = append(t.c.rules.Includes, IncludeRule{Share: share, Name: source.Base(), Process: t.get("process_name"), Any: anywhere && source.Base() != "*"})
	return true
}

// destination reads destination_dir; of its system every module has its own.
func (t *texts) destination(source path.Full) (path.Full, bool) {
	ctx := t.c.ctx
	ctx.Module = "%" + source.System() + "#m"
	if v := t.get("destination_dir"); v[0] == '>' {
		ctx.Dir = source.Root()
	}
	dir, ok := t.full("destination_dir", ctx)
	if ok && dir.HasStar() {
		t.bad("destination_dir", "it names a directory: a star has no place in it")
		return "", false
	}
	if !ok {
		return "", false
	}
	dir, err := dir.WithSystem(source.System())
	if err != nil {
		t.bad("destination_dir", "%s", whyOf(err))
	}
	return dir, err == nil
}

// shareFields are those that all includes of one share must agree on; one that
// leaves a field out agrees.
var shareFields = []string{"group", "from_modules", "to_modules", "policy", "durability", "interval_ms", "before_images", "on_full"}

// share adds what this include says of its share.
func (t *texts) share(rule ShareRule) {
	c := t.c
	s := c.shares[rule.Name]
	if s == nil {
		if len(c.rules.Shares) == maxShares {
			t.bad("share_name", "a table has at most %d shares", maxShares)
			return
		}
		s = &shareText{line: t.line, rule: len(c.rules.Shares), stated: map[string]tin.Field{}}
		c.shares[rule.Name] = s
		c.rules.Shares = append(c.rules.Shares, rule)
	} else if have := &c.rules.Shares[s.rule]; have.Root != rule.Root {
		t.bad("source_path", "the share %s has its directory at %s (line %d): includes of one share have one directory", rule.Name, have.Root, s.line)
	} else if have.Destination != rule.Destination {
		t.bad("destination_dir", "the share %s has %q (line %d): includes of one share have one directory", rule.Name, string(have.Destination), s.line)
	}
	have := &c.rules.Shares[s.rule]
	for _, name := range shareFields {
		f, ok := t.at[name]
		if !ok || f.Value == "" {
			continue
		}
		if g, ok := s.stated[name]; ok && g.Value != f.Value {
			t.bad(name, "line %d says %q for the same share", g.Line, clipText(g.Value))
			continue
		}
		s.stated[name] = f
		switch name {
		case "group":
			have.Group = f.Value
		case "durability":
			have.Durability = f.Value
		case "interval_ms":
			have.IntervalMS, _ = strconv.Atoi(f.Value)
		case "before_images":
			have.Images = f.Value == "1"
		case "from_modules":
			s.route.From, s.routed, s.routedBy = strings.Fields(f.Value), true, f
		case "to_modules":
			s.route.To, s.routed, s.routedBy = strings.Fields(f.Value), true, f
		}
	}
}

func (t *texts) exclude() {
	if !t.require("source_path") {
		return
	}
	x := ExcludeRule{Process: t.get("process_name")}
	if x.Process == "" {
		x.Process = "*"
	}
	p := t.get("source_path")
	anywhere := t.get("in_any_directory") == "1"
	if !strings.ContainsAny(p, "%#><(") && (anywhere || path.HasStar(p)) {
		x.Name = p
		if len(p) > path.MaxName {
			t.bad("source_path", "a name has at most %d bytes", path.MaxName)
		}
	} else {
		full, ok := t.full("source_path", t.c.ctx)
		if !ok {
			return
		}
		if full.IsRoot() {
			t.bad("source_path", "it names a disk: name files, such as %s>*", full)
			return
		}
		x.Path, x.Any = full, anywhere && full.Base() != "*"
		t.c.sources = append(t.c.sources, sourceText{full, "", t.lineOf("source_path")})
	}
	t.c.rules.Excludes = append(t.c.rules.Excludes, x)
}

func (t *texts) mapRecord() {
	if !t.require("share", "module", "directory") {
		return
	}
	module := t.get("module")
	ctx := t.c.ctx
	ctx.Module, ctx.Dir = module, ""
	dir, ok := t.full("directory", ctx)
	if !ok {
		return
	}
	if dir.HasStar() {
		t.bad("directory", "it names a directory: a star has no place in it")
		return
	}
	if s := path.SystemOf(module); s != dir.System() {
		t.bad("directory", "%s is not on the system %%%s of the module %s", dir, s, module)
		return
	}
	t.member("module", module)
	for _, m := range t.c.maps {
		if m.rule.Share == t.get("share") && m.rule.Module == module {
			t.bad("module", "the map on line %d places the share %s at this module already", m.line, m.rule.Share)
			return
		}
	}
	t.c.maps = append(t.c.maps, mapText{t.line, MapRule{t.get("share"), module, dir}})
}

// member reports a module that no standing member is called, or that holds no
// data.
func (t *texts) member(name, module string) {
	m, ok := t.c.state.Named(module)
	switch {
	case !ok:
		t.bad(name, "no member is called %s; members are: %s", module, t.c.memberNames())
	case !m.HoldsData():
		t.bad(name, "%s is a witness: it holds no data", module)
	}
}

func (c *compiler) memberNames() string {
	var l []string
	for _, m := range c.state.Members {
		if m.HoldsData() {
			l = append(l, m.Name)
		}
	}
	if len(l) > 12 {
		l = append(l[:12], "...")
	}
	return strings.Join(l, " ")
}

// list is a field with star names of modules, each of which some member must
// match; absent is what it means when it is left out.
func (t *texts) list(name, absent string) []string {
	v := t.get(name)
	if v == "" {
		v = absent
	}
	l := strings.Fields(v)
	for _, p := range l {
		t.c.matches(t.lineOf(name), name, p)
	}
	return l
}

func (c *compiler) matches(line int, name, pattern string) {
	if pattern == "*" {
		return
	}
	witness := false
	for _, m := range c.state.Members {
		if m.Standing() && path.Match(pattern, m.Name) {
			if m.HoldsData() {
				return
			}
			witness = true
		}
	}
	if witness {
		c.problems.Add(line, name, "%s is a witness: it holds no data", pattern)
		return
	}
	c.problems.Add(line, name, "no member matches %s; members are: %s", clipText(pattern), c.memberNames())
}

func (t *texts) group() {
	if !t.require("group") {
		return
	}
	name := t.get("group")
	g := t.c.groups[name]
	if g == nil {
		g = &groupText{line: t.line}
		t.c.groups[name] = g
		t.c.rules.Groups = append(t.c.rules.Groups, GroupRule{Name: name, Mode: ModeActive})
	}
	rule := t.c.tablesGroup(name)
	t.owning(rule)
	if !t.has("from_modules") && !t.has("to_modules") {
		return // the includes may say, or nobody
	}
	g.routes++
	rule.Routes = append(rule.Routes, Route{t.list("from_modules", "*"), t.list("to_modules", "*")})
	if len(rule.Routes) > maxList {
		t.bad("group", "a group has at most %d routes", maxList)
	}
}

// owning reads what a group record says of its owner and of when a change is
// acknowledged. Records of one group must not contradict each other.
func (t *texts) owning(rule *GroupRule) {
	set := func(name string, have *string) {
		if !t.has(name) {
			return
		}
		if v := t.get(name); *have != "" && *have != v {
			t.bad(name, "an earlier record of the group %s says %q", rule.Name, *have)
		} else {
			*have = v
		}
	}
	mode := ""
	if rule.Mode != ModeActive {
		mode = rule.Mode
	}
	set("mode", &mode)
	rule.Mode = cmp.Or(mode, rule.Mode)
	set("owner", &rule.Owner)
	set("commit_scope", &rule.Scope)
	set("stop_hook", &rule.StopHook)
	set("start_hook", &rule.StartHook)
	set("notify_hook", &rule.NotifyHook)
	if t.has("hook_timeout") {
		rule.HookSeconds, _ = strconv.Atoi(t.get("hook_timeout"))
	}
	if t.has("rank") {
		rule.Rank = strings.Fields(t.get("rank"))
		for _, m := range rule.Rank {
			t.member("rank", m)
		}
	}
	if t.has("owner") {
		t.member("owner", rule.Owner)
		if m, ok := t.c.state.Named(rule.Owner); ok && m.Role == RoleLeaf {
			t.bad("owner", "%s is a leaf: it owns no group", rule.Owner)
		}
	}
	if t.has("failover") && t.get("failover") != "off" {
		rule.Failover, _ = strconv.Atoi(t.get("failover"))
		if rule.Mode != ModeOwned && rule.Owner == "" {
			t.bad("failover", "only a group that has an owner has one")
		}
	}
	if t.has("supplementary") {
		rule.Supplementary = append(rule.Supplementary, t.list("supplementary", "")...)
		if len(rule.Supplementary) > maxList {
			t.bad("supplementary", "a group has at most %d", maxList)
		}
	}
	rule.Stay = rule.Stay || t.get("on_rollback") == RollbackStay
	rule.Divert = rule.Divert || t.get("on_rejoin") == "divert"
	rule.GoOn = rule.GoOn || t.get("on_timeout") == "go_on"
	if rule.Mode == ModeOwned {
		return
	}
	for _, name := range []string{"stop_hook", "start_hook", "notify_hook", "hook_timeout", "supplementary", "on_rollback"} {
		if t.has(name) {
			t.bad(name, "only a group with mode owned has one")
		}
	}
}

func (c *compiler) tablesGroup(name string) *GroupRule {
	i := slices.IndexFunc(c.rules.Groups, func(g GroupRule) bool { return g.Name == name })
	return &c.rules.Groups[i]
}

func (t *texts) module() {
	if !t.require("module", "peers") {
		return
	}
	name := t.get("module")
	t.member("module", name)
	for _, p := range t.c.rules.Peers {
		if p.Module == name {
			t.bad("module", "an earlier record has the peers of this module")
			return
		}
	}
	t.c.rules.Peers = append(t.c.rules.Peers, PeerRule{name, t.list("peers", "")})
}

// numbers gives the groups of the rules the numbers that they have or will get.
func (s *State) numbers(r *Rules) map[string]origin.Group {
	numbers := map[string]origin.Group{}
	for _, g := range s.Groups {
		numbers[g.Name] = g.Number
	}
	next := origin.Group(s.NextGroup)
	for _, g := range r.Groups {
		if numbers[g.Name] == 0 {
			numbers[g.Name] = next
			next++
		}
	}
	return numbers
}
