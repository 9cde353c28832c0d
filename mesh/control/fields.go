package control

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drmesh/vosio/path"
)

// use is what becomes of a field that was understood.
type use int

const (
	used    use = iota // it has its effect here
	ignored            // DRMS needed it, nothing here does: a warning unless it has its default
	unbuilt            // refused unless it has its default
)

// field is one field of a kind of record.
type field struct {
	name    string
	use     use
	normal  string                       // the default, in the form that value gives
	value   func(string) (v, why string) // checks a text and gives its one form
	allowed string                       // for the docs and for messages
	note    string                       // what to tell with a warning
	heeded  string                       // of a kind that has no effect else: what this field does
}

// recordKind is one record_type.
type recordKind struct {
	name   string
	table  string // the table that it belongs to: shown in docs
	fields []field
	refuse string // why records of this type are refused
	warn   string // why they have no effect
}

func (k *recordKind) field(name string) *field {
	i := slices.IndexFunc(k.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	return &k.fields[i]
}

// names lists the fields of k for a message.
func (k *recordKind) names() string {
	l := make([]string, len(k.fields))
	for i, f := range k.fields {
		l[i] = f.name
	}
	slices.Sort(l)
	return strings.Join(l, ", ")
}

// aliases maps other spellings of fields to the names used here: those that
// the manual of DRMS itself uses, and the obvious ones for our own.
var aliases = map[string]string{
	"mirroring_dir":                  "destination_dir",
	"appl_send_alrets_to_syserr_log": "appl_send_alerts_to_syserr_log",
}

// plainAliases are accepted without a warning, in records of one type.
var plainAliases = map[string]map[string]string{
	"include": {"share": "share_name"},
	"map":     {"share_name": "share", "dir": "directory"},
	"group":   {"group_name": "group", "name": "group"},
	"module":  {"module_name": "module", "name": "module"},
}

var typeAliases = map[string]string{"synchronize_vm": "drms_sync_vm"}

func anyText(n int) func(string) (string, string) {
	return func(s string) (string, string) {
		if len(s) > n {
			return "", fmt.Sprintf("it has %d bytes, char(%d) holds %d", len(s), n, n)
		}
		return s, ""
	}
}

func number(lo, hi int64) func(string) (string, string) {
	return func(s string) (string, string) {
		if s == "" {
			s = "0"
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < lo || n > hi {
			return "", fmt.Sprintf("%q is not a number from %d to %d", clipText(s), lo, hi)
		}
		return strconv.FormatInt(n, 10), ""
	}
}

func bit(s string) (string, string) {
	switch strings.ToLower(s) {
	case "0", "no", "false", "":
		return "0", ""
	case "1", "yes", "true":
		return "1", ""
	}
	return "", fmt.Sprintf("%q is not 0 or 1 (no or yes, false or true)", clipText(s))
}

func oneOf(words ...string) func(string) (string, string) {
	return func(s string) (string, string) {
		l := strings.ToLower(s)
		if l == "" {
			return words[0], ""
		}
		if slices.Contains(words, l) {
			return l, ""
		}
		return "", fmt.Sprintf("%q is not one of: %s", clipText(s), strings.Join(words, ", "))
	}
}

func policy(s string) (string, string) {
	l := strings.ToLower(s)
	if strings.HasPrefix(l, "wasm:") && len(l) > len("wasm:") {
		return "", fmt.Sprintf("%q needs a feature that is not built yet: %s are allowed", clipText(l), strings.Join(builtPolicies, ", "))
	}
	l, why := oneOf("latest", "earliest", "rank", "merge", "delta", "both", "ask")(s)
	if why == "" && !slices.Contains(builtPolicies, l) {
		return "", fmt.Sprintf("%q needs a feature that is not built yet: %s are allowed", l, strings.Join(builtPolicies, ", "))
	}
	return l, why
}

// onlyShareName checks names of shares and groups.
func onlyShareName(s string) (string, string) {
	if s == "" {
		return "", "a name is missing"
	}
	if err := path.CheckShare(s); err != nil {
		return "", whyOf(err)
	}
	return s, ""
}

func moduleName(s string) (string, string) {
	if err := path.CheckModule(s); err != nil {
		return "", whyOf(err)
	}
	return s, ""
}

// starList checks a list of star names of modules, divided by blanks.
func starList(s string) (string, string) {
	l := strings.Fields(s)
	if len(l) > maxList {
		return "", fmt.Sprintf("the list has %d names, %d are allowed", len(l), maxList)
	}
	for _, p := range l {
		plain := strings.ReplaceAll(p, "*", "x")
		if p != "*" && !strings.Contains(p, "*") {
			if err := path.CheckModule(p); err != nil {
				return "", whyOf(err)
			}
		} else if len(p) > path.MaxModule || strings.ContainsAny(plain, ",;>'\"") {
			return "", fmt.Sprintf("%q is not a star name of modules: names are divided by blanks", clipText(p))
		}
	}
	return strings.Join(l, " "), ""
}

// process checks a star name of programs: the name without .pm.
func process(s string) (string, string) {
	return anyText(32)(s)
}

func off(s string) (string, string) {
	l := strings.ToLower(s)
	if l == "" || l == "off" {
		return "off", ""
	}
	return number(1, 1<<31-1)(s)
}

// whyOf is a path's error without its text, which a message here names already.
func whyOf(err error) string {
	if e := (*path.Error)(nil); errors.As(err, &e) {
		return fmt.Sprintf("%q: %s", clipText(e.Text), e.Why)
	}
	return err.Error()
}

func clipText(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

func bin15(name, normal string) field {
	return field{name: name, use: ignored, normal: normal, value: number(-32768, 32767), allowed: "-32768 to 32767"}
}

func bitField(name, normal string, u use) field {
	f := field{name: name, use: u, normal: normal, value: bit, allowed: "0 or 1 (no or yes, false or true)"}
	if u == unbuilt {
		f.allowed = normal
	}
	return f
}

func text(name string, n int, u use) field {
	return field{name: name, use: u, value: anyText(n), allowed: fmt.Sprintf("text of at most %d bytes", n)}
}

// drmsFields are the fields of drms.table. None has an effect: what they set
// in DRMS (servers, queues, buffers, one TCP link) has no counterpart here.
// They are checked all the same, so that a table that would have been wrong
// there is not taken here.
func drmsFields() []field {
	return []field{
		text("run_on_module", 66, used),
		{name: "priority", normal: "8", use: used, value: number(0, 9), allowed: "0 to 9"},
		text("tcp_host", 32, used),
		{name: "tcp_port", normal: "0", use: used, value: number(0, 65535), allowed: "1 to 65535"},
		used15("max_buffer_len", "8196"),
		{name: "primary_call_timeout", normal: "60", use: used, value: number(0, 32767), allowed: "1 to 32767"},
		used15("max_file_errors", "50").does("findings about one file that go to the daily log; 0: all"),
		bitField("log_statistics_on_close", "1", used).does("each port's calls go to log/Primary.(date) when it is closed"),
		used15("tp_abort_timeout", "2"),
		text("substitute_system_name", 32, used),
		bitField("appl_show_stats", "0", used).does("and to log/PROGRAM.drms"),
		bitField("appl_mirror_default_output", "0", used),
		bitField("appl_send_alerts_to_25th_line", "1", used),
		bitField("appl_send_alerts_to_syserr_log", "1", used),
		bitField("check_file_at_open", "1", used).does("its size, records, bytes and indexes are held against those at the other modules"),
		bitField("check_file_at_close", "1", used).does("the same, when a program closes it"),
		used15("check_file_interval", "0").does("minutes between proofs that all modules hold the same; 0: none"),
		bitField("use_tp", "1", used),
		{name: "appl_q_timeout", normal: "2", use: used, value: number(-1<<31, 1<<31-1), allowed: "a bin(31) number"},
		used15("primary_max_buffers", "1000"),
		used15("appl_max_buffers", "200"),
		used15("primary_q_read_timeout", "120"),
		used15("user_application_q_timeout", "5"),
		bitField("use_yield_processor", "0", used),
		used15("sort_buffer", "30"),
		{name: "no_of_queues", normal: "1", use: used, value: queues, allowed: "1 to 64, or -1"},
		bitField("replace_special_chars", "1", used),
		used15("qmon_warn_at", "0").does("an alarm when more txns than that wait for another module; 0: none"),
		bitField("disable_drms", "0", used).does("nothing is sent or taken in until it is 0 again; what is written is kept until then"),
		used15("resume_at_q_depth", "10000"),
		bitField("keep_trying", "1", used),
		used15("trace_level", "0"),
		{name: "queue_threshold", normal: "0", use: ignored, value: number(0, 32767), allowed: "0 to 32767", note: "it is not in drms.dd"},
		{name: "use_queue_no", normal: "0", use: ignored, value: number(0, 64), allowed: "0 to 64", note: "it is not in drms.dd"},
	}
}

// does says what a field does in a record of type global_settings.
func (f field) does(what string) field {
	f.heeded = what
	return f
}

func used15(name, normal string) field {
	f := bin15(name, normal)
	f.use = used
	return f
}

func queues(s string) (string, string) {
	if s == "-1" {
		return s, ""
	}
	return number(1, 64)(s)
}

// legacyFields are the fields of drms_files.table that say how a backup was
// fed.
func legacyFields(images use) []field {
	return []field{
		{name: "drms_server", normal: "0", use: ignored, value: number(0, 32767), allowed: "0 to 32767", note: "each module applies what it receives itself"},
		{name: "in_any_directory", normal: "0", use: used, value: bit, allowed: "0 or 1 (no or yes, false or true): the name of source_path in its directory and in all below it"},
		{name: "auto_synchronize", normal: "0", use: ignored, value: bit, allowed: "0, 1", note: "whole records travel, so that a rewrite never lacks its record"},
		{name: "dont_send_reads", normal: "0", use: ignored, value: bit, allowed: "0, 1", note: "reads do not travel"},
		{name: "extractor_file_id", normal: "0", use: images, value: number(0, 32767), allowed: "0"},
		{name: "equalize_interval", use: images, value: anyText(32), allowed: "nothing"},
		bitField("equalize_if_new", "0", images),
		bitField("equalize_if_modified", "0", images),
		bitField("equalize_if_locked", "0", images),
		bitField("report_orphans", "0", images),
		bitField("delete_orphans", "0", images),
	}
}

var hooks = "a program by its full path, and its arguments, divided by blanks"

var starNames = "star names of modules, divided by blanks"

// kinds is every record_type, in the order of the docs.
var kinds = []*recordKind{
	{name: "include", table: "drms_files", fields: append([]field{
		{name: "process_name", use: used, value: process, allowed: "star name of programs; required"},
		{name: "source_path", use: used, value: anyText(256), allowed: "path, its last name may be a star name; required"},
		{name: "destination_dir", use: used, value: anyText(256), allowed: "directory on modules outside the source's system"},
		{name: "share_name", use: used, value: onlyShareName, allowed: "name; left out: the last directory of source_path"},
		{name: "group", use: used, value: onlyShareName, allowed: "name; left out: the share's own"},
		{name: "from_modules", use: used, value: starList, allowed: starNames + "; left out: *"},
		{name: "to_modules", use: used, value: starList, allowed: starNames + "; left out: *"},
		{name: "policy", normal: policyLatest, use: used, value: policy, allowed: strings.Join(builtPolicies, ", ") + "; rank needs that of the group"},
		{name: "durability", normal: Sync, use: used, value: oneOf(Sync, Interval), allowed: "sync, interval"},
		{name: "interval_ms", normal: "10", use: used, value: number(1, 60000), allowed: "1 to 60000, with durability interval; left out: 10"},
		bitField("before_images", "0", used),
		{name: "on_full", normal: "refuse", use: unbuilt, value: oneOf("refuse", "break"), allowed: "refuse"},
		bitField("twin_ports", "0", unbuilt),
	}, legacyFields(unbuilt)...)},
	{name: "exclude", table: "drms_files", fields: append([]field{
		{name: "process_name", use: used, value: process, allowed: "star name of programs; left out: *"},
		{name: "source_path", use: used, value: anyText(256), allowed: "path or bare name; star names; required"},
		{name: "destination_dir", use: ignored, value: anyText(256), allowed: "anything", note: "an exclude has no use for it"},
	}, legacyFields(ignored)...)},
	{name: "map", table: "ours", fields: []field{
		{name: "share", use: used, value: onlyShareName, allowed: "name of a share; required"},
		{name: "module", use: used, value: moduleName, allowed: "name of a member; required"},
		{name: "directory", use: used, value: anyText(256), allowed: "directory at that module; required"},
	}},
	{name: "group", table: "ours", fields: []field{
		{name: "group", use: used, value: onlyShareName, allowed: "name; required"},
		{name: "from_modules", use: used, value: starList, allowed: starNames + "; left out: *"},
		{name: "to_modules", use: used, value: starList, allowed: starNames + "; left out: *"},
		{name: "mode", normal: ModeActive, use: used, value: oneOf(ModeActive, ModeOwned), allowed: "active, owned"},
		{name: "owner", use: used, value: moduleName, allowed: "name of a member; left out with mode owned: the first of rank, else the module of source_path. With mode active: who takes messages off the queues"},
		{name: "rank", use: used, value: starList, allowed: "names of modules, best first, divided by blanks: who is to own the group next, and for policy rank"},
		{name: "commit_scope", normal: ScopeLocal, use: used, value: oneOf(ScopeLocal, ScopeOne, ScopeSystem, ScopeAll), allowed: "local, one, system, all"},
		{name: "on_timeout", normal: "fail", use: used, value: oneOf("fail", "go_on"), allowed: "fail, go_on"},
		{name: "on_rejoin", normal: "merge", use: used, value: oneOf("merge", "divert"), allowed: "merge, divert"},
		{name: "failover", normal: "off", use: used, value: off, allowed: "off, or after how many seconds without its owner a group that has one gets another by itself"},
		{name: "supplementary", use: used, value: starList, allowed: starNames + ", that write a group with mode owned beside its owner"},
		{name: "on_rollback", normal: RollbackFollow, use: used, value: oneOf(RollbackFollow, RollbackStay), allowed: "follow, stay: what supplementary modules wrote after what was lost with an owner"},
		{name: "stop_hook", use: used, value: hook, allowed: hooks + "; run at the old owner before it stops, with mode owned"},
		{name: "start_hook", use: used, value: hook, allowed: hooks + "; run at the owner that follows once it takes writes, with mode owned"},
		{name: "notify_hook", use: used, value: hook, allowed: hooks + "; run at both with the outcome, with mode owned"},
		{name: "hook_timeout", normal: strconv.Itoa(DefaultHookSeconds), use: used, value: number(1, maxHookSeconds), allowed: fmt.Sprintf("1 to %d: how many seconds a hook may take; left out: %d", maxHookSeconds, DefaultHookSeconds)},
	}},
	{name: "module", table: "ours", fields: []field{
		{name: "module", use: used, value: moduleName, allowed: "name of a member; required"},
		{name: "peers", use: used, value: starList, allowed: starNames + "; required"},
	}},
	{name: "equalize", table: "drms_files", refuse: "the equalizer is not built yet", fields: append([]field{
		{name: "process_name", use: ignored, value: process},
		{name: "source_path", use: ignored, value: anyText(256)},
		{name: "destination_dir", use: ignored, value: anyText(256)},
	}, legacyFields(ignored)...)},
	{name: "global_settings", table: "drms", warn: "the mesh heeds its logs, checks, qmon_warn_at and disable_drms, and needs no other of its settings", fields: drmsFields()},
	{name: "primary", table: "drms", warn: "it has no effect: every module's node ships what its programs write", fields: drmsFields()},
	{name: "backup", table: "drms", warn: "it has no effect: every module's node receives", fields: drmsFields()},
	{name: "application", table: "drms", warn: "it has no effect: every module's node applies what it receives", fields: drmsFields()},
	{name: "equalizer", table: "drms", refuse: "the equalizer is not built yet", fields: drmsFields()},
	{name: "drms_sync_vm", table: "drms", refuse: "mirrored memory regions are not built yet", fields: drmsFields()},
}

// kind finds a record_type, in any case, by name or alias.
func kind(name string) *recordKind {
	name = strings.ToLower(name)
	if a := typeAliases[name]; a != "" {
		name = a
	}
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	return nil
}

func kindNames() string {
	l := make([]string, len(kinds))
	for i, k := range kinds {
		l[i] = k.name
	}
	return strings.Join(l, ", ")
}
