package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"drmesh/admin"
	"drmesh/vosio/path"
)

// compared is the answer of compare_files.
type compared struct {
	Equal bool           `json:"equal"`
	Files []comparedFile `json:"files"`
	// Of two files at one module: the first record that is not the same,
	// counted from 1, and how many are not.
	First     int64 `json:"first_difference,omitempty"`
	Different int64 `json:"different_records,omitempty"`
}

type comparedFile struct {
	Path    string `json:"path"`
	Module  string `json:"module"`
	Digest  string `json:"digest,omitempty"`
	Records int64  `json:"records"`
	Parked  int64  `json:"parked"`
	Error   string `json:"error,omitempty"`
}

func vosCompareFiles(r *vosRun) error {
	modules, given := r.long["modules"]
	switch {
	case given && len(r.words) == 1:
		return r.compareModules(r.words[0], modules)
	case !given && len(r.words) == 2:
		return r.compareTwo(r.words[0], r.words[1])
	}
	return usage("%s: give two paths, or one and --modules", r.name)
}

// compareModules compares one file at all modules that a star name matches, by
// digests that each makes of its own. Copies differ while changes are on their
// way, so this module catches up first, and what differs is looked at again
// until everybody has everything, or the time is over.
func (r *vosRun) compareModules(file, pattern string) error {
	limit := 10 * time.Second
	if t, ok := r.long["timeout"]; ok {
		d, err := time.ParseDuration(t)
		if err != nil || d < 0 {
			return usage("%s: --timeout %s: give a time such as 30s", r.name, t)
		}
		limit = d
	}
	over := time.Now().Add(limit)
	if _, err := r.admin.CaughtUp(r.ctx, admin.CaughtUpRequest{Timeout: max(limit, time.Second), Reachable: true}); err != nil {
		if e := (*admin.Error)(nil); !errors.As(err, &e) || e.Class != admin.TimedOut {
			return err
		}
	}
	var v *compared
	var gone error
	for {
		s, err := r.admin.Status(r.ctx)
		if err != nil {
			return err
		}
		last := everybodyHas(s) || time.Now().After(over)
		if v, gone, err = r.digests(s, file, pattern); err != nil {
			return err
		}
		if v.Equal || last || gone != nil {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	if err := r.a.emit(v, func(t *table) {
		t.row("MODULE", "FILE", "RECORDS", "PARKED", "DIGEST")
		for _, f := range v.Files {
			digest := f.Digest
			if f.Error != "" {
				digest = f.Error
			}
			t.row(f.Module, f.Path, f.Records, f.Parked, digest)
		}
	}); err != nil {
		return err
	}
	if gone != nil {
		return gone
	}
	if !v.Equal {
		return admin.Errorf(admin.Findings, "files_differ", "\"drmesh status --wait-for caught-up\" at each module tells whether changes are still on their way",
			"%s: %s is not the same at all modules", r.name, v.Files[0].Path)
	}
	return nil
}

// everybodyHas tells whether all members are known to have all that this
// module has, and this module all that it heard of.
func everybodyHas(s *admin.Status) bool {
	others := 0
	for _, m := range s.Members {
		if m.Status != "left" && m.Status != "removed" && m.Role != "witness" && m.Module != s.Module {
			others++
		}
	}
	for _, x := range s.Streams {
		if x.Written == nil || *x.Written > x.Durable {
			return false
		}
		has := 0
		for _, p := range x.Peers {
			if p.Durable != nil && *p.Durable >= x.Durable {
				has++
			}
		}
		if has < others {
			return false
		}
	}
	return true
}

// digests asks the modules once. gone is the error of one that did not answer.
func (r *vosRun) digests(s *admin.Status, file, pattern string) (v *compared, gone, err error) {
	here, err := r.admin.Digest(r.ctx, "", file)
	if err != nil {
		return nil, nil, err
	}
	info, err := r.admin.File(r.ctx, file)
	if err != nil {
		return nil, nil, err
	}
	shared := here.Path // the name of the file at every module
	if info.Share != "" {
		shared = info.Share + ":" + here.Path
	}
	v = &compared{Equal: true, Files: []comparedFile{}}
	for _, m := range s.Members {
		if m.Status == "left" || m.Status == "removed" || m.Role == "witness" || !path.Match(pattern, m.Module) {
			continue
		}
		d, err := here, error(nil)
		if m.Module != s.Module {
			d, err = r.admin.Digest(r.ctx, m.Module, shared)
		}
		e := (*admin.Error)(nil)
		switch {
		case err == nil:
			v.Files = append(v.Files, comparedFile{shared, m.Module, d.Digest, d.Records, d.Parked, ""})
			v.Equal = v.Equal && d.Digest == v.Files[0].Digest && d.Records == v.Files[0].Records
		case errors.As(err, &e) && e.Class == admin.NotFound:
			v.Files = append(v.Files, comparedFile{shared, m.Module, "", 0, 0, e.Message})
			v.Equal = false
		case r.ctx.Err() != nil:
			return nil, nil, r.ctx.Err()
		default:
			v.Files = append(v.Files, comparedFile{shared, m.Module, "", 0, 0, err.Error()})
			v.Equal, gone = false, err
		}
	}
	if len(v.Files) == 0 {
		return nil, nil, admin.Errorf(admin.NotFound, "no_module", "\"drmesh module ls\" lists them", "%s: no module matches %s", r.name, pattern)
	}
	return v, gone, nil
}

// compareTwo compares the records of two files in order: lengths and bytes.
func (r *vosRun) compareTwo(one, two string) error {
	s, err := r.admin.Status(r.ctx)
	if err != nil {
		return err
	}
	v := compared{Equal: true, Files: []comparedFile{{Path: one, Module: s.Module}, {Path: two, Module: s.Module}}}
	// Two readers take turns: the second hands over record after record.
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	next := make(chan []byte)
	ended := make(chan error, 1)
	go func() {
		err := r.door.records(ctx, two, "", func(rec []byte) error {
			select {
			case next <- bytes.Clone(rec):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(next)
		ended <- err
	}()
	a, b := &v.Files[0].Records, &v.Files[1].Records
	differs := func() {
		v.Equal = false
		if v.Different++; v.First == 0 {
			v.First = max(*a, *b)
		}
	}
	p := r.a.progress("comparing", 0)
	err = r.door.records(ctx, one, "", func(rec []byte) error {
		*a++
		other, ok := <-next
		if ok {
			*b++
		}
		if !ok || !bytes.Equal(rec, other) {
			differs()
		}
		p.at(*a)
		return nil
	})
	if err != nil {
		cancel()
		<-ended
		return fileError(r.name+" "+one, err)
	}
	for range next {
		*b++
		differs()
	}
	if err := <-ended; err != nil {
		return fileError(r.name+" "+two, err)
	}
	if err := r.a.emit(v, func(t *table) {
		t.row("FILE", "RECORDS")
		for _, f := range v.Files {
			t.row(f.Path, f.Records)
		}
	}); err != nil {
		return err
	}
	if !v.Equal {
		return admin.Errorf(admin.Findings, "files_differ", "", "%s: %s", r.name, strings.TrimSpace(fmt.Sprintf("%d records differ, the first is number %d", v.Different, v.First)))
	}
	return nil
}
