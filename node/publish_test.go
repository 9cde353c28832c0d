package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// put makes a sequential file with records at a module.
func put(t testing.TB, n *Node, path string, records ...string) {
	t.Helper()
	ctx := context.Background()
	p := n.eng.NewProcess("test")
	defer p.Close()
	c := call.Client{Caller: p}
	port, err := c.OpenPath(ctx, path, call.OpenOptions{Org: call.OrgSequential, IO: call.Append, Lock: call.ImplicitLocking, Access: call.Sequential})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := c.SeqWrite(ctx, port, []byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

// content reads all records of a file.
func content(n *Node, path string) (string, error) {
	ctx := context.Background()
	p := n.eng.NewProcess("test")
	defer p.Close()
	c := call.Client{Caller: p}
	port, err := c.OpenPath(ctx, path, call.OpenOptions{IO: call.Input, Lock: call.ImplicitLocking, Access: call.Sequential})
	if err != nil {
		return "", err
	}
	var l []string
	for {
		r, err := c.SeqRead(ctx, port)
		if call.CodeOf(err) == call.EndOfFile {
			return strings.Join(l, " "), nil
		}
		if err != nil {
			return "", err
		}
		l = append(l, string(r))
	}
}

// eventually waits until ok, half a minute at most.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not come in time: %s", what)
		}
	}
}

func TestFilesThatAShareComesToCover(t *testing.T) {
	t.Parallel()
	nodes := bareMesh(t, "%east#m1", "%west#m1")
	east, west := nodes[0], nodes[1]
	ctx := context.Background()
	for _, n := range nodes {
		if err := n.eng.MakeDirs(ctx, strings.Replace("%east#d01>data", "%east", "%"+strings.TrimPrefix(strings.Split(n.dir.Module, "#")[0], "%"), 1)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, east, "%east#d01>data>same", "one", "two")
	put(t, west, "%west#d01>data>same", "one", "two")
	put(t, east, "%east#d01>data>east_only", "e")
	put(t, west, "%west#d01>data>west_only", "w")
	put(t, east, "%east#d01>data>differs", "from east")
	put(t, west, "%west#d01>data>differs", "from west")
	applyMain(t, east)
	for path, want := range map[string]string{"main:same": "one two", "main:east_only": "e", "main:west_only": "w", "main:differs": "from east"} {
		for _, n := range nodes {
			eventually(t, path+" at "+n.dir.Module, func() bool { got, err := content(n, path); return err == nil && got == want })
		}
	}
	eventually(t, "west's own version, set aside", func() bool {
		got, err := content(west, "%west#d01>data.aside>differs")
		return err == nil && got == "from west"
	})
	s, err := engine{west}.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(s.Alarms, "\n"), "was set aside") {
		t.Errorf("no alarm tells of it: %v", s.Alarms)
	}
	var _ = admin.Failed
}
