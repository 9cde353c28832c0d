// Package vosiotest reads transcripts of calls: text files in which programs
// at modules make calls and see answers. One transcript runs in process and
// over the socket alike, and says the same.
//
//	program NAME [MODULE]          a program connects at a module
//	end NAME                       it dies; what it held is released
//	calls                          lines "NAME: call argument=value ...", one call each
//
// A call's name may leave out its s$. Arguments carry the names of the call's
// table in short: p (port), path, to, name, org, size, io, lock, access, index,
// key, rel, type, count, n (record number), data, max, sw, parts, value,
// nowait. A line "NAME& call ..." starts a call that must wait; "NAME: ." waits
// for its answer. Besides calls there are openpath (attach and open), all (read
// to the end).
package vosiotest

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// World is where programs run.
type World struct {
	// Connect makes a program at a module; close ends it.
	Connect func(module int, name string) (c call.Caller, close func() error, err error)
	// Waits counts the calls that wait for locks, at all modules.
	Waits func() int

	programs map[string]*program
	mu       sync.Mutex // protects Worked
	// Worked collects the calls that succeeded at least once.
	Worked map[string]bool
}

type program struct {
	c     call.Caller
	close func() error
	busy  chan string // the answer of a call that waits
}

const patience = 20 * time.Second

// Close ends all programs.
func (w *World) Close() error {
	var names []string
	for n := range w.programs {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if err := w.End(n); err != nil {
			return err
		}
	}
	return nil
}

// Program connects a program.
func (w *World) Program(name string, module int) error {
	if w.programs[name] != nil {
		return fmt.Errorf("program %s is connected already", name)
	}
	c, cl, err := w.Connect(module, name)
	if err != nil {
		return err
	}
	if w.programs == nil {
		w.programs = map[string]*program{}
	}
	w.programs[name] = &program{c: c, close: cl}
	return nil
}

// End ends a program.
func (w *World) End(name string) error {
	p := w.programs[name]
	if p == nil {
		return fmt.Errorf("no program %s", name)
	}
	delete(w.programs, name)
	err := p.close()
	if p.busy != nil {
		<-p.busy
	}
	return err
}

// Calls carries out lines of calls and gives each with its answer.
func (w *World) Calls(lines string) (string, error) {
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		got, err := w.line(line)
		if err != nil {
			return "", fmt.Errorf("%s: %w", line, err)
		}
		fmt.Fprintf(&out, "%s\n", got)
	}
	return out.String(), nil
}

func (w *World) line(line string) (string, error) {
	words, err := split(line)
	if err != nil {
		return "", err
	}
	if len(words) < 2 {
		return "", fmt.Errorf("a line is a name with a colon, a call, and argument=value for each argument")
	}
	name, background := strings.CutSuffix(words[0], "&")
	name = strings.TrimSuffix(name, ":")
	p := w.programs[name]
	if p == nil {
		return "", fmt.Errorf("no program %s", name)
	}
	if words[1] == "." {
		if p.busy == nil {
			return "", fmt.Errorf("%s has no call under way", name)
		}
		select {
		case s := <-p.busy:
			p.busy = nil
			return s, nil
		case <-time.After(patience):
			return "", fmt.Errorf("%s still waits", name)
		}
	}
	if p.busy != nil {
		return "", fmt.Errorf("%s has a call under way", name)
	}
	if !background {
		return w.do(p, words[1], words[2:])
	}
	before := w.Waits()
	p.busy = make(chan string, 1)
	busy := p.busy
	go func() {
		s, err := w.do(p, words[1], words[2:])
		if err != nil {
			s = err.Error()
		}
		busy <- s
	}()
	for end := time.Now().Add(patience); w.Waits() == before; time.Sleep(time.Millisecond) {
		if len(busy) > 0 {
			s := <-busy
			p.busy = nil
			return "did not wait: " + s, nil
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("neither answered nor waiting")
		}
	}
	return name + " waits", nil
}

func (w *World) do(p *program, name string, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch name {
	case "openpath":
		q, err := request("s$attach_port", args)
		if err != nil {
			return "", err
		}
		var r call.Reply
		if err := w.Do(ctx, p, q, &r); err != nil || r.Code != 0 {
			return show(q, &r), err
		}
		q.Call, q.Port = "s$open", r.Port
		if err := w.Do(ctx, p, q, &r); err != nil {
			return "", err
		}
		if r.Code != 0 {
			said := show(q, &r)
			q.Call = "s$detach_port"
			return said, w.Do(ctx, p, q, &r)
		}
		return fmt.Sprintf("ok port %d", q.Port), nil
	case "all":
		q, err := request("s$seq_read", args)
		if err != nil {
			return "", err
		}
		var l []string
		for {
			var r call.Reply
			if err := w.Do(ctx, p, q, &r); err != nil {
				return "", err
			}
			if r.Code == call.EndOfFile {
				return strings.Join(append(l, "end"), " "), nil
			}
			if r.Code != 0 {
				return strings.Join(append(l, show(q, &r)), " "), nil
			}
			l = append(l, string(r.Data))
		}
	}
	if !strings.Contains(name, "$") {
		name = "s$" + name
	}
	q, err := request(name, args)
	if err != nil {
		return "", err
	}
	var r call.Reply
	if err := w.Do(ctx, p, q, &r); err != nil {
		return "", err
	}
	return show(q, &r), nil
}

// Do makes a call, and notes that it works.
func (w *World) Do(ctx context.Context, p *program, q *call.Request, r *call.Reply) error {
	err := p.c.Do(ctx, q, r)
	// Files know no s$control operation; that is its answer.
	works := r.Code == 0 || r.Code == call.InvalidControl && q.Call == "s$control"
	if err == nil && works && w.Worked != nil {
		w.mu.Lock()
		w.Worked[q.Call] = true
		w.mu.Unlock()
	}
	return err
}

// show gives an answer as transcripts have it.
func show(q *call.Request, r *call.Reply) string {
	var b strings.Builder
	switch {
	case r.Code == call.LongRecord:
		fmt.Fprintf(&b, "%s %q of %d", r.Code.Name(), r.Data, r.Length)
		return b.String()
	case r.Code != 0:
		b.WriteString(r.Code.Name())
		if r.Key != nil {
			fmt.Fprintf(&b, " key %q", r.Key)
		}
		return b.String()
	}
	b.WriteString("ok")
	if r.Port != 0 {
		fmt.Fprintf(&b, " port %d", r.Port)
	}
	if r.Data != nil || r.Length > 0 {
		fmt.Fprintf(&b, " %q", r.Data)
	}
	if r.Number != 0 {
		fmt.Fprintf(&b, " number %d", r.Number)
	}
	if r.Key != nil {
		fmt.Fprintf(&b, " key %q", r.Key)
	}
	if r.Priority != 0 {
		fmt.Fprintf(&b, " priority %d", r.Priority)
	}
	if r.Subject != "" {
		fmt.Fprintf(&b, " subject %q", r.Subject)
	}
	for _, n := range r.Names {
		fmt.Fprintf(&b, " %s", n)
	}
	if r.Info != nil {
		fmt.Fprintf(&b, " %s", r.Info)
	}
	return b.String()
}

var numbers = map[string]int{
	"fixed": call.OrgFixed, "relative": call.OrgRelative, "sequential": call.OrgSequential, "extended": call.OrgExtended, "stream64": call.OrgStream64, "stream": call.OrgStream,
	"input": call.Input, "output": call.Output, "append": call.Append, "update": call.Update, "dirty": call.DirtyInput, "stable": call.StableInput,
	"requester": call.Requester, "server": call.Server, "send_only": call.SendOnlyRequester, "receive_only": call.ReceiveOnlyServer,
	"msgq": call.OrgMsgQueue, "serverq": call.OrgServerQueue, "onewayq": call.OrgOneWayQueue, "directq": call.OrgDirectQueue,
	"read": call.ReadLock, "write": call.WriteLock,
	"set": call.SetLockDontWait, "wait": call.WaitForLock, "none": call.DontSetLock, "implicit": call.ImplicitLocking,
	"seq": call.Sequential, "random": call.Random, "indexed": call.Indexed,
	"beginning": call.PosBeginning, "end": call.PosEnd, "forward": call.PosForward, "backward": call.PosBackward,
	"prefix": call.RelPrefix, "less": call.RelLess, "le": call.RelLessOrEqual, "eq": call.RelEqual, "greater": call.RelGreater,
	"ge": call.RelGreaterEqual, "prefix_ge": call.RelPrefixGreater, "first": call.RelFirst, "last": call.RelLast,
	"dup": call.IndexDuplicates, "separate": call.IndexSeparateKey, "item": call.IndexItem, "here": call.IndexHere, "null": call.IndexNullKeys,
}

// request reads a call's arguments.
func request(name string, args []string) (*call.Request, error) {
	q := &call.Request{Call: name}
	for _, a := range args {
		k, v, ok := strings.Cut(a, "=")
		if !ok && k != "nowait" {
			return nil, fmt.Errorf("argument %q has no value", a)
		}
		num := func(to *int) error {
			n, known := numbers[v]
			if !known {
				var err error
				if n, err = strconv.Atoi(v); err != nil {
					return err
				}
			}
			*to = n
			return nil
		}
		var err error
		switch k {
		case "p":
			err = num(&q.Port)
		case "path":
			q.Path = v
		case "to":
			q.Path2 = v
		case "name":
			q.Name = v
		case "org":
			err = num(&q.Org)
		case "size":
			err = num(&q.Size)
		case "io":
			err = num(&q.IO)
		case "lock":
			err = num(&q.Lock)
		case "access":
			err = num(&q.Access)
		case "index":
			q.Index = v
		case "key":
			q.Key = []byte(v)
		case "rel":
			err = num(&q.Relation)
		case "type":
			err = num(&q.Position)
		case "count":
			q.Count, err = strconv.ParseInt(v, 10, 64)
		case "n":
			q.Number, err = strconv.ParseInt(v, 10, 64)
		case "data":
			q.Data = []byte(v)
		case "max":
			err = num(&q.Max)
		case "sw":
			err = num(&q.Switches)
		case "coll":
			err = num(&q.Collation)
		case "parts":
			for _, s := range strings.Split(v, "+") {
				var c record.Component
				if _, err := fmt.Sscanf(s, "%d,%d", &c.Position, &c.Length); err != nil {
					return nil, err
				}
				q.Components = append(q.Components, c)
			}
		case "value":
			q.Value = v
		case "nowait":
			q.NoWait = true
		default:
			return nil, fmt.Errorf("argument %s is not known", k)
		}
		if err != nil {
			return nil, fmt.Errorf("argument %s: %w", a, err)
		}
	}
	return q, nil
}

// split cuts a line at blanks; a value may be quoted as in Go.
func split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		i := strings.IndexAny(line, " \"")
		if i < 0 {
			i = len(line)
		}
		word := line[:i]
		line = line[i:]
		if strings.HasPrefix(line, "\"") {
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("quote in %q: %w", line, err)
			}
			line = line[len(q):]
			u, err := strconv.Unquote(q)
			if err != nil {
				return nil, err
			}
			word += u
		}
		words = append(words, word)
	}
	return words, nil
}
