package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"drmesh/admin"
	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// Files implements admin.Engine.
func (e engine) Files(_ context.Context, under string) ([]admin.File, error) {
	if under != "" {
		full, err := e.n.eng.FullPath(under)
		if err != nil {
			return nil, explain(err)
		}
		under = full
	}
	out := []admin.File{}
	for _, f := range e.n.eng.Files(under) {
		out = append(out, fileOf(f))
	}
	return out, nil
}

// FileStats implements admin.Engine.
func (e engine) FileStats(_ context.Context, under string) (*admin.FileStats, error) {
	if under != "" {
		full, err := e.n.eng.FullPath(under)
		if err != nil {
			return nil, explain(err)
		}
		under = full
	}
	since, l := e.n.eng.Stats()
	out := &admin.FileStats{Module: e.n.dir.Module, Since: since.UTC(), Counts: []admin.FileCalls{}}
	for _, f := range l {
		if under != "" && f.File != under && !strings.HasPrefix(f.File, under+">") {
			continue
		}
		x := admin.FileCalls{Program: f.Program, File: f.File}
		for _, c := range f.Calls {
			x.Calls = append(x.Calls, admin.CallCount{Call: c.Call, Made: c.Made, Failed: c.Failed})
		}
		out.Counts = append(out.Counts, x)
	}
	return out, nil
}

// Queues implements admin.Engine.
func (e engine) Queues(_ context.Context, under string) ([]admin.Queue, error) {
	eng := e.n.eng
	if under != "" {
		full, err := eng.FullPath(under)
		if err != nil {
			return nil, explain(err)
		}
		under = full
	}
	files := eng.Files(under)
	if f, err := eng.Info(under); under != "" && err == nil {
		files = append(files, f)
	}
	out := []admin.Queue{}
	for _, f := range files {
		i, err := eng.QueueInfo(f.Path)
		if errors.Is(err, call.InvalidFileType) || errors.Is(err, call.ObjectNotFound) {
			continue // no queue, or gone meanwhile
		}
		if err != nil {
			return nil, explain(err)
		}
		q := admin.Queue{Path: i.Path, Share: f.Share, Kind: i.Kind, Depth: i.Depth, Bytes: i.Bytes, Limit: i.Limit, Protected: i.Protected,
			Servers: i.Servers, Requesters: i.Requesters, Delivers: i.Delivers}
		if !i.First.IsZero() {
			q.First = &i.First
		}
		out = append(out, q)
	}
	return out, nil
}

func fileOf(f vosio.FileInfo) admin.File {
	x := admin.File{Path: f.Path, Share: f.Share, ID: f.ID.String(), Org: call.OrgName(f.Org), Size: f.Size, Records: f.Records, Bytes: f.Bytes,
		Parked: f.Parked, Withheld: f.Withheld, Computed: f.Computed, Layout: f.Layout != ""}
	for _, i := range f.Indexes {
		s := i.Name
		if i.Kind != "" {
			s += " " + i.Kind
		}
		for _, c := range i.Components {
			s += fmt.Sprintf(" %d,%d", c.Position, c.Length)
		}
		if i.Duplicates {
			s += " duplicates"
		}
		if i.NullKeys {
			s += " null-keys"
		}
		if i.Collation == record.CollateAlike {
			s += " case-alike"
		}
		if i.Name == f.Identity {
			s += " identity"
		}
		if i.Local {
			s += " this-module"
		}
		x.Indexes = append(x.Indexes, s)
	}
	return x
}

// File implements admin.Engine.
func (e engine) File(_ context.Context, p string) (*admin.File, error) {
	full, err := e.n.eng.FullPath(p)
	if err != nil {
		return nil, explain(err)
	}
	i, err := e.n.eng.Info(full)
	if err != nil {
		return nil, explain(err)
	}
	return ptr(fileOf(i)), nil
}

// Digest implements admin.Engine.
func (e engine) Digest(_ context.Context, p string) (*admin.Digest, error) {
	full, err := e.n.eng.FullPath(p)
	if err != nil {
		return nil, explain(err)
	}
	i, err := e.n.eng.Info(full)
	if err != nil {
		return nil, explain(err)
	}
	d, records, parked, err := e.n.eng.Digest(full)
	if err != nil {
		return nil, explain(err)
	}
	return &admin.Digest{Digest: d, Records: records, Parked: parked, Path: i.Rel}, nil
}
