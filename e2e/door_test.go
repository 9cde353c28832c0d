package e2e

import (
	"bytes"
	be "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// TestRubbishAtTheDoors sends a node what no program or module would: rubbish,
// halves, oversized, deep and lying messages, at both sockets and at the UDP
// port. The node closes what it refuses, goes on, keeps its memory, and does
// not fill its log.
func TestRubbishAtTheDoors(t *testing.T) {
	n := testMesh(t, mainShare, "a", "b")
	n.keyedFile(t, "a", "main:f")
	n.caughtUp(t, "a", "b")
	start := n.rss(t, "a")
	rng := rand.New(rand.NewPCG(3, 4))
	rubbish := func(k int) []byte {
		b := make([]byte, k)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}

	t.Run("app.sock", func(t *testing.T) {
		hello := appFrame(0, []byte{0x81, 0xa1, 'v', 0x01})
		request := appFrame(1, call.AppendRequest(nil, &call.Request{Call: "drmesh$status", Path: "main:f"}))
		deep := append([]byte{0x81, 0xa1, 'Z'}, bytes.Repeat([]byte{0x91}, 500_000)...)
		lying := func(tail ...byte) []byte { return appFrame(1, append([]byte{0x81}, tail...)) }
		for _, c := range []struct {
			name string
			send []byte
		}{
			{"rubbish", rubbish(4096)},
			{"a hello that says 4 GiB", []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3}},
			{"a hello of length 0", make([]byte, 12)},
			{"a hello that is none", appFrame(0, []byte{0xc1})},
			{"a request first", request},
			{"an oversized request", append(bytes.Clone(hello), 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1)},
			{"a deep request", append(bytes.Clone(hello), appFrame(1, deep)...)},
			{"a map that says 4 G entries", append(bytes.Clone(hello), appFrame(1, []byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 'c'})...)},
			{"an array that says 4 G entries", append(bytes.Clone(hello), lying(0xa1, 'e', 0xdd, 0xff, 0xff, 0xff, 0xff)...)},
			{"bytes that say 4 GiB", append(bytes.Clone(hello), lying(0xa1, 'd', 0xc6, 0xff, 0xff, 0xff, 0xff, 'x')...)},
			{"text that says 4 GiB", append(bytes.Clone(hello), lying(0xa1, 'a', 0xdb, 0xff, 0xff, 0xff, 0xff, 'x')...)},
			{"more behind a request", append(bytes.Clone(hello), appFrame(1, []byte{0x80, 0x80})...)},
			{"request 0", append(bytes.Clone(hello), appFrame(0, []byte{0x80})...)},
		} {
			for range 20 {
				conn := n.dial(t, "a", "app.sock")
				conn.Write(c.send) // the node may close before it has all
				if !closes(conn) {
					t.Errorf("%s: the node keeps the connection", c.name)
					break
				}
			}
		}
		// Half a frame, then silence or the end.
		var silent []net.Conn
		for _, b := range [][]byte{hello[:3], hello[:11], append(bytes.Clone(hello), request[:20]...)} {
			c := n.dial(t, "a", "app.sock")
			c.Write(b)
			c.Close()
			c = n.dial(t, "a", "app.sock")
			c.Write(b)
			silent = append(silent, c)
		}
		n.works(t)
		for _, c := range silent {
			c.Close()
		}
		// Calls and arguments that do not exist get codes, not a broken
		// connection.
		p, err := n.open(t.Context(), "a", "", call.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer p.conn.Close()
		for _, q := range []call.Request{
			{Call: "s$format_disk"}, {Call: strings.Repeat("x", 200)}, {Call: "s$seq_read", Port: -7}, {Call: "s$attach_port", Path: strings.Repeat(">a", 400)},
			{Call: "s$create_file", Path: "main:<<<", Org: 99, Size: -1}, {Call: "s$create_index", Path: "main:f", Name: "x"}, {Call: "drmesh$set_layout", Path: "main:f", Value: "no dd"},
		} {
			var r call.Reply
			if err := p.Do(t.Context(), &q, &r); err != nil {
				t.Fatalf("%.40s: %v", q.Call, err)
			}
			if r.Code == 0 && q.Call != "drmesh$set_layout" {
				t.Errorf("%.40s worked", q.Call)
			}
		}
	})

	t.Run("a program that does not read its answers", func(t *testing.T) {
		conn := n.dial(t, "a", "app.sock")
		defer conn.Close()
		conn.Write(appFrame(0, []byte{0x81, 0xa1, 'v', 0x01}))
		sent := 0
		for sent < 200_000 {
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := conn.Write(appFrame(uint64(sent+1), call.AppendRequest(nil, &call.Request{Call: "drmesh$status", Path: "main:f"}))); err != nil {
				break
			}
			sent++
		}
		if sent == 200_000 {
			t.Error("the node took 200,000 calls whose answers nobody reads")
		}
		n.works(t)
	})

	t.Run("admin.sock", func(t *testing.T) {
		for _, c := range []struct {
			name string
			send []byte
			want string // of the answer; empty: the connection closes
		}{
			{"rubbish", rubbish(4096), ""},
			{"no such route", []byte("GET /v2/secrets HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "404"},
			{"a head of 1 MiB", append([]byte("GET /v1/status HTTP/1.1\r\nHost: a\r\nX: "), bytes.Repeat([]byte("x"), 1<<20)...), "431"},
			{"a body of 8 MiB", append([]byte("POST /v1/control/plan HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8388610\r\n\r\n\""), bytes.Repeat([]byte("x"), 8<<20)...), "400"},
			{"deep JSON", append([]byte("POST /v1/links HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"), bytes.Repeat([]byte("["), 1_000_000)...), "400"},
			{"an unknown field", []byte("POST /v1/tokens HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{\"king\":true}"), "400"},
		} {
			conn := n.dial(t, "a", "admin.sock")
			go conn.Write(c.send)
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			b := make([]byte, 64)
			k, _ := conn.Read(b)
			if c.want != "" && !strings.Contains(string(b[:k]), c.want) {
				t.Errorf("%s: answered %q, want %s", c.name, b[:k], c.want)
			}
			conn.Close()
		}
		half := n.dial(t, "a", "admin.sock")
		defer half.Close()
		half.Write([]byte("GET /v1/sta"))
		n.works(t)
	})

	t.Run("UDP", func(t *testing.T) {
		var id struct{ Listen []string }
		b, err := os.ReadFile(filepath.Join(n.dir, "a", "module.json"))
		if err == nil {
			err = json.Unmarshal(b, &id)
		}
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("udp", id.Listen[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for i := range 20_000 {
			d := rubbish(1 + rng.IntN(1400))
			if i%2 == 0 { // looks like the first packet of a connection
				d = append([]byte{0xc0 | d[0]&0x0f, 0, 0, 0, 1, 8}, rubbish(1200)...)
			}
			conn.Write(d)
		}
		n.works(t)
	})

	n.caughtUp(t, "a", "b")
	if a, b := n.drmesh(t, "file", "digest", "main:f", "--dir", "a"), n.drmesh(t, "file", "digest", "main:f", "--dir", "b"); a != b {
		t.Errorf("digests differ: %s %s", a, b)
	}
	if end := n.rss(t, "a"); end > start+120 {
		t.Errorf("the node had %.0f MB, now it has %.0f", start, end)
	}
	if lines := strings.Count(n.log("a"), "\n"); lines > 40 {
		t.Errorf("%d lines of log:\n%s", lines, n.log("a"))
	}
	if !strings.Contains(n.log("a"), "refused") {
		t.Errorf("nothing of what was refused is in the log:\n%s", n.log("a"))
	}
}

// appFrame is a frame of the applications' door.
func appFrame(id uint64, body []byte) []byte {
	b := be.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(be.BigEndian.AppendUint64(b, id), body...)
}

func (n *nodes) dial(t *testing.T, name, socket string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(n.dir, name, socket))
	if err != nil {
		t.Fatalf("%s: %v", socket, err)
	}
	return c
}

// closes reports whether the other end closes a connection.
func closes(c net.Conn) bool {
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := io.Copy(io.Discard, c)
	ne, ok := err.(net.Error)
	return !(ok && ne.Timeout())
}

// works writes and reads a record at one module, and asks its operators' door.
func (n *nodes) works(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	p, err := n.open(ctx, "a", "main:f", call.OpenOptions{IO: call.Update, Access: call.Indexed, Index: "key"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Close()
	rec := fmt.Sprintf("%08x still here", uint32(time.Now().UnixNano()))
	if err := p.SeqWrite(ctx, p.n, []byte(rec)); err != nil {
		t.Fatal(err)
	}
	if got, err := p.KeyedRead(ctx, p.n, "key", []byte(rec[:8])); err != nil || string(got) != rec {
		t.Fatalf("read %q, %v", got, err)
	}
	n.rss(t, "a")
}

func (n *nodes) rss(t *testing.T, name string) float64 {
	t.Helper()
	var s admin.Status
	if err := json.Unmarshal([]byte(n.drmesh(t, "status", "-o", "json", "--dir", name)), &s); err != nil {
		t.Fatal(err)
	}
	return s.ResidentMB
}
