package call

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"drmesh/vosio/record"
)

// TestTableHoldsThe84Calls counts what the manual's list has.
func TestTableHoldsThe84Calls(t *testing.T) {
	seen := map[string]bool{}
	class := map[Class]int{}
	for _, e := range Table {
		if seen[e.Name] {
			t.Errorf("%s stands twice", e.Name)
		}
		if !strings.HasPrefix(e.Name, "s$") {
			t.Errorf("%s is no call of VOS", e.Name)
		}
		if e.Works && e.Args == "" && e.Class != Transaction {
			t.Errorf("%s works, and its arguments are not told", e.Name)
		}
		seen[e.Name] = true
		class[e.Class]++
	}
	want := map[Class]int{Mutation: 51, Positioning: 11, Locking: 10, Control: 8, Transaction: 4}
	if len(Table) != 84 || !reflect.DeepEqual(class, want) {
		t.Errorf("%d calls, by class %v; want 84, %v", len(Table), class, want)
	}
	if a, b := Find("s$create_delete_record_index"), Find("s$create_deleted_record_index"); a == nil || a != b {
		t.Error("the other spelling of s$create_deleted_record_index is not known")
	}
	if Find("s$nonsense") != nil || Find("") != nil {
		t.Error("found a call that there is not")
	}
	reads, extracted := 0, 0
	for _, e := range Table {
		if e.DontSendReads() {
			reads++
		}
		if e.Extracted() {
			extracted++
		}
		if e.DontSendReads() && (e.Extracted() || e.Class != Positioning) {
			t.Errorf("%s is in both lists, or no read", e.Name)
		}
	}
	if reads != 9 || extracted != 9 {
		t.Errorf("lists of %d and %d calls, want 9 and 9", reads, extracted)
	}
}

func TestCodes(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Codes() {
		if names[c.Name()] || !strings.HasPrefix(c.Name(), "e$") || c.Text() == "" {
			t.Errorf("code %d: name %q, text %q", c, c.Name(), c.Text())
		}
		names[c.Name()] = true
	}
	for n, c := range map[int]Code{1025: EndOfFile, 1111: InvalidDuplicateKey, 31001: BadPathname, 31008: NoAccess, 31010: InvalidPortNumber, 31023: InvalidRecordSize,
		31028: NotLocked, 31033: TooManyIndexes, 31037: DiskFull, 31040: TPAborted, 31046: NotAvailable, 31051: NotCurrent} {
		if int(c) != n {
			t.Errorf("%s is %d, want %d", c.Name(), c, n)
		}
	}
	err := fmt.Errorf("write a record: %w", fmt.Errorf("%w: more", InvalidDuplicateKey))
	if CodeOf(err) != InvalidDuplicateKey || !errors.Is(err, InvalidDuplicateKey) || CodeOf(nil) != 0 || CodeOf(errors.New("odd")) != FileFormatError {
		t.Error("CodeOf is wrong")
	}
	r := Reply{Code: RecordNotFound, Text: "find it: not there"}
	if err := r.Err(); !errors.Is(err, RecordNotFound) || err.Error() != "find it: not there" {
		t.Errorf("error of a reply: %v", err)
	}
}

func drawBytes(t *rapid.T, label string, max int) []byte {
	b := rapid.SliceOfN(rapid.Byte(), 0, max).Draw(t, label)
	if rapid.Bool().Draw(t, label+" absent") {
		return nil
	}
	return b
}

func drawRequest(t *rapid.T) *Request {
	small := rapid.IntRange(-3, 40000)
	text := rapid.StringMatching(`[a-z0-9_#>%$]{0,40}`)
	q := &Request{Call: text.Draw(t, "call"), Port: small.Draw(t, "port"), Name: text.Draw(t, "name"), Path: text.Draw(t, "path"), Path2: text.Draw(t, "path2"),
		Org: small.Draw(t, "org"), Size: small.Draw(t, "size"), IO: small.Draw(t, "io"), Lock: small.Draw(t, "lock"), Access: small.Draw(t, "access"),
		Index: text.Draw(t, "index"), Key: drawBytes(t, "key", 80), Relation: small.Draw(t, "relation"), Position: small.Draw(t, "position"),
		Count: rapid.Int64().Draw(t, "count"), Number: rapid.Int64().Draw(t, "number"), Data: drawBytes(t, "data", 300), Max: small.Draw(t, "max"),
		Switches: small.Draw(t, "switches"), Collation: small.Draw(t, "collation"), Value: text.Draw(t, "value"), NoWait: rapid.Bool().Draw(t, "nowait")}
	for range rapid.IntRange(0, 3).Draw(t, "parts") {
		q.Components = append(q.Components, record.Component{Position: small.Draw(t, "pos"), Length: small.Draw(t, "len")})
	}
	return q
}

func TestRequestsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawRequest(t)
		b := AppendRequest([]byte("x"), q)
		var got Request
		if err := DecodeRequest(b[1:], &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*q, got) {
			t.Fatalf("sent %+v\ncame %+v", *q, got)
		}
		// Any msgpack library reads it.
		var m map[string]any
		if err := msgpack.Unmarshal(b[1:], &m); err != nil {
			t.Fatal(err)
		}
		if q.Call != "" && m["c"] != q.Call {
			t.Fatalf("a library reads call %v, want %q", m["c"], q.Call)
		}
	})
}

func TestRepliesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Reply{Port: rapid.IntRange(0, 4096).Draw(t, "port"), Data: drawBytes(t, "data", 300), Length: rapid.IntRange(0, 40000).Draw(t, "length"),
			Number: rapid.Int64().Draw(t, "number"), Key: drawBytes(t, "key", 80), Info: drawBytes(t, "info", 80)}
		if rapid.Bool().Draw(t, "message") {
			p.Priority, p.Subject = rapid.IntRange(0, 19).Draw(t, "priority"), rapid.StringMatching(`[a-z ]{0,32}`).Draw(t, "subject")
		}
		if rapid.Bool().Draw(t, "failed") {
			p.Code, p.Text = Codes()[rapid.IntRange(0, len(Codes())-1).Draw(t, "code")], "it went wrong"
		}
		if rapid.Bool().Draw(t, "listed") {
			p.Names = rapid.SliceOfN(rapid.StringMatching(`[a-z>]{0,30}`), 0, 5).Draw(t, "names")
		}
		var got Reply
		if err := DecodeReply(AppendReply(nil, p), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*p, got) {
			t.Fatalf("sent %+v\ncame %+v", *p, got)
		}
	})
}

// TestGolden holds the bytes of the door.
func TestGolden(t *testing.T) {
	q := AppendRequest(nil, &Request{Call: "s$keyed_rewrite", Port: 3, Key: []byte("0001"), Data: []byte("0001 data")})
	r := AppendReply(nil, &Reply{Data: []byte("0001 data"), Length: 9})
	f := AppendReply(nil, &Reply{Code: RecordNotFound, Text: "no"})
	got := fmt.Sprintf("request %s\nreply %s\nfailure %s\n", hex.EncodeToString(q), hex.EncodeToString(r), hex.EncodeToString(f))
	want, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the door's bytes changed:\n%s\nwant:\n%s", got, want)
	}
}

func TestRubbishIsRefused(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x81, 0xa1, 'Z'}, 50), 0xc0)
	for name, b := range map[string][]byte{
		"empty": {}, "no map": {0xc0}, "cut": AppendRequest(nil, &Request{Call: "s$close", Port: 1})[:6],
		"lying map": {0xde, 0xff, 0xff}, "lying bytes": {0x81, 0xa1, 'd', 0xc6, 0x7f, 0xff, 0xff, 0xff}, "deep": deep,
		"trailing": append(AppendRequest(nil, &Request{}), 1), "long call": AppendRequest(nil, &Request{Call: strings.Repeat("c", 300)}),
		"long key": AppendRequest(nil, &Request{Key: make([]byte, 1282)}),
	} {
		var q Request
		if err := DecodeRequest(b, &q); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is not known is skipped.
	var q Request
	b := AppendRequest(nil, &Request{Call: "s$close"})
	b[2]++
	b = append(b, 0xa4, 'n', 'e', 'w', '!', 0x92, 1, 0xc3)
	if err := DecodeRequest(b, &q); err != nil || q.Call != "s$close" {
		t.Errorf("unknown argument: %v, %+v", err, q)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add(AppendRequest(nil, &Request{Call: "s$create_index", Path: "%s#d>f", Components: []record.Component{{Position: 1, Length: 4}}}))
	f.Add(AppendRequest(nil, &Request{Call: "s$keyed_rewrite", Port: 3, Key: []byte("0001"), Data: []byte("0001 data"), NoWait: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var q Request
		if DecodeRequest(b, &q) != nil {
			return
		}
		var again Request
		if err := DecodeRequest(AppendRequest(nil, &q), &again); err != nil || !reflect.DeepEqual(q, again) {
			t.Fatalf("%+v came back as %+v, %v", q, again, err)
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	f.Add(AppendReply(nil, &Reply{Names: []string{"a", "b"}, Info: []byte("{}")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Reply
		if DecodeReply(b, &p) == nil {
			AppendReply(nil, &p)
		}
	})
}
