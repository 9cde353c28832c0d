package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/vosio/call"
)

// hookScript makes a program, and gives its path and that of the file into
// which it may write.
func hookScript(t *testing.T, text string) (script, log string) {
	t.Helper()
	dir := shortDir(t)
	script, log = filepath.Join(dir, "hook"), filepath.Join(dir, "log")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nlog="+log+"\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script, log
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// TestHooks: what runs at a switchover, where, and in which order, with what it
// is told; the receipt has it.
func TestHooks(t *testing.T) {
	t.Parallel()
	script, log := hookScript(t, `printf '%s|' "$DRMESH_HOOK" "$DRMESH_OPERATION" "$DRMESH_GROUP" "$DRMESH_EPOCH" "$DRMESH_FROM" "$DRMESH_TO" "$DRMESH_MODULE" "$DRMESH_OUTCOME" "$#" "$2" >>$log; echo >>$log; echo said $DRMESH_HOOK`)
	nodes := ownedMesh(t, fmt.Sprintf(" =stop_hook %s $HOME ;ls\n =start_hook %s a\n =notify_hook %s\n", script, script, script), "%east#m1", "%west#m1", "%north#m1")
	put(t, nodes[0], "main:a", "one")
	r, err := engine{nodes[2]}.SwitchStart(context.Background(), admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"stop|switchover|ledger|1|%east#m1|%west#m1|%east#m1||2|;ls|",
		"start|switchover|ledger|1|%east#m1|%west#m1|%west#m1|done|1||",
		"notify|switchover|ledger|1|%east#m1|%west#m1|%west#m1|done|0||",
		"notify|switchover|ledger|1|%east#m1|%west#m1|%east#m1|done|0||",
	}
	got := lines(t, log)
	if len(got) != len(want) || got[0] != want[0] {
		t.Fatalf("hooks ran:\n%s", strings.Join(got, "\n"))
	}
	at := map[string]int{}
	for i, l := range got {
		at[l] = i + 1
	}
	for _, l := range want {
		if at[l] == 0 {
			t.Errorf("did not run: %s; ran:\n%s", l, strings.Join(got, "\n"))
		}
	}
	if at[want[1]] > at[want[2]] {
		t.Error("the new owner was notified before it started")
	}
	if len(r.Hooks) != 4 {
		t.Fatalf("receipt: %+v", r)
	}
	for _, h := range r.Hooks {
		if h.Level != admin.Pass || h.State != control.HookOK || h.Output != "said "+h.Hook || h.At == nil {
			t.Errorf("receipt: %+v", h)
		}
	}
	if err := tryPut(nodes[1], "main:a", "two"); err != nil {
		t.Error(err)
	}
}

// TestStopHookThatDoesNotSucceed undoes the switchover, and the owner goes on
// where it was; the program that was stopped is started again.
func TestStopHookThatDoesNotSucceed(t *testing.T) {
	t.Parallel()
	hang, pids := hookScript(t, "echo begun; sleep 1000 & echo $! >>$log; echo $$ >>$log; wait")
	fail, _ := hookScript(t, "echo cannot stop >&2; exit 3")
	start, log := hookScript(t, `echo "$DRMESH_HOOK at $DRMESH_MODULE $DRMESH_OUTCOME: $DRMESH_WHY" >>$log`)
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	put(t, nodes[0], "main:a", "one")
	for _, x := range []struct{ hook, why, output string }{
		{hang, "the stop hook at %east#m1 did not end in time: killed after 1s", "begun"},
		{fail, "the stop hook at %east#m1 failed: exit status 3", "cannot stop"},
	} {
		os.Remove(log)
		applyTables(t, nodes[0], ownedTables+fmt.Sprintf(" =stop_hook %s\n =start_hook %s\n =hook_timeout 1\n", x.hook, start))
		eventually(t, "the owner has its lease", func() bool { return leased(nodes[0]) })
		went := make(chan error)
		go func() {
			_, err := engine{nodes[1]}.SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim"})
			went <- err
		}()
		if x.hook == hang {
			eventually(t, "the hook runs", func() bool { return len(lines(t, pids)) == 2 })
			if err := tryPut(nodes[0], "main:a", "while"); err != nil {
				t.Errorf("a write while the stop hook runs: %v", err)
			}
			g, err := engine{nodes[0]}.Groups(ctx)
			if err != nil || g[0].Switching == nil || g[0].Switching.State != "stop hook" {
				t.Errorf("the group meanwhile: %+v, %v", g, err)
			}
		}
		if err := <-went; class(err) != admin.Failed || !strings.Contains(err.Error(), x.why) {
			t.Errorf("switchover: %v", err)
		}
		if err := tryPut(nodes[0], "main:a", "after"); err != nil {
			t.Errorf("a write at the owner afterwards: %v", err)
		}
		eventually(t, "the program is started again", func() bool { return lines(t, log)[0] == "start at %east#m1 rolled_back: "+x.why })
		l, err := engine{nodes[0]}.SwitchHistory(ctx, "ledger")
		if err != nil {
			t.Fatal(err)
		}
		last := l[len(l)-1]
		if h := last.Hooks[0]; last.Failed != x.why || h.Level != admin.Warn || h.Output != x.output {
			t.Errorf("receipt: %+v", last)
		}
	}
	for _, pid := range lines(t, pids) {
		eventually(t, "process "+pid+" is gone", func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || strings.Contains(string(stat), ") Z ")
		})
	}
	if g, _ := (engine{nodes[1]}).Groups(ctx); g[0].Owner != "%east#m1" || g[0].Epoch != 1 || g[0].Switching != nil {
		t.Errorf("the group afterwards: %+v", g[0])
	}
}

// TestStartHookThatFails is told in the receipt, and no more.
func TestStartHookThatFails(t *testing.T) {
	t.Parallel()
	start, _ := hookScript(t, "i=0; while [ $i -lt 300 ]; do echo a line that is not short; i=$((i+1)); done; echo no licence; exit 1")
	leaves, log := hookScript(t, "sleep 3 & echo left >>$log")
	nodes := ownedMesh(t, fmt.Sprintf(" =start_hook %s\n =notify_hook %s\n", start, leaves), "%east#m1", "%west#m1", "%north#m1")
	r, err := engine{nodes[0]}.SwitchStart(context.Background(), admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim"})
	if err != nil {
		t.Fatal(err)
	}
	h := r.Hooks[0]
	if r.Failed != "" || h.Hook != control.HookStart || h.Level != admin.Warn || h.Text != "exit status 1" || !strings.HasSuffix(h.Output, "no licence") || len(h.Output) > control.MaxHookOutput {
		t.Errorf("receipt: %+v", r)
	}
	if h := r.Hooks[1]; h.State != control.HookOK || lines(t, log)[0] != "left" {
		t.Errorf("a hook that leaves a program running: %+v", h)
	}
	eventually(t, "west writes", func() bool { return tryPut(nodes[1], "notes:a", "x") == nil && leased(nodes[1]) })
}

// TestHookThatCannotBeRun is found by the check.
func TestHookThatCannotBeRun(t *testing.T) {
	t.Parallel()
	open, log := hookScript(t, "echo ran >>$log")
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	r := admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim"}
	for _, x := range []struct {
		tables, level, text string
	}{
		{" =stop_hook /nosuch/program\n", admin.Fail, "the stop hook cannot be run at %east#m1: there is no program /nosuch/program"},
		{" =stop_hook " + filepath.Dir(open) + "\n", admin.Fail, "is no program"},
		{" =start_hook " + open + "\n", admin.Warn, "the start hook cannot be run at %west#m1: " + open + " can be written by others than its owner"},
	} {
		applyTables(t, nodes[0], ownedTables+x.tables)
		check, err := engine{nodes[0]}.SwitchCheck(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if l := check.First(x.level); l == nil || l.Check != "hooks" || !strings.Contains(l.Text, x.text) {
			t.Errorf("%s: %+v", x.tables, check)
		}
		if x.level == admin.Fail {
			if _, err := (engine{nodes[0]}).SwitchStart(ctx, r); class(err) != admin.Precondition {
				t.Errorf("switchover with %s: %v", x.tables, err)
			}
		}
	}
	got, err := engine{nodes[0]}.SwitchStart(ctx, r)
	if err != nil || got.Hooks[0].State != control.HookFailed || lines(t, log)[0] != "" {
		t.Errorf("receipt: %+v, %v", got, err)
	}
}

// TestHooksAtFailover: the new owner starts and is notified; the old one is
// notified when it is back, and starts nothing.
func TestHooksAtFailover(t *testing.T) {
	t.Parallel()
	script, log := hookScript(t, `echo "$DRMESH_HOOK at $DRMESH_MODULE: $DRMESH_OPERATION $DRMESH_OUTCOME" >>$log`)
	nodes := ownedMesh(t, fmt.Sprintf(" =failover 1\n =rank %%west#m1\n =stop_hook %s\n =start_hook %s\n =notify_hook %s\n", script, script, script), "%east#m1", "%west#m1", "%north#m1")
	put(t, nodes[0], "main:a", "one")
	converged(t, nodes, "main:a")
	east := nodes[0].dir.path
	shut(t, nodes[0])
	eventually(t, "west is notified", func() bool { return len(lines(t, log)) == 2 })
	nodes[0] = reopen(t, east)
	eventually(t, "east is notified", func() bool { return len(lines(t, log)) == 3 })
	want := "start at %west#m1: failover done\nnotify at %west#m1: failover done\nnotify at %east#m1: failover done"
	if got := strings.Join(lines(t, log), "\n"); got != want {
		t.Errorf("hooks ran:\n%s", got)
	}
	eventually(t, "east refuses writes", func() bool { return call.CodeOf(tryPut(nodes[0], "main:a", "two")) == call.NotOwner })
	eventually(t, "the receipt has all", func() bool {
		l, err := engine{nodes[0]}.SwitchHistory(context.Background(), "ledger")
		if err != nil || len(l) != 1 || len(l[0].Hooks) != 3 {
			return false
		}
		for _, h := range l[0].Hooks {
			if h.State != control.HookOK {
				return false
			}
		}
		return true
	})
}

// TestAbortEndsTheStopHook: who waits for a stop hook need not.
func TestAbortEndsTheStopHook(t *testing.T) {
	t.Parallel()
	hang, log := hookScript(t, "echo $$ >>$log; sleep 1000")
	nodes := ownedMesh(t, fmt.Sprintf(" =stop_hook %s\n =hook_timeout 3600\n", hang), "%east#m1", "%west#m1", "%north#m1")
	ctx := context.Background()
	went := make(chan error)
	go func() {
		_, err := engine{nodes[1]}.SwitchStart(ctx, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim"})
		went <- err
	}()
	eventually(t, "the hook runs", func() bool { return lines(t, log)[0] != "" })
	eventually(t, "it is ended", func() bool { return (engine{nodes[1]}).SwitchAbort(ctx, "ledger", "lee") == nil })
	if err := <-went; class(err) != admin.Failed || !strings.Contains(err.Error(), "ended by lee") {
		t.Errorf("the switchover: %v", err)
	}
	eventually(t, "the hook is gone", func() bool {
		_, err := os.Stat("/proc/" + lines(t, log)[0])
		return err != nil
	})
	// Who asked for another one goes away.
	leaving, leave := context.WithCancel(ctx)
	go func() {
		// It may be refused at first: the owner gets its lease again a moment
		// after the abort.
		for {
			_, err := engine{nodes[2]}.SwitchStart(leaving, admin.SwitchRequest{Group: "ledger", To: "%west#m1", By: "kim"})
			if err == nil || class(err) != admin.Precondition {
				went <- err
				return
			}
		}
	}()
	eventually(t, "the hook runs again", func() bool { return len(lines(t, log)) == 2 })
	leave()
	if err := <-went; !errors.Is(err, context.Canceled) {
		t.Errorf("the switchover: %v", err)
	}
	eventually(t, "it is undone", func() bool {
		l, err := engine{nodes[0]}.SwitchHistory(ctx, "ledger")
		return err == nil && len(l) == 2 && strings.HasPrefix(l[1].Failed, "cancelled: kim")
	})
	began := time.Now()
	shut(t, nodes[0])
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("the node took %v to close", d)
	}
}

// TestNewHooksAreForAdmins: what modules are to run, only an admin says; an
// operator changes the rest of the tables, and takes hooks out.
func TestNewHooksAreForAdmins(t *testing.T) {
	t.Parallel()
	nodes := ownedMesh(t, "", "%east#m1", "%west#m1", "%north#m1")
	apply := func(role admin.Role, more string) error {
		ctx := admin.WithCaller(context.Background(), admin.Caller{Name: "kim", Role: role, Via: "tls"})
		_, err := engine{nodes[0]}.ControlApply(ctx, admin.ControlChange{Text: ownedTables + more, Timeout: 20 * time.Second})
		return err
	}
	for _, x := range []struct {
		role admin.Role
		more string
		ok   bool
	}{
		{admin.Operator, " =stop_hook /bin/sh -c reboot\n", false},
		{admin.Admin, " =stop_hook /bin/true\n", true},
		{admin.Operator, " =stop_hook /bin/true\n =hook_timeout 5\n", true},
		{admin.Operator, " =stop_hook /bin/true x\n", false},
		{admin.Operator, " =stop_hook /bin/true\n =start_hook /bin/true\n", false},
		{admin.Operator, "", true},
		{admin.Operator, " =stop_hook /bin/true\n", false},
	} {
		if err := apply(x.role, x.more); (err == nil) != x.ok || err != nil && class(err) != admin.NotPermitted {
			t.Errorf("%s applies %q: %v", x.role, x.more, err)
		}
	}
}
