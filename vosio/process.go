package vosio

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"drmesh/vosio/call"
	"drmesh/vosio/path"
)

// maxPorts bounds the ports of one process.
const maxPorts = 4096

// Process is one program's side of the file system: its ports, locks and
// transaction. It implements call.Caller; one call at a time is carried out,
// others wait their turn. Close releases all that it has; an open transaction
// is aborted.
type Process struct {
	e      *Engine
	name   string
	number uint64 // of all processes that there were

	turn   sync.Mutex // one call at a time; held across a call's waits
	ports  map[int]*port
	names  map[string]int
	txn    *transaction // nil: none
	losses int          // transactions in a row that other modules' txns overtook
	closed bool
	ending chan struct{} // closed when Close begins: waits for queues, pipes and events end
	end    sync.Once     // closes it
	tp     tpParameters
	events map[int64]*attached
	// lastAbort is why its last transaction that was aborted from outside was.
	lastAbort string
	started   []*started     // writes not waited for, in order
	under     sync.WaitGroup // of those, the ones without an answer
	line      line           // of those, the ones that have to wait
	calls     *tally         // of calls on no port; nil: none yet
	lastPort  *port          // found last; nil: none
	lastCall  known          // made last
}

// NewProcess makes the side of a program. name is the process name that the
// include and exclude rules see.
func (e *Engine) NewProcess(name string) *Process {
	p := &Process{e: e, name: name, tp: e.tp.get(), ending: make(chan struct{}), ports: map[int]*port{}, names: map[string]int{}}
	e.procs.Lock()
	e.procs.last++
	p.number = e.procs.last
	e.procs.list[p] = struct{}{}
	e.procs.Unlock()
	return p
}

// Processes lists the names of the programs that are connected, in order.
func (e *Engine) Processes() []string {
	e.procs.Lock()
	defer e.procs.Unlock()
	l := make([]string, 0, len(e.procs.list))
	for p := range e.procs.list {
		l = append(l, p.name)
	}
	slices.Sort(l)
	return l
}

// Close releases ports, locks and transaction.
func (p *Process) Close() error {
	p.end.Do(func() { close(p.ending) })
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.settleStarted()
	p.abort()
	// In the order of their numbers, as a program would close them.
	for _, id := range slices.Sorted(maps.Keys(p.ports)) {
		x := p.ports[id]
		if err := p.complete(context.Background(), x); err != nil {
			p.e.cfg.Logger.Warn("an unfinished record of a program that ended was not written", "program", p.name, "file", x.path, "err", err)
		}
		p.closePort(x)
	}
	p.ports, p.lastPort = nil, nil
	p.sumUp(&p.calls)
	p.detachEvents()
	p.e.procs.Lock()
	delete(p.e.procs.list, p)
	p.e.procs.Unlock()
	return nil
}

// known is a call of the table as it is carried out.
type known struct {
	name   string // as the program gave it
	entry  *call.Entry
	number int
	do     handler // nil: there is none
}

// know finds a call; most are the one before.
func (p *Process) know(name string) *known {
	k := &p.lastCall
	if k.entry == nil || k.name != name {
		*k = known{name: name, entry: call.Find(name)}
		if k.entry != nil {
			k.number, k.do = k.entry.Number(), handlers[k.entry.Name]
		}
	}
	return k
}

// handler carries out one call. An error's code goes into the reply.
type handler func(p *Process, ctx context.Context, q *call.Request, r *call.Reply) error

// handlers are the calls that work; the call table says the same.
var handlers map[string]handler

func init() {
	// In init, since handlers reach back to Do through batches of calls.
	handlers = map[string]handler{
		"s$attach_port": (*Process).attachPort, "s$detach_port": (*Process).detachPort, "s$open": (*Process).open, "s$seq_open": (*Process).seqOpen, "s$close": (*Process).close,
		"s$seq_read": (*Process).seqRead, "s$seq_position": (*Process).seqPosition, "s$seq_position_read": (*Process).seqPositionRead,
		"s$seq_write": (*Process).seqWrite, "s$seq_rewrite": (*Process).seqRewrite, "s$seq_delete": (*Process).seqDelete,
		"s$seq_position_rewrite": (*Process).seqPositionRewrite, "s$seq_position_delete": (*Process).seqPositionDelete, "s$truncate_open_file": (*Process).truncateOpenFile,
		"s$keyed_read": (*Process).keyedRead, "s$keyed_position": (*Process).keyedPosition, "s$keyed_position_read": (*Process).keyedPositionRead,
		"s$keyed_write": (*Process).keyedWrite, "s$keyed_rewrite": (*Process).keyedRewrite, "s$keyed_delete": (*Process).keyedDelete,
		"s$keyed_position_rewrite": (*Process).keyedPositionRewrite, "s$keyed_position_delete": (*Process).keyedPositionDelete,
		"s$rel_read": (*Process).relRead, "s$rel_position": (*Process).relPosition, "s$rel_position_read": (*Process).relPositionRead,
		"s$rel_write": (*Process).relWrite, "s$rel_rewrite": (*Process).relRewrite, "s$rel_delete": (*Process).relDelete,
		"s$rel_position_rewrite": (*Process).relPositionRewrite, "s$rel_position_delete": (*Process).relPositionDelete,
		"s$seq_write_unlock": thenUnlock((*Process).seqWrite), "s$keyed_write_unlock": thenUnlock((*Process).keyedWrite), "s$rel_write_unlock": thenUnlock((*Process).relWrite),
		"s$seq_lock_record": (*Process).seqLockRecord, "s$seq_unlock_record": (*Process).seqUnlockRecord,
		"s$keyed_lock_record": (*Process).keyedLockRecord, "s$keyed_unlock_record": (*Process).keyedUnlockRecord,
		"s$rel_lock_record": (*Process).relLockRecord, "s$rel_unlock_record": (*Process).relUnlockRecord,
		"s$lock_file": (*Process).lockFile, "s$unlock_file": (*Process).unlockFile, "s$unlock_records": (*Process).unlockRecords,
		"s$lock_region": (*Process).lockRegion, "s$enforce_region_locks": (*Process).enforceRegionLocks,
		"s$seq_write_partial": (*Process).seqWritePartial, "s$write_raw": (*Process).writeRaw, "s$read_raw": (*Process).readRaw,
		"s$write": (*Process).writeText, "s$write_code": (*Process).writeTextCode, "s$write_partial": (*Process).writeTextPartial, "s$write_partial_code": (*Process).writeTextPartialCode,
		"s$write_wrap": (*Process).writeWrap, "s$write_wrap_indent": (*Process).writeWrap, "s$write_wrap_partial": (*Process).writeWrapPartial,
		"s$create_allocated_file": (*Process).createAllocatedFile, "s$clone_file": (*Process).cloneFile, "s$add_key": (*Process).addKey, "s$delete_key": (*Process).deleteKey, "s$add_item": (*Process).addItem, "s$delete_item": (*Process).deleteItem, "s$get_item": (*Process).getItem,
		"s$create_record_index": (*Process).createRecordIndex, "s$create_deleted_record_index": (*Process).createDeletedRecordIndex, "s$delete_index": (*Process).deleteIndex,
		"s$set_expiration_date": (*Process).setExpirationDate, "s$set_file_allocation": (*Process).setFileAllocation, "s$set_safety_switch": (*Process).setSafetySwitch,
		"s$start_priority_transaction": (*Process).startPriorityTransaction, "s$control": (*Process).control,
		"s$create_file": (*Process).createFile, "s$delete_file": (*Process).deleteFile, "s$rename": (*Process).rename, "s$copy_file": (*Process).copyFile,
		"s$truncate_file": (*Process).truncateFile, "s$create_index": (*Process).createIndex,
		"s$set_transaction_file": (*Process).setTransactionFile, "s$set_implicit_locking": (*Process).setImplicitLocking,
		"s$start_transaction": (*Process).startTransaction, "s$commit_transaction": (*Process).commitTransaction, "s$abort_transaction": (*Process).abortTransaction,
		"s$msg_open": (*Process).msgOpen, "s$msg_send": (*Process).msgSend, "s$msg_receive": (*Process).msgReceive, "s$msg_read": (*Process).msgRead,
		"s$msg_delete": (*Process).msgDelete, "s$msg_send_reply": (*Process).msgSendReply, "s$msg_receive_reply": (*Process).msgReceiveReply,
		"s$msg_cancel_receive": (*Process).msgCancelReceive, "s$get_server_queue_info": (*Process).queueInfo, "s$set_max_queue_depth": (*Process).setMaxQueueDepth,
		"s$notify_path": (*Process).notifyPath, "s$attach_event": (*Process).attachEvent, "s$detach_event": (*Process).detachEvent, "s$wait_event": (*Process).waitEvent,
		"s$set_pipe_file": (*Process).setPipeFile, "s$set_tp_parameters": (*Process).setTPParameters, "s$set_tp_default_parameters": (*Process).setTPDefaults,
		"s$set_no_wait_mode": (*Process).setNoWaitMode, "s$set_wait_mode": (*Process).setWaitMode, "s$set_io_time_limit": (*Process).setTimeLimit,
		"drmesh$set_layout": (*Process).setLayout, "drmesh$get_layout": (*Process).getLayout, "drmesh$list": (*Process).list, "drmesh$status": (*Process).status,
		"drmesh$create_dir": (*Process).createDir, "drmesh$delete_dir": (*Process).deleteDir,
		"drmesh$link": (*Process).link, "drmesh$unlink": (*Process).unlink, "drmesh$list_links": (*Process).listLinks,
		"drmesh$remove_dir_here": (*Process).removeDirHere, "drmesh$restore_dir_here": (*Process).restoreDirHere,
		"drmesh$delete_local_index": (*Process).deleteLocalIndex, "drmesh$expand_path": (*Process).expandPath,
	}
}

// Do implements call.Caller. Its error says that the outcome is not known.
func (p *Process) Do(ctx context.Context, q *call.Request, r *call.Reply) error {
	*r = call.Reply{Room: r.Room}
	p.turn.Lock()
	defer p.turn.Unlock()
	if p.closed {
		return ErrClosed
	}
	return p.carryOut(ctx, q, r)
}

// carryOut carries one call out. The process's turn is held.
func (p *Process) carryOut(ctx context.Context, q *call.Request, r *call.Reply) error {
	p.settleStarted()
	k := p.know(q.Call)
	e, h, number := k.entry, k.do, k.number
	if e == nil {
		p.fail(r, fmt.Errorf("%.64q is no call: %w", q.Call, call.NotAvailable))
		return nil
	}
	if h == nil {
		p.fail(r, fmt.Errorf("%s: %w", q.Call, call.NotAvailable))
		return nil
	}
	if err := p.streamAllows(e, q); err != nil {
		p.fail(r, err)
		return nil
	}
	t := p.counted(q.Port)
	if t != nil {
		t.made[number].Add(1)
	}
	err := p.awaitState(ctx, q)
	if err == nil {
		err = h(p, ctx, q, r)
	}
	err = p.answer(ctx, r, err)
	switch {
	case t == nil:
		p.countElse(e, q, r)
	case r.Code != 0:
		t.failed[number].Add(1)
	}
	return err
}

// awaitState waits while the files that a call is about are on their way here
// with a snapshot: until then nobody can say what they hold.
func (p *Process) awaitState(ctx context.Context, q *call.Request) error {
	if !p.e.cat.some.Load() {
		return nil
	}
	var share string
	if full := q.Path; q.Port != 0 {
		if x := p.ports[q.Port]; x != nil {
			share = p.e.resolve(x.path).name
		}
	} else if full != "" {
		if full, err := p.fullPath(full); err == nil {
			share = p.e.resolve(full).name
		}
	}
	if !p.e.isTaken(share) || p.e.cfg.Inline {
		return nil
	}
	for until := time.Now().Add(lockWait); time.Now().Before(until); {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		case <-p.e.closed:
			return ErrClosed
		}
		if !p.e.isTaken(share) {
			return nil
		}
	}
	return fmt.Errorf("%s: the state of share %s has not come here yet: %w", q.Call, share, call.CallerMustWait)
}

// answer puts a call's error into its reply; what comes back says that the
// outcome is not known.
func (p *Process) answer(ctx context.Context, r *call.Reply, err error) error {
	if err == ErrClosed || err != nil && ctx.Err() != nil && call.CodeOf(err) == call.FileFormatError {
		return err
	}
	if err != nil {
		p.fail(r, err)
	}
	return nil
}

func (p *Process) fail(r *call.Reply, err error) {
	c := call.CodeOf(err)
	if c != call.LongRecord && c != call.DurableHere {
		*r = call.Reply{Room: r.Room}
	}
	r.Code, r.Text = c, err.Error()
}

// fullPath completes a path as a program gives it: both forms, relative to the
// root of nothing; programs give full paths. It goes through links.
func (p *Process) fullPath(s string) (string, error) {
	full, err := p.expanded(s)
	if err != nil {
		return "", err
	}
	return p.e.follow(full, true)
}

// nameOf is fullPath of a link itself.
func (p *Process) nameOf(s string) (string, error) {
	full, err := p.expanded(s)
	if err != nil {
		return "", err
	}
	return p.e.follow(full, false)
}

func (p *Process) expanded(s string) (string, error) {
	s = strings.TrimRight(s, " ")
	if path.IsShare(s) {
		return p.e.plainPath(s)
	}
	f, err := path.Expand(s, path.Context{Module: p.e.cfg.Name})
	if err != nil {
		return "", fmt.Errorf("path %q: %w: %v", s, call.BadPathname, err)
	}
	return p.e.plainPath(string(f))
}
