package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

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
// digests that each makes of its own.
func (r *vosRun) compareModules(file, pattern string) error {
	s, err := r.admin.Status(r.ctx)
	if err != nil {
		return err
	}
	here, err := r.admin.Digest(r.ctx, "", file)
	if err != nil {
		return err
	}
	v := compared{Equal: true, Files: []comparedFile{}}
	var gone error
	matched := 0
	for _, m := range s.Members {
		if m.Status == "left" || m.Status == "removed" || m.Role == "witness" || !path.Match(pattern, m.Module) {
			continue
		}
		matched++
		d := here
		if m.Module != s.Module {
			d, err = r.admin.Digest(r.ctx, m.Module, here.Path)
		}
		e := (*admin.Error)(nil)
		switch {
		case err == nil:
			v.Files = append(v.Files, comparedFile{d.Path, m.Module, d.Digest, d.Records, d.Parked, ""})
			v.Equal = v.Equal && d.Digest == v.Files[0].Digest && d.Records == v.Files[0].Records
		case errors.As(err, &e) && e.Class == admin.NotFound:
			v.Files = append(v.Files, comparedFile{here.Path, m.Module, "", 0, 0, e.Message})
			v.Equal = false
		case r.ctx.Err() != nil:
			return r.ctx.Err()
		default:
			v.Files = append(v.Files, comparedFile{here.Path, m.Module, "", 0, 0, err.Error()})
			gone = err
		}
		err = nil
	}
	if matched == 0 {
		return admin.Errorf(admin.NotFound, "no_module", "\"drmesh module ls\" lists them", "%s: no module matches %s", r.name, pattern)
	}
	if gone != nil {
		v.Equal = false
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
		return admin.Errorf(admin.Findings, "files_differ", "\"drmesh status --wait-for caught-up\" at each module first: they may be on their way", "%s: %s is not the same at all modules", r.name, here.Path)
	}
	return nil
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
