package main

import (
	"strconv"
	"strings"
	"time"

	"drmesh/vosio/call"
)

// What files carry beside their records.

var attributeCommands = []vosCommand{
	{name: "set_expiration_date", args: "PATH... DATE_TIME", short: "Let nobody delete files before a time", least: 2, most: 100, run: vosExpiration},
	{name: "set_file_allocation", args: "PATH... BLOCKS", short: "Note how many blocks files are to have", least: 2, most: 100, run: vosAllocation},
	switchCommand("set_implicit_locking", "Lock a record for each call on files"),
	switchCommand("set_pipe_file", "Make files pipes: who reads takes what was written"),
	switchCommand("set_safety_switch", "Let nobody delete or empty files"),
	switchCommand("set_transaction_file", "Protect files by transactions"),
	switchCommand("enforce_region_locks", "Hold programs to the region locks of files"),
	inert("set_text_file", "Mark stream files as text", "records and lines are told apart by the organization"),
	inert("set_index_flags", "Set flags of indexes", "indexes have none here"),
	inert("set_ram_file", "Keep files in memory", "memory is given to what is used"),
}

// switchCommand sets a switch of files, or with -off takes it away.
func switchCommand(name, short string) vosCommand {
	return vosCommand{name: name, args: "PATH... [-off]", short: short, least: 1, most: 100, switches: []vosSwitch{{name: "off", help: "no more"}},
		run: func(r *vosRun) error {
			did, on := "set "+strings.TrimPrefix(name, "set_")+" of", 1
			if r.has("off") {
				did, on = "unset"+did[3:], 0
			}
			return r.each(r.words, did, "", func(p string) error {
				return r.call(&call.Request{Call: "s$" + name, Path: p, Switches: on})
			})
		}}
}

// inert is a command that has nothing to do here: it looks for the files and
// says why.
func inert(name, short, why string) vosCommand {
	return vosCommand{name: name, args: "PATH...", short: short + ": accepted, and does nothing", least: 1, most: 100,
		run: func(r *vosRun) error {
			for _, w := range r.words {
				l, err := r.expand(w)
				if err != nil {
					return err
				}
				for _, p := range l {
					f, err := r.admin.File(r.ctx, p)
					if err != nil {
						return err
					}
					r.a.say("%s %s: nothing was done: %s", r.name, p, why)
					if f.Share != "" {
						r.a.say("warning: %s is in the share %s, and this command is not mirrored", p, f.Share)
					}
				}
			}
			return r.tell(false)
		}}
}

// vosEpoch is where VOS counts seconds from.
var vosEpoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// dateTime reads a date and time of VOS: yy-mm-dd or yyyy-mm-dd, then maybe a
// blank or _ and hh:mm or hh:mm:ss, of the module's time zone; or none.
func dateTime(s string, zone *time.Location) (seconds int64, ok bool) {
	if s == "none" || s == "" {
		return 0, true
	}
	s = strings.Replace(s, "_", " ", 1)
	for _, form := range []string{"06-01-02", "2006-01-02"} {
		for _, hour := range []string{"", " 15:04", " 15:04:05"} {
			t, err := time.ParseInLocation(form+hour, s, zone)
			if n := int64(t.Sub(vosEpoch) / time.Second); err == nil && n > 0 && n < 1<<31 {
				return n, true
			}
		}
	}
	return 0, false
}

func vosExpiration(r *vosRun) error {
	last := len(r.words) - 1
	seconds, ok := dateTime(r.words[last], time.Local)
	if !ok {
		return usage("%s: %s: give a date and time such as 30-12-31 or 30-12-31_23:59:59, from 1980 to 2047, or none", r.name, r.words[last])
	}
	return r.each(r.words[:last], "set the expiration date of", "", func(p string) error {
		return r.call(&call.Request{Call: "s$set_expiration_date", Path: p, Count: seconds})
	})
}

func vosAllocation(r *vosRun) error {
	last := len(r.words) - 1
	n, err := strconv.ParseInt(r.words[last], 10, 64)
	if err != nil {
		return usage("%s: %s: give a number of blocks", r.name, r.words[last])
	}
	return r.each(r.words[:last], "set the allocation of", "", func(p string) error {
		return r.call(&call.Request{Call: "s$set_file_allocation", Path: p, Count: n})
	})
}
