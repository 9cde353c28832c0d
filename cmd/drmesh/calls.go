package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"drmesh/admin"
	"drmesh/vosio/call"
	"drmesh/vosio/dd"
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
	}
	e := admin.Errorf(class, c.Name(), hint, "%s: %s (%d): %s", what, c.Name(), int(c), c.Text())
	e.Number = int(c)
	return e
}

// fileShape is what a file is, apart from its records.
type fileShape struct {
	organization int
	size         int
	records      int64
	indexes      []indexShape
	layout       string
}

// indexShape is an index with embedded keys.
type indexShape struct {
	name       string
	positions  []int // from 1
	lengths    []int
	duplicates bool
}

func indexOf(x *dd.Index) indexShape {
	s := indexShape{name: x.Name, duplicates: x.Duplicates}
	for _, p := range x.Parts {
		s.positions, s.lengths = append(s.positions, p.Position), append(s.lengths, p.Length)
	}
	return s
}

// firstUnique names the index whose keys order the file; empty if it has none.
func (s fileShape) firstUnique() string {
	for _, x := range s.indexes {
		if !x.duplicates {
			return x.name
		}
	}
	return ""
}

// differs tells why a file of shape s cannot hold what belongs in shape t;
// empty if it can.
func (s fileShape) differs(t fileShape) string {
	if s.organization != t.organization {
		return fmt.Sprintf("it is a %s file, not a %s one", call.OrgName(t.organization), call.OrgName(s.organization))
	}
	if s.size != t.size && s.organization != call.OrgSequential {
		return fmt.Sprintf("its record size is %d, not %d", t.size, s.size)
	}
	for _, x := range s.indexes {
		i := slices.IndexFunc(t.indexes, func(y indexShape) bool { return y.name == x.name })
		if i < 0 {
			return "it has no index " + x.name
		}
		y := t.indexes[i]
		if x.duplicates != y.duplicates || !slices.Equal(x.positions, y.positions) || !slices.Equal(x.lengths, y.lengths) {
			return "its index " + x.name + " has another key"
		}
	}
	return ""
}
