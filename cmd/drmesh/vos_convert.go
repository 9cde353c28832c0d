package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"drmesh/vosio/call"
)

// Conversions write records into another file, call by call, so that a shared
// target is mirrored as anything that a program writes.

var convertCommands = []vosCommand{
	{name: "cvt_fixed_to_stream", args: "SOURCE TARGET [-delete]", short: "Write the records of a file as lines of a stream file", least: 2, most: 2,
		switches: []vosSwitch{{name: "delete", help: "delete a target that exists first"}},
		run:      func(r *vosRun) error { return r.convert(r.words[0], r.words[1], call.OrgStream, 0) }},
	{name: "cvt_stream_to_fixed", args: "SOURCE TARGET -record_size N [-delete]", short: "Write the lines of a stream file as fixed records", least: 2, most: 2, run: vosStreamToFixed,
		switches: []vosSwitch{{name: "record_size", value: "bytes", help: "lines are padded with blanks; a longer one is an error"}, {name: "delete", help: "delete a target that exists first"}}},
	{name: "convert_stream_file", args: "PATH -to KIND", short: "Make a stream or sequential file one of the other kind", least: 1, most: 1, run: vosConvertStream,
		switches: []vosSwitch{{name: "to", value: kindsOf(streamKinds), help: "what the file becomes"}}},
}

var streamKinds = map[string]int{"stream": call.OrgStream, "stream64": call.OrgStream64, "sequential": call.OrgSequential, "extended": call.OrgExtended}

func vosStreamToFixed(r *vosRun) error {
	size, err := r.number(r.name, "record_size", 0)
	if err != nil {
		return err
	}
	if size == 0 {
		return usage("%s: give -record_size", r.name)
	}
	return r.convert(r.words[0], r.words[1], call.OrgFixed, size)
}

// convert writes the records of one file into a new one. One that fails leaves
// no target.
func (r *vosRun) convert(from, to string, org, size int) error {
	err := r.do("converted", from, to, func() error {
		if err := r.makeRoom(to, to); err != nil {
			return err
		}
		return r.rewrite(from, to, org, size)
	})
	if err != nil {
		return err
	}
	return r.tell(false)
}

func (r *vosRun) rewrite(from, to string, org, size int) (err error) {
	if _, err := r.door.status(r.ctx, from); err != nil {
		return err
	}
	if err := r.door.CreateFile(r.ctx, to, org, size); err != nil {
		return err
	}
	port := 0
	defer func() {
		if port != 0 {
			err = cmp.Or(err, r.door.Detach(r.ctx, port))
		}
		if err != nil {
			err = errors.Join(err, r.door.DeleteFile(r.ctx, to))
		}
	}()
	if port, err = r.door.OpenPath(r.ctx, to, call.OpenOptions{IO: call.Append, Lock: call.SetLockDontWait, Access: call.Sequential}); err != nil {
		return err
	}
	n := 0
	return r.door.records(r.ctx, from, "", func(rec []byte) error {
		n++
		if size > 0 {
			if len(rec) > size {
				return &call.Failure{Code: call.RecordTooLong, Text: fmt.Sprintf("line %d has %d bytes, a record %d: %v", n, len(rec), size, call.RecordTooLong)}
			}
			rec = append(slices.Clone(rec), slices.Repeat([]byte{' '}, size-len(rec))...)
		}
		return r.door.SeqWrite(r.ctx, port, rec)
	})
}

// vosConvertStream converts into a file beside, which then takes the name.
func vosConvertStream(r *vosRun) error {
	kind := r.text("to", "")
	org, ok := streamKinds[kind]
	if !ok {
		return usage("%s: -to %s: give %s", r.name, kind, kindsOf(streamKinds))
	}
	p := r.words[0]
	st, err := r.door.status(r.ctx, p)
	if err != nil {
		return fileError(r.name+" "+p, err)
	}
	if !slices.Contains(slices.Collect(maps.Values(streamKinds)), st.Org) {
		return usage("%s: %s is a %s file: streams and sequential files are converted", r.name, p, call.OrgName(st.Org))
	}
	if len(st.Indexes) > 0 {
		return usage("%s: %s has indexes: delete them first", r.name, p)
	}
	if err := r.do("converted", p, "", func() error {
		beside := p + ".converted"
		if err := r.rewrite(p, beside, org, 0); err != nil {
			return err
		}
		if err := r.door.DeleteFile(r.ctx, p); err != nil {
			return errors.Join(err, r.door.DeleteFile(r.ctx, beside))
		}
		_, name := split(p)
		return r.door.Rename(r.ctx, beside, name)
	}); err != nil {
		return err
	}
	return r.tell(false)
}
