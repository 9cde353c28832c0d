package entry

import (
	"reflect"
	"testing"

	"drmesh/origin"
)

// TestHidden: the lists of dots come back as they went, and cost nothing when
// they are empty.
func TestHidden(t *testing.T) {
	s := origin.Stream{Group: 1, Module: 2, Incarnation: 1}
	d := origin.OpDot{Dot: origin.Dot{Stream: s, Seq: 9}, Index: 3}
	txn := origin.Txn{Dot: origin.Dot{Stream: s, Seq: 10}, Stamp: 5, Ops: []origin.Operation{{Kind: origin.Write, File: origin.FileID{1}, Address: []byte("a"), Life: 1, Data: []byte("x")}}}
	short, err := Append(nil, &txn)
	if err != nil {
		t.Fatal(err)
	}
	txn.Ops[0].Closes = []origin.OpDot{d, d, d}
	b, err := Append(nil, &txn)
	if err != nil {
		t.Fatal(err)
	}
	var got origin.Txn
	if err := Decode(b, txn.Dot, &got); err != nil || len(got.Ops[0].Closes) != 3 || got.Ops[0].Closes[2] != d || got.Ops[0].Hidden != nil {
		t.Errorf("closes: read back %+v, %v", got.Ops, err)
	}
	txn.Ops[0].Closes = nil
	for _, unseen := range [][]origin.OpDot{nil, {d}} {
		txn.Ops[0].Unseen, txn.Ops[0].Hidden = unseen, []origin.OpDot{d, d}
		b, err := Append(nil, &txn)
		if err != nil {
			t.Fatal(err)
		}
		var got origin.Txn
		if err := Decode(b, txn.Dot, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Ops, txn.Ops) {
			t.Errorf("unseen %v: read back %+v", unseen, got.Ops)
		}
		if len(b) <= len(short) {
			t.Errorf("%d bytes with lists, %d without", len(b), len(short))
		}
	}
}
