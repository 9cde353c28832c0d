package e2e

import (
	"errors"
	"strings"
	"testing"

	"drmesh/vosio/call"
)

// TestQueueCommands: queues as programs use them through the doors of two
// modules, and as the commands show them.
func TestQueueCommands(t *testing.T) {
	t.Parallel()
	n := testMesh(t, strings.TrimRight(mainShare, "\n")+"\n =group          work\n\n/=record_type    group\n =group          work\n =owner          %b#m1\n", "a", "b")
	ctx := t.Context()
	n.drmesh(t, "vos", "create_file", "main:orders", "-queue", "message", "--dir", "a")
	n.drmesh(t, "vos", "create_file", "%a#d01>mine", "-queue", "server", "--dir", "a")
	n.caughtUp(t, "a", "b")
	a, err := n.open(ctx, "a", "", call.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.conn.Close()
	out, err := a.OpenQueue(ctx, "main:orders", call.Requester, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []string{"first", "second", "third"} {
		if _, err := a.Send(ctx, out, i%2, "s", []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	n.caughtUp(t, "a", "b")
	for _, name := range []string{"a", "b"} {
		ls := n.drmesh(t, "queue", "ls", "--dir", name)
		show := n.drmesh(t, "queue", "show", "main:orders", "--dir", name)
		for _, want := range []string{">orders", "message queue", "3"} {
			if !strings.Contains(ls, want) {
				t.Errorf("queue ls at %s has no %q:\n%s", name, want, ls)
			}
		}
		if strings.Contains(ls, ">mine") != (name == "a") {
			t.Errorf("queue ls at %s:\n%s", name, ls)
		}
		delivers := map[string]string{"a": "no: ", "b": "yes"}[name]
		for _, want := range []string{`message 2`, `priority 1, subject "s", 6 bytes: "second"`, `message 3`, delivers} {
			if !strings.Contains(show, want) {
				t.Errorf("queue show at %s has no %q:\n%s", name, want, show)
			}
		}
	}
	if show := n.drmesh(t, "queue", "show", "main:orders", "--messages", "1", "-o", "json", "--dir", "b"); strings.Count(show, `"priority"`) != 1 || !strings.Contains(show, `"depth":3`) && !strings.Contains(show, `"depth": 3`) {
		t.Errorf("queue show --messages 1:\n%s", show)
	}
	b, err := n.open(ctx, "b", "", call.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.conn.Close()
	for _, x := range []struct {
		p    *port
		want []string
	}{{a, nil}, {b, []string{"second", "first", "third"}}} {
		in, err := x.p.OpenQueue(ctx, "main:orders", call.Server, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.p.ReadMessage(ctx, in, true, ""); err != nil {
			t.Fatal(err)
		}
		if x.want == nil {
			if _, err := x.p.Receive(ctx, in, "", true); !errors.Is(err, call.NotOwner) {
				t.Errorf("receive where it is not owned: %v", err)
			}
		}
		for _, want := range x.want {
			if m, err := x.p.Receive(ctx, in, "", true); err != nil || string(m.Data) != want {
				t.Errorf("received %q, %v; want %s", m.Data, err, want)
			}
		}
	}
}
