package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// A group's hooks are programs that modules run when its owner changes. One
// runs because control says that it is due at this module, and for nothing
// else; what became of it is told to control, where the receipt keeps it. A
// module that ends in between runs it again when it is back: DRMESH_SWITCH
// tells one change of owner from another.

// hooks are those that run here: one at a time for each group.
type hooks struct {
	mu   sync.Mutex // protects what follows; never held across I/O
	busy map[origin.Group]bool
	over map[string]bool // control did not want to hear of it: never again
}

func (h *hooks) init() { h.busy, h.over = map[origin.Group]bool{}, map[string]bool{} }

func (h *hooks) take(g origin.Group, key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy[g] || h.over[key] {
		return false
	}
	h.busy[g] = true
	return true
}

func (h *hooks) leave(g origin.Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, g)
}

func (h *hooks) giveUp(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over[key] = true
}

// hookDuties begins what is due here, the oldest first.
func (n *Node) hookDuties(st *control.State) {
	if n.unproven.Load() {
		return // it may be a copy, and not the module that is meant
	}
	seen := map[origin.Group]bool{}
	look := func(w control.Switch, r *control.Receipt) {
		h, due := w.Due(n.dir.Number)
		if !due || seen[w.Group] {
			return
		}
		seen[w.Group] = true
		skip := ""
		if h.Hook == control.HookStart {
			epoch := w.Epoch
			if r.Failed == "" {
				epoch++
			}
			switch t, _ := st.Term(w.Group); {
			case t.Epoch != epoch || t.Owner != n.dir.Number:
				skip = n.moduleName(t.Owner) + " owns the group by now"
			case !n.leases.holds(w.Group, epoch) || !n.writes(w.Group):
				return // it is not the time yet
			}
		}
		if !n.hooks.take(w.Group, w.ID+h.Hook) {
			return
		}
		// st may be older than what the one before told.
		if now, due := dueNow(n.ctl.state(), w.ID, n.dir.Number); !due || now != h {
			n.hooks.leave(w.Group)
			return
		}
		n.wg.Add(1)
		go n.hook(w, r, h, skip)
	}
	for i := range st.Receipts {
		look(st.Receipts[i].Switch, &st.Receipts[i])
	}
	for _, w := range st.Switches {
		look(w, nil)
	}
}

// dueNow is the hook of a change of owner that is due at a module.
func dueNow(st *control.State, id string, at origin.Module) (control.HookRun, bool) {
	for i := range st.Receipts {
		if st.Receipts[i].ID == id {
			return st.Receipts[i].Due(at)
		}
	}
	for i := range st.Switches {
		if st.Switches[i].ID == id {
			return st.Switches[i].Due(at)
		}
	}
	return control.HookRun{}, false
}

// hook runs one, and tells control. It ends with the node.
func (n *Node) hook(w control.Switch, r *control.Receipt, h control.HookRun, skip string) {
	defer n.wg.Done()
	defer n.nudgeOwner()
	defer n.hooks.leave(w.Group)
	done := &control.HookDone{ID: w.ID, Hook: h.Hook, Module: h.Module, State: control.HookSkipped, Text: skip}
	if skip == "" {
		ctx, cancel := context.WithCancel(n.ctx)
		if h.Hook == control.HookStop {
			n.wg.Go(func() { n.whileHeld(ctx, cancel, w.ID) })
		}
		began := time.Now()
		done.State, done.Text, done.Output = runHook(ctx, h.Command, time.Duration(h.Limit)*time.Millisecond, n.hookEnv(w, r, h), n.dir.path)
		done.Took = time.Since(began).Milliseconds()
		cancel()
		if n.ctx.Err() != nil {
			return // it runs again
		}
		key := fmt.Sprintf("the %s hook of group %s", h.Hook, n.ctl.state().GroupName(w.Group))
		if done.State == control.HookOK {
			n.clearAlarm(key)
		} else {
			n.alarm(key, done.State+", "+done.Text+": see \"drmesh switchover status -o json\"")
		}
		n.log.Info("a hook ended", "hook", h.Hook, "group", n.ctl.state().GroupName(w.Group), "switch", w.ID, "state", done.State, "why", done.Text, "output", done.Output)
	}
	for {
		ctx, cancel := context.WithTimeout(n.ctx, 2*time.Second)
		res, err := n.propose(ctx, &control.Command{Kind: control.KindHookDone, HookDone: done})
		var refused *control.Refused
		if errors.As(err, &refused) {
			n.log.Warn("control does not know of a hook any more", "hook", h.Hook, "switch", w.ID, "err", err)
			n.hooks.giveUp(w.ID + h.Hook)
		}
		if err == nil || refused != nil {
			// It is not run again, since it is not due any more here either.
			_ = n.ctl.wait(n.ctx, res.Index)
			cancel()
			return
		}
		cancel()
		select {
		case <-n.ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// whileHeld ends a stop hook whose change of owner was dropped meanwhile. It
// ends with ctx.
func (n *Node) whileHeld(ctx context.Context, cancel context.CancelFunc, id string) {
	for {
		changed := n.ctl.changed()
		if !slices.ContainsFunc(n.ctl.state().Switches, func(w control.Switch) bool { return w.ID == id && w.Holding() }) {
			cancel()
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// hookEnv is what a hook learns. Nothing else of the node's environment gets
// there but where programs are, and how text is to look.
func (n *Node) hookEnv(w control.Switch, r *control.Receipt, h control.HookRun) []string {
	operation, outcome, why := "switchover", "", ""
	if w.Failover {
		operation = "failover"
	}
	if r != nil {
		outcome, why = "done", r.Failed
		if r.Failed != "" {
			outcome = "rolled_back"
		}
	}
	env := []string{"DRMESH_HOOK=" + h.Hook, "DRMESH_OPERATION=" + operation, "DRMESH_GROUP=" + n.ctl.state().GroupName(w.Group), fmt.Sprintf("DRMESH_EPOCH=%d", w.Epoch),
		"DRMESH_FROM=" + n.moduleName(w.From), "DRMESH_TO=" + n.moduleName(w.To), "DRMESH_SWITCH=" + w.ID, "DRMESH_OUTCOME=" + outcome, "DRMESH_WHY=" + why,
		"DRMESH_MODULE=" + n.dir.Module, "DRMESH_DIR=" + n.dir.path}
	for _, name := range []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// hookProgram says why a program is not run as a hook: who may apply tables
// names it, so it must be one that only this machine's keepers could put there.
func hookProgram(path string) error {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no program %s", path)
	case err != nil:
		return err
	case !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0:
		return fmt.Errorf("%s is no program", path)
	case fi.Mode()&0o022 != 0:
		return fmt.Errorf("%s can be written by others than its owner", path)
	}
	if s, ok := fi.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is neither root's nor this node's", path)
	}
	return nil
}

// runHook runs a program, and ends it with all that it began when its time is
// over or ctx ends.
func runHook(ctx context.Context, command string, limit time.Duration, env []string, dir string) (state, text, output string) {
	words, err := control.HookCommand(command)
	if err == nil {
		err = hookProgram(words[0])
	}
	if err != nil {
		return control.HookFailed, clip(err.Error(), 200), ""
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out tail
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Env, c.Dir, c.Stdout, c.Stderr = env, dir, &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	// What it leaves running may have its output; nobody waits for that.
	c.WaitDelay = 500 * time.Millisecond
	err = c.Run()
	over := ctx.Err()
	if errors.Is(err, exec.ErrWaitDelay) && over == nil {
		err = nil
	}
	switch {
	case err == nil:
		return control.HookOK, "", out.String()
	case errors.Is(over, context.DeadlineExceeded):
		return control.HookTimeout, fmt.Sprintf("killed after %v", limit), out.String()
	case over != nil:
		return control.HookFailed, "killed: the change of owner was undone meanwhile", out.String()
	}
	return control.HookFailed, clip(err.Error(), 200), out.String()
}

func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

// tail keeps the end of what is written to it. One goroutine of exec writes at
// a time, since both outputs are the same one.
type tail struct {
	b    []byte
	more bool
}

func (t *tail) Write(p []byte) (int, error) {
	const keep = control.MaxHookOutput - 3
	t.b = append(t.b, p[max(0, len(p)-keep):]...)
	if cut := len(t.b) - keep; cut > 0 {
		t.b, t.more = append(t.b[:0], t.b[cut:]...), true
	}
	t.more = t.more || len(p) > keep
	return len(p), nil
}

// String is the text, with nothing in it that would do something to a terminal.
func (t *tail) String() string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, strings.TrimSpace(string(t.b)))
	if t.more {
		s = "..." + s
	}
	return s
}

// hookProblems says of each hook of a group why it could not be run here.
func (n *Node) hookProblems(st *control.State, g origin.Group) map[string]string {
	rule := st.Tables().GroupRule(g)
	if rule == nil {
		return nil
	}
	m := map[string]string{}
	for _, name := range []string{control.HookStop, control.HookStart, control.HookNotify} {
		if rule.Hook(name) == "" {
			continue
		}
		m[name] = ""
		words, err := control.HookCommand(rule.Hook(name))
		if err == nil {
			err = hookProgram(words[0])
		}
		if err != nil {
			m[name] = err.Error()
		}
	}
	return m
}

// checkHooks adds what is to be said of a module's hooks.
func checkHooks(c *admin.SwitchCheck, module string, s *standing, names ...string) {
	for _, name := range names {
		why, has := s.Hooks[name]
		switch {
		case !has:
		case why == "":
			c.Add(admin.Pass, "hooks", "", "the %s hook can be run at %s", name, module)
		case name == control.HookStop:
			c.Add(admin.Fail, "hooks", "put the program there, writable by its owner alone", "the stop hook cannot be run at %s: %s", module, why)
		default:
			c.Add(admin.Warn, "hooks", "put the program there, writable by its owner alone", "the %s hook cannot be run at %s: %s", name, module, why)
		}
	}
}

// hookTime is how long the hooks of one kind of a group may take.
func (n *Node) hookTime(group string) time.Duration {
	st := n.ctl.state()
	g, _ := st.Group(group)
	rule := st.Tables().GroupRule(g.Number)
	if rule == nil || rule.StopHook == "" && rule.StartHook == "" && rule.NotifyHook == "" {
		return 0
	}
	if rule.HookSeconds > 0 {
		return time.Duration(rule.HookSeconds) * time.Second
	}
	return control.DefaultHookSeconds * time.Second
}

// awaitHooks waits until those who are there have told of their hooks, for as
// long as hooks may take. Writes go on meanwhile.
func (n *Node) awaitHooks(ctx context.Context, id string, tell *switchSteps) {
	var over <-chan time.Time
	for {
		changed := n.ctl.changed()
		st := n.ctl.state()
		tell.look(st, id, n.moduleName)
		i := slices.IndexFunc(st.Receipts, func(r control.Receipt) bool { return r.ID == id })
		if i < 0 {
			return
		}
		wait := time.Duration(0)
		for _, h := range st.Receipts[i].Hooks {
			if h.State == control.HookDue && !(st.Receipts[i].Failover && h.Module == st.Receipts[i].From) {
				wait += time.Duration(h.Limit) * time.Millisecond
			}
		}
		if wait == 0 {
			return
		}
		if over == nil {
			over = time.After(wait + 2*time.Second)
		}
		select {
		case <-changed:
		case <-over:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) hookView(h control.HookRun) admin.HookRun {
	x := admin.HookRun{Level: admin.Pass, Hook: h.Hook, Module: n.moduleName(h.Module), Command: h.Command, State: h.State, Text: h.Text, Output: h.Output, Took: float64(h.Took)}
	if h.At > 0 {
		at := time.UnixMilli(h.At)
		x.At = &at
	}
	switch h.State {
	case control.HookDue:
		x.State, x.Level = "due", admin.Warn
	case control.HookFailed, control.HookTimeout:
		x.Level = admin.Warn
	}
	return x
}

// switchSteps tells the operation that asked for a change of owner how far it
// is.
type switchSteps struct {
	p    *admin.Progress
	told map[string]bool
}

func newSwitchSteps(ctx context.Context) *switchSteps {
	return &switchSteps{admin.ProgressOf(ctx), map[string]bool{}}
}

func (s *switchSteps) look(st *control.State, id string, name func(origin.Module) string) {
	say := func(text string) {
		if !s.told[text] {
			s.told[text] = true
			s.p.Step(text)
		}
	}
	hooks := func(l []control.HookRun, which ...string) {
		for _, h := range l {
			if !slices.Contains(which, h.Hook) {
				continue
			}
			text := fmt.Sprintf("%s hook at %s", h.Hook, name(h.Module))
			say(text)
			if h.State != control.HookDue {
				text += ": " + h.State
				if h.Text != "" {
					text += ", " + h.Text
				}
				say(text)
			}
		}
	}
	w := control.Switch{}
	ended := ""
	for _, x := range st.Switches {
		if x.ID == id {
			w = x
		}
	}
	for _, r := range st.Receipts {
		if r.ID == id {
			w, ended = r.Switch, fmt.Sprintf("%s owns the group", name(r.To))
			if r.Failed != "" {
				ended = "rolled back: " + r.Failed
			}
		}
	}
	if w.ID == "" {
		return
	}
	hooks(w.Hooks, control.HookStop)
	if w.Holding() && ended == "" {
		s.p.Percent(10)
	} else if ended == "" && w.End == nil {
		s.p.Percent(40)
	}
	if !w.Holding() && ended == "" || w.End != nil {
		if w.Failover {
			say(fmt.Sprintf("%s gets no leases any more", name(w.From)))
		} else {
			say(fmt.Sprintf("%s stops", name(w.From)))
		}
	}
	if w.End != nil {
		say(fmt.Sprintf("the stream of %s ends at %d", name(w.From), w.End.Seq))
		s.p.Percent(70)
	}
	if ended != "" {
		say(ended)
		s.p.Percent(90)
	}
	hooks(w.Hooks, control.HookStart, control.HookNotify)
}
