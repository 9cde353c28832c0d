package vosio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"drmesh/vosio/call"
	"drmesh/vosio/lock"
	"drmesh/vosio/path"
	"drmesh/vosio/record"
)

// unused refuses a call by path on a file that a program has open under a
// lock, or that the process's own transaction has touched.
func (p *Process) unused(full string) (*file, error) {
	f, err := p.e.file(full)
	if err != nil {
		return nil, err
	}
	if p.e.locks.inUse(lock.Owner{}, f.id) || p.txn != nil && p.txn.touched[f.id] {
		return nil, fmt.Errorf("%s: %w", full, call.FileInUse)
	}
	return f, nil
}

func (p *Process) createFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	org := orgOf(q.Org)
	switch org {
	case call.OrgFixed, call.OrgRelative:
		if q.Size < 1 || q.Size > 32767 {
			return fmt.Errorf("create %s: record size %d: %w", full, q.Size, call.InvalidRecordSize)
		}
	case call.OrgExtended:
		if s := q.Size; s != 0 && (s < 8 || s > 256 || s&(s-1) != 0) {
			return fmt.Errorf("create %s: extents of %d blocks, they have 8 to 256, a power of 2: %w", full, s, call.InvalidRecordSize)
		}
	case call.OrgSequential, call.OrgStream, call.OrgStream64, call.OrgMsgQueue, call.OrgOneWayQueue:
	case call.OrgServerQueue, call.OrgDirectQueue:
		if p.e.resolve(full).share != nil {
			return fmt.Errorf("create %s: a %s is of one module, and has no place in a share: %w", full, strings.ReplaceAll(call.OrgName(org), "_", " "), call.InvalidFileType)
		}
	default:
		return fmt.Errorf("create %s: organization %d: %w", full, org, call.NotAvailable)
	}
	_, err = p.e.createFile(ctx, p.name, full, org, sizeOf(org, q.Size))
	return err
}

func (p *Process) deleteFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	if _, err := p.unused(full); err != nil {
		return err
	}
	return p.e.deleteFile(ctx, p.name, full)
}

func (p *Process) truncateFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	if _, err := p.unused(full); err != nil {
		return err
	}
	return p.e.truncateFile(ctx, p.name, full)
}

func (p *Process) rename(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	to := strings.TrimRight(q.Path2, " ")
	if !strings.Contains(to, ">") && !path.IsShare(to) {
		if err := path.CheckName(to); err != nil {
			return fmt.Errorf("rename to %q: %w: %v", to, call.BadPathname, err)
		}
		to = parent(full) + ">" + to
	} else if to, err = p.fullPath(to); err != nil {
		return err
	}
	if _, err := p.unused(full); err != nil {
		return err
	}
	return p.e.renameFile(ctx, p.name, full, to)
}

func (p *Process) createIndex(ctx context.Context, q *call.Request, r *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	def := record.Index{Name: q.Name, Components: q.Components, Duplicates: q.Switches&call.IndexDuplicates != 0, Local: q.Switches&call.IndexHere != 0,
		NullKeys: q.Switches&call.IndexNullKeys != 0, Collation: q.Collation}
	switch {
	case q.Collation == 0:
		def.Collation = record.CollateBytes
	case q.Collation != record.CollateBytes && q.Collation != record.CollateAlike:
		return fmt.Errorf("create_index %s: collation %d: %w", full, q.Collation, call.NotAvailable)
	}
	switch given := q.Switches & (call.IndexSeparateKey | call.IndexItem); {
	case given == 0:
	case given == call.IndexSeparateKey && !def.Local:
		def.Kind, def.Components = record.IndexSeparate, nil
	case given == call.IndexItem && !def.Local:
		def.Kind, def.Components = record.IndexItem, nil
	default:
		return fmt.Errorf("create_index %s %s: switches %d do not go together: %w", full, q.Name, q.Switches, call.InvalidIndexType)
	}
	dup, err := p.e.createIndex(ctx, p.name, full, def)
	r.Key = dup
	return err
}

func (p *Process) deleteLocalIndex(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	return p.e.DropLocalIndex(ctx, full, q.Name)
}

// setSwitch sets a 0/1 attribute.
func (p *Process) setSwitch(ctx context.Context, q *call.Request, name string, exclusive bool) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	if exclusive {
		if _, err := p.unused(full); err != nil {
			return err
		}
	}
	v := "0"
	if q.Switches != 0 {
		v = "1"
	}
	return p.e.setAttribute(ctx, p.name, full, name, v)
}

func (p *Process) setTransactionFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	if full, err := p.fullPath(q.Path); err == nil {
		if f, err := p.e.file(full); err == nil && f.stream() {
			return fmt.Errorf("protect %s, a stream file: %w", full, call.InvalidFileType)
		}
		if f, err := p.e.file(full); err == nil && f.isPipe() {
			return fmt.Errorf("protect %s, a pipe: %w", full, call.InvalidFileType)
		}
		if f, err := p.e.file(full); err == nil && isMemoryQueue(f.org) {
			return fmt.Errorf("protect %s, a queue in memory: %w", full, call.InvalidFileType)
		}
	}
	return p.setSwitch(ctx, q, attrTransaction, true)
}

func (p *Process) setImplicitLocking(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return p.setSwitch(ctx, q, attrImplicit, false)
}

// maxLayout bounds a dd text kept with a file.
const maxLayout = 64 << 10

func (p *Process) setLayout(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	if len(q.Value) > maxLayout {
		return fmt.Errorf("layout of %s: %d bytes: %w", full, len(q.Value), call.RecordTooLong)
	}
	return p.e.setAttribute(ctx, p.name, full, attrLayout, q.Value)
}

func (p *Process) getLayout(_ context.Context, q *call.Request, r *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	f, err := p.e.readable(full)
	if err != nil {
		return err
	}
	r.Data = []byte(f.attribute(attrLayout))
	return nil
}

func (p *Process) status(_ context.Context, q *call.Request, r *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	i, err := p.e.Info(full)
	if err != nil {
		return err
	}
	r.Info, err = json.Marshal(call.Status{Path: i.Path, Org: i.Org, Size: i.Size, Records: i.Records, Bytes: i.Bytes, Indexes: i.Indexes, Identity: i.Identity, Layout: i.Layout})
	return err
}

// expandPath gives the full form of a path.
func (p *Process) expandPath(_ context.Context, q *call.Request, r *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	r.Names = []string{full}
	return nil
}

// list gives the full paths of the files in a directory that a star name
// matches; directories end with '>'.
func (p *Process) list(_ context.Context, q *call.Request, r *call.Reply) error {
	s := strings.TrimRight(q.Path, " ")
	i := strings.LastIndexAny(s, ">:")
	if i < 0 {
		return fmt.Errorf("list %q: %w", s, call.BadPathname)
	}
	dir, star := s[:i], s[i+1:]
	if s[i] == ':' {
		dir = s[:i+1]
	}
	full := dir
	if s[i] == ':' {
		share := strings.TrimSuffix(dir, ":")
		sh := p.e.table().Share(share)
		if sh == nil {
			return fmt.Errorf("list %s: no share %s here: %w", s, share, call.ObjectNotFound)
		}
		full = sh.Root
	} else {
		var err error
		if full, err = p.fullPath(dir); err != nil {
			return err
		}
	}
	r.Names = []string{}
	for _, f := range p.e.Files(full) {
		name := f.Path[len(full)+1:]
		if !strings.Contains(name, ">") && path.Match(star, name) {
			r.Names = append(r.Names, f.Path)
		}
	}
	for _, d := range p.e.dirs(full) {
		if path.Match(star, d[strings.LastIndexByte(d, '>')+1:]) {
			r.Names = append(r.Names, d+">")
		}
	}
	sort.Strings(r.Names)
	return nil
}

// dirs lists the directories right below a full path, as full paths.
func (e *Engine) dirs(full string) []string {
	e.cat.mu.RLock()
	defer e.cat.mu.RUnlock()
	var l []string
	for name, s := range e.cat.shares {
		root := ""
		if name != "" {
			sh := e.table().Share(name)
			if sh == nil {
				continue
			}
			root = sh.Root + ">"
		}
		for d := range s.dirs {
			if s.removed[d] {
				continue
			}
			if abs := root + d; parent(abs) == full {
				l = append(l, abs)
			}
		}
	}
	sort.Strings(l)
	return slices.Compact(l) // a share's may be the module's own, too
}

func (p *Process) createDir(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	return p.e.createDir(ctx, p.name, full)
}

func (p *Process) removeDirHere(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	return p.e.RemoveDirHere(ctx, full)
}

func (p *Process) restoreDirHere(ctx context.Context, q *call.Request, _ *call.Reply) error {
	full, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	return p.e.RestoreDirHere(ctx, full)
}

// copyFile copies records, organization, indexes and flags. The copy has no
// name until it is whole; one that fails leaves nothing to be found.
func (p *Process) copyFile(ctx context.Context, q *call.Request, _ *call.Reply) error {
	e := p.e
	from, err := p.fullPath(q.Path)
	if err != nil {
		return err
	}
	to, err := p.fullPath(q.Path2)
	if err != nil {
		return err
	}
	if from == to {
		return fmt.Errorf("copy %s to itself: %w", from, call.FileExists)
	}
	src, err := e.readable(from)
	if err != nil {
		return err
	}
	if isQueue(src.org) {
		return fmt.Errorf("copy %s, a queue: %w", from, call.InvalidFileType)
	}
	old, err := e.file(to)
	switch {
	case err == nil && q.Switches == call.CopyTruncate:
		if old.org != src.org || old.size != src.size {
			return fmt.Errorf("copy %s to %s: their organizations or record sizes differ: %w", from, to, call.InvalidFileType)
		}
		if _, err := p.unused(to); err != nil {
			return err
		}
		if err := e.truncateFile(ctx, p.name, to); err != nil {
			return err
		}
		return e.fill(ctx, p.name, src, e.fileByID(old.id))
	case err == nil && q.Switches == call.CopyDelete:
		if _, err := p.unused(to); err != nil {
			return err
		}
		if err := old.mayBeEmptied(); err != nil {
			return fmt.Errorf("copy %s to %s: %w", from, to, err)
		}
	case err == nil:
		return fmt.Errorf("copy %s to %s: %w", from, to, call.FileExists)
	case !errors.Is(err, call.ObjectNotFound):
		return err
	}
	dst, err := e.twin(ctx, p.name, src, to)
	if err != nil {
		return err
	}
	if err := e.fill(ctx, p.name, src, dst); err != nil {
		return err
	}
	takes := func(name string) bool { return name != attrTransaction && name != attrSafety }
	if err := e.copyAttributes(ctx, p.name, src, dst.id, to, takes); err != nil {
		return err
	}
	if old != nil && q.Switches == call.CopyDelete {
		if err := e.deleteFile(ctx, p.name, to); err != nil {
			return err
		}
	}
	return e.nameFile(ctx, p.name, dst.id, to)
}
