package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"drmesh/admin"
)

// freePort finds a UDP port on loopback that is free now.
func freePort(t testing.TB) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func shortDir(t testing.TB) string {
	t.Helper()
	d, err := os.MkdirTemp("/tmp", "drm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

func testLog(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func threeNodes(t testing.TB) []*Node { return meshOf(t, "%east#m1", "%west#m1", "%north#m1") }

// meshOf makes a mesh of modules in one process, with share main.
func meshOf(t testing.TB, names ...string) []*Node {
	t.Helper()
	nodes := bareMesh(t, names...)
	applyMain(t, nodes[0])
	return nodes
}

const mainTables = `/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =from_modules   *
 =to_modules     *
`

// applyMain puts the tables with share main in force everywhere.
func applyMain(t testing.TB, n *Node) {
	t.Helper()
	plan, err := engine{n}.ControlApply(context.Background(), admin.ControlChange{Timeout: 20 * time.Second, Text: mainTables})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Lacking) > 0 {
		t.Fatalf("without the epoch: %v", plan.Lacking)
	}
}

// bareMesh makes a mesh of modules in one process, without tables.
func bareMesh(t testing.TB, names ...string) []*Node {
	t.Helper()
	ctx := context.Background()
	base := shortDir(t)
	var nodes []*Node
	for i, name := range names {
		d := fmt.Sprintf("%s/%d", base, i)
		if i == 0 {
			if err := Init(InitOptions{Dir: d, Module: name, Listen: []string{freePort(t)}}); err != nil {
				t.Fatal(err)
			}
		} else {
			tok, err := engine{nodes[0]}.CreateToken(ctx, admin.TokenRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if err := Join(ctx, JoinOptions{Token: tok.Token, Dir: d, Module: name, Listen: []string{freePort(t)}}); err != nil {
				t.Fatal(err)
			}
		}
		n, err := Open(ctx, ServeOptions{Dir: d, Logger: testLog(t).With("at", name)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, n)
	}
	return nodes
}

func TestThreeModulesMirrorEachOther(t *testing.T) {
	t.Parallel()
	nodes := threeNodes(t)
	ctx := context.Background()
	for _, n := range nodes {
		s, err := engine{n}.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %s leader %s streams %d alarms %v", s.Module, s.State, s.Leader, len(s.Streams), s.Alarms)
	}
}
