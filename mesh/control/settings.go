package control

// Settings are what a record of type global_settings asks for; without one
// there are none.
type Settings struct {
	LogOnClose bool `msgpack:"c,omitempty" json:"log_statistics_on_close"` // each port's calls go to the daily log when it is closed
	ShowStats  bool `msgpack:"s,omitempty" json:"appl_show_stats"`         // and to the program's own log
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
	t.c.rules.Settings = &Settings{LogOnClose: t.get("log_statistics_on_close") == "1", ShowStats: t.get("appl_show_stats") == "1"}
}
