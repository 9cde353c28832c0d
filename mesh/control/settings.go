package control

import (
	"fmt"
	"strconv"
	"strings"
)

// Settings are what a record of type global_settings asks for; without one
// there are none.
type Settings struct {
	LogOnClose bool `msgpack:"c,omitempty" json:"log_statistics_on_close"` // each port's calls go to the daily log when it is closed
	ShowStats  bool `msgpack:"s,omitempty" json:"appl_show_stats"`         // and to the program's own log
	// A file's size, records, bytes and indexes are held against those at other
	// modules when a program opens or closes it; all files whole, every so many
	// minutes, if that is not 0.
	CheckOpen  bool `msgpack:"o,omitempty" json:"check_file_at_open"`
	CheckClose bool `msgpack:"l,omitempty" json:"check_file_at_close"`
	CheckEvery int  `msgpack:"i,omitempty" json:"check_file_interval"`
	// MaxErrors is how many findings about one file go to the daily log; 0: all.
	MaxErrors int `msgpack:"e,omitempty" json:"max_file_errors"`
	// WarnAt is how many txns of a module may wait for another one before there
	// is an alarm; 0: any number.
	WarnAt int `msgpack:"q,omitempty" json:"qmon_warn_at"`
	// Disabled has no module take anything from another; what is written waits.
	Disabled bool `msgpack:"d,omitempty" json:"disable_drms"`
}

// settings takes what the mesh heeds of a record of type global_settings.
func (t *texts) settings() {
	if t.kind.name != "global_settings" {
		return
	}
	if t.c.rules.Settings != nil {
		t.c.warnings.Add(t.line, "record_type", "there is a record of type global_settings before it, which counts")
		return
	}
	is := func(name string) bool { return t.get(name) == "1" }
	// A negative number is as none.
	count := func(name string) int {
		n, _ := strconv.Atoi(t.get(name))
		return max(n, 0)
	}
	t.c.rules.Settings = &Settings{LogOnClose: is("log_statistics_on_close"), ShowStats: is("appl_show_stats"),
		CheckOpen: is("check_file_at_open"), CheckClose: is("check_file_at_close"), CheckEvery: count("check_file_interval"),
		MaxErrors: count("max_file_errors"), WarnAt: count("qmon_warn_at"), Disabled: is("disable_drms")}
	if is("disable_drms") {
		t.warn("disable_drms", "no module takes anything from another until it is 0 again; what is written meanwhile is kept, and sent then")
	}
}

// settingsTexts are the settings as a plan has them, one each.
func settingsTexts(r *Rules) []string {
	s := r.Settings
	if s == nil {
		return nil
	}
	var l []string
	for _, x := range []struct {
		name string
		is   bool
	}{{"log_statistics_on_close", s.LogOnClose}, {"appl_show_stats", s.ShowStats}, {"check_file_at_open", s.CheckOpen}, {"check_file_at_close", s.CheckClose},
		{fmt.Sprintf("check_file_interval %d", s.CheckEvery), s.CheckEvery > 0}, {fmt.Sprintf("max_file_errors %d", s.MaxErrors), s.MaxErrors > 0},
		{fmt.Sprintf("qmon_warn_at %d", s.WarnAt), s.WarnAt > 0}, {"disable_drms: nothing is mirrored until it is 0 again", s.Disabled}} {
		if x.is {
			l = append(l, strings.TrimSpace(x.name))
		}
	}
	return l
}
