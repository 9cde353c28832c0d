package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// full names a file by the form that means the same at all modules, in the share
// or in another whose name it has in front; or, with a > or . in front, one of
// this module by its path, which lies in the share's directory or beside it.
func (p *program) full(rel string) string {
	if strings.HasPrefix(rel, ">") || strings.HasPrefix(rel, ".") {
		return p.rules.share.Root + rel
	}
	if strings.Contains(rel, ":") {
		return rel
	}
	return theShare + ":" + rel
}

// program is a process at a module: it uses files by calls, with a port on
// each, and so may rewrite a record that it read a while ago.
type program struct {
	p     *vosio.Process
	ports map[string]int
	rules *rules // of its module
}

func newProgram(m *module, name string) *program {
	return &program{m.eng.NewProcess(name), map[string]int{}, m.rules}
}

// Kinds of files of a run, by the way they are addressed.
const (
	keyed      = "keyed"      // sequential, with an identity key of 4 bytes, a unique second key and one with duplicates
	transacted = "transacted" // the same, and a transaction file
	relative   = "relative"   // numbered
	plain      = "plain"      // sequential
)

// localIndex is the name of an index of one module alone.
const localIndex = "local"

// do carries out a call. An outcome that is not known does not happen here.
func (p *program) do(q call.Request) (call.Reply, error) {
	var r call.Reply
	if err := p.p.Do(context.Background(), &q, &r); err != nil {
		return r, fmt.Errorf("%s: outcome unknown: %w", q.Call, err)
	}
	return r, r.Err()
}

func (p *program) just(q call.Request) error {
	_, err := p.do(q)
	return err
}

func (p *program) create(rel, kind string) error {
	org := call.OrgSequential
	if kind == relative {
		org = call.OrgRelative
	}
	if err := p.just(call.Request{Call: "s$create_file", Path: p.full(rel), Org: org, Size: 64}); err != nil || kind != keyed && kind != transacted {
		return err
	}
	if kind == transacted {
		if err := p.just(call.Request{Call: "s$set_transaction_file", Path: p.full(rel), Switches: 1}); err != nil {
			return err
		}
	}
	return errors.Join(p.index(rel, "id", 1, 4, 0), p.index(rel, "second", 5, 4, 0), p.index(rel, "class", 9, 1, call.IndexDuplicates))
}

func (p *program) index(rel, name string, pos, n, switches int) error {
	return p.just(call.Request{Call: "s$create_index", Path: p.full(rel), Name: name, Components: []record.Component{{Position: pos, Length: n}}, Switches: switches})
}

// open opens a port without locking: others of the module write, and delete the
// file under it.
func (p *program) open(rel string, io, access int, index string) (int, error) {
	r, err := p.do(call.Request{Call: "s$attach_port", Path: p.full(rel)})
	if err != nil {
		return 0, err
	}
	err = p.just(call.Request{Call: "s$open", Port: r.Port, IO: io, Lock: call.DontSetLock, Access: access, Index: index})
	if err != nil {
		return 0, errors.Join(err, p.just(call.Request{Call: "s$detach_port", Port: r.Port}))
	}
	return r.Port, nil
}

// on makes a call on the program's port of a file, and opens it again if the
// file was deleted under it and is there anew.
func (p *program) on(rel string, q call.Request) (call.Reply, error) {
	for again := false; ; again = true {
		id := p.ports[rel]
		if id == 0 {
			var err error
			if id, err = p.open(rel, call.Update, call.Sequential, ""); err != nil {
				return call.Reply{}, err
			}
			p.ports[rel] = id
		}
		q.Port = id
		r, err := p.locked(q)
		if err == nil || again || call.CodeOf(err) != call.ObjectNotFound {
			return r, err
		}
		delete(p.ports, rel)
		if err := p.just(call.Request{Call: "s$detach_port", Port: id}); err != nil {
			return r, err
		}
	}
}

// locked makes a call on a port, and if that needs a lock of the file has it for
// the call.
func (p *program) locked(q call.Request) (call.Reply, error) {
	r, err := p.do(q)
	if call.CodeOf(err) != call.FileNotLocked {
		return r, err
	}
	if err := p.just(call.Request{Call: "s$lock_file", Port: q.Port, Lock: call.WriteLock, NoWait: true}); err != nil {
		return r, err
	}
	r, err = p.do(q)
	return r, errors.Join(err, p.just(call.Request{Call: "s$unlock_file", Port: q.Port}))
}

func (p *program) insert(rel string, data []byte) error {
	_, err := p.on(rel, call.Request{Call: "s$seq_write", Data: data})
	return err
}

// read reads the nth record of a file in physical order, or its last.
func (p *program) read(rel string, n int) error {
	if _, err := p.on(rel, call.Request{Call: "s$seq_position", Position: call.PosBeginning}); err != nil {
		return err
	}
	for i := range n {
		_, err := p.on(rel, call.Request{Call: "s$seq_read"})
		if i > 0 && call.CodeOf(err) == call.EndOfFile {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// find reads the first record that begins with a text.
func (p *program) find(rel, begins string) ([]byte, error) {
	if _, err := p.on(rel, call.Request{Call: "s$seq_position", Position: call.PosBeginning}); err != nil {
		return nil, err
	}
	for {
		r, err := p.on(rel, call.Request{Call: "s$seq_read"})
		if err != nil {
			return nil, err
		}
		if len(r.Data) >= len(begins) && string(r.Data[:len(begins)]) == begins {
			return r.Data, nil
		}
	}
}

// rewrite replaces the record that was read; nil data deletes it.
func (p *program) rewrite(rel string, data []byte) error {
	q := call.Request{Call: "s$seq_rewrite", Data: data}
	if data == nil {
		q.Call = "s$seq_delete"
	}
	_, err := p.on(rel, q)
	return err
}

// put rewrites a record by key through a port that has read nothing.
func (p *program) put(rel, key string, data []byte) error {
	id, err := p.open(rel, call.Update, call.Indexed, "id")
	if err != nil {
		return err
	}
	_, err = p.locked(call.Request{Call: "s$keyed_rewrite", Port: id, Key: []byte(key), Data: data})
	return errors.Join(err, p.just(call.Request{Call: "s$detach_port", Port: id}))
}

// within makes a transaction of what do does.
func (p *program) within(do func() error) error {
	if err := p.just(call.Request{Call: "s$start_transaction"}); err != nil {
		return err
	}
	if err := do(); err != nil {
		return errors.Join(err, p.just(call.Request{Call: "s$abort_transaction"}))
	}
	err := p.just(call.Request{Call: "s$commit_transaction"})
	if err != nil {
		_ = p.just(call.Request{Call: "s$abort_transaction"}) // if it still stands, its locks go
	}
	return err
}

// transfer rewrites the first and the nth record, in a transaction.
func (p *program) transfer(rel string, n int, data func(i int, old []byte) []byte) error {
	if _, err := p.on(rel, call.Request{Call: "s$seq_position", Position: call.PosBeginning}); err != nil {
		return err
	}
	for i := range n {
		r, err := p.on(rel, call.Request{Call: "s$seq_read"})
		if err != nil {
			return err
		}
		if i == 0 || i == n-1 {
			if _, err := p.on(rel, call.Request{Call: "s$seq_rewrite", Data: data(i, r.Data)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *program) truncate(rel string) error {
	return p.just(call.Request{Call: "s$truncate_file", Path: p.full(rel)})
}

func (p *program) rename(rel, to string) error {
	return p.just(call.Request{Call: "s$rename", Path: p.full(rel), Path2: p.full(to)})
}

func (p *program) deleteFile(rel string) error {
	return p.just(call.Request{Call: "s$delete_file", Path: p.full(rel)})
}

// dropLocal removes the index that only this module has.
func (p *program) dropLocal(rel string) error {
	return p.just(call.Request{Call: "drmesh$delete_local_index", Path: p.full(rel), Name: localIndex})
}

// names lists the files in the share's directory, at any depth.
func (p *program) names() ([]string, error) { return p.namesIn("") }

func (p *program) namesIn(dir string) (out []string, err error) {
	r, err := p.do(call.Request{Call: "drmesh$list", Path: p.full(dir + "*")})
	if err != nil {
		return nil, err
	}
	for _, n := range r.Names {
		n = strings.TrimPrefix(n, p.rules.share.Root+">")
		if !strings.HasSuffix(n, ">") {
			out = append(out, n)
			continue
		}
		below, err := p.namesIn(n)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	slices.Sort(out)
	return out, nil
}

// records reads a file in the order of an index, or in physical order.
func (p *program) records(rel, index string) (out []string, err error) {
	access := call.Indexed
	if index == "" {
		access = call.Sequential
	}
	id, err := p.open(rel, call.Input, access, index)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.just(call.Request{Call: "s$detach_port", Port: id})) }()
	for {
		r, err := p.locked(call.Request{Call: "s$seq_read", Port: id})
		if call.CodeOf(err) == call.EndOfFile {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("%q", r.Data))
	}
}

// view is all that programs can see at a module: every file under its name, in
// every order.
func (m *module) view() ([]string, error) {
	var out []string
	names, err := m.prog.names()
	if err != nil {
		return nil, fmt.Errorf("%s: list: %w", m.name, err)
	}
	for _, n := range names {
		if s, _ := m.rules.Locate(m.rules.share.Root + ">" + n); s == nil {
			continue // of this module alone, or excluded
		}
		for _, ix := range []string{"", "id", "second", "class"} {
			l, err := m.prog.records(n, ix)
			if call.CodeOf(err) == call.IndexNotFound {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: read %s by %q: %w", m.name, n, ix, err)
			}
			out = append(out, fmt.Sprintf("file %s by %q: %v", n, ix, l))
		}
	}
	return out, nil
}

func (p *program) copyFile(rel, to string) error {
	return p.just(call.Request{Call: "s$copy_file", Path: p.full(rel), Path2: p.full(to)})
}
