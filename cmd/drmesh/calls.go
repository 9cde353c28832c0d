package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/dd"
	"drmesh/vosio/record"
)

// fileError turns an error of a call into one for operators, with the exit
// code of its e$ code.
func fileError(what string, err error) error {
	if e := (*admin.Error)(nil); errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	var c call.Code
	if !errors.As(err, &c) {
		return fmt.Errorf("%s: %w", what, err)
	}
	class, hint := admin.Failed, ""
	switch c {
	case call.ObjectNotFound:
		class, hint = admin.NotFound, "\"drmesh file ls\" lists files; a share's directory is there once the tables are"
	case call.NoAccess:
		class, hint = admin.NotPermitted, "an include of the control tables must name this program for these files"
	case call.NotOwner:
		hint = "work at the owner, which \"drmesh group ls\" names, or have the group given to this module: \"drmesh switchover start\""
	case call.NotCurrent:
		class, hint = admin.Precondition, "\"drmesh status\" says what this module waits for"
	case call.DiskFull:
		hint = "make room on the module's disk; writing goes on by itself then"
	case call.DurableHere:
		hint = "it is made and durable here; \"drmesh lag\" says which module has not confirmed it"
	}
	text := fmt.Sprintf("%s (%d): %s", c.Name(), int(c), c.Text())
	if f := (*call.Failure)(nil); errors.As(err, &f) && strings.Contains(f.Text, c.Name()) {
		text = f.Text
	}
	e := admin.Errorf(class, c.Name(), hint, "%s: %s", what, text)
	e.Number = int(c)
	return e
}

// indexOf is the index of a layout as the file system knows it.
func indexOf(x *dd.Index) record.Index {
	r := record.Index{Name: x.Name, Duplicates: x.Duplicates}
	for _, p := range x.Parts {
		r.Components = append(r.Components, record.Component{Position: p.Position, Length: p.Length})
	}
	return r
}

// firstUnique names the index whose keys order a file; empty if it has none.
func firstUnique(s *call.Status) string {
	if s.Identity != "" {
		return s.Identity
	}
	for _, x := range s.Indexes {
		if !x.Duplicates && !x.Local {
			return x.Name
		}
	}
	return ""
}

// differs tells why file have cannot hold what belongs in file want; empty if
// it can.
func differs(want, have *call.Status) string {
	if want.Org != have.Org {
		return fmt.Sprintf("it is a %s file, not a %s one", call.OrgName(have.Org), call.OrgName(want.Org))
	}
	if want.Size != have.Size && want.Org != call.OrgSequential {
		return fmt.Sprintf("its record size is %d, not %d", have.Size, want.Size)
	}
	for _, x := range want.Indexes {
		i := slices.IndexFunc(have.Indexes, func(y record.Index) bool { return y.Name == x.Name })
		if i < 0 {
			return "it has no index " + x.Name
		}
		if y := have.Indexes[i]; x.Duplicates != y.Duplicates || !slices.Equal(x.Components, y.Components) {
			return "its index " + x.Name + " has another key"
		}
	}
	return ""
}
