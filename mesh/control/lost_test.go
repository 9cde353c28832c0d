package control

import (
	"errors"
	"fmt"
	"testing"
)

// TestLostFilesAreBounded: the oldest that is closed goes for a new one; while
// all are open, none does.
func TestLostFilesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.init("%east#m1")
	if err := w.apply(mainTable); err != nil {
		t.Fatal(err)
	}
	record := func(epoch, replayed int) error {
		_, err := w.try(&Command{Kind: KindRecordLost, At: int64(1000 + epoch), RecordLost: &LostFile{Name: fmt.Sprintf("main.%d.1", epoch), Group: 1, Epoch: uint64(epoch), Module: 1, Owner: 1, Txns: 1, Replayed: replayed, Digest: secret("d")}})
		return err
	}
	for i := range maxLostFiles {
		w.s.Lost = append([]LostFile(nil), w.s.Lost...)
		f := LostFile{Name: fmt.Sprintf("main.%04d.1", i), Group: 1, Module: 1, Txns: 1, Digest: secret("d")}
		w.s.Lost = append(w.s.Lost, f)
	}
	if err := record(70000, 0); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more than there may be: %v", err)
	}
	w.s.Lost[5].Closed, w.s.Lost[3].Closed, w.s.Lost[9].Closed = 20, 30, 40
	if err := record(70000, 0); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.s.LostFile("main.0005.1"); ok || len(w.s.Lost) != maxLostFiles {
		t.Errorf("%d files; the oldest that was closed is there: %v", len(w.s.Lost), ok)
	}
	if err := w.s.check(); err != nil {
		t.Error(err)
	}
	if _, ok := w.s.LostFile("main.70000.1"); !ok {
		t.Error("the new one is not there")
	}
}
