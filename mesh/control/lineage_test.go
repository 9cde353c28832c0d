package control

import "testing"

// TestRelate: how two logs stand to each other, whoever asks.
func TestRelate(t *testing.T) {
	opposite := map[Relation]Relation{Same: Same, Older: Newer, Newer: Older, Parted: Parted}
	for _, x := range []struct {
		ours, theirs []uint32
		want         Relation
	}{
		{nil, nil, Same},
		{nil, []uint32{7}, Newer},
		{[]uint32{7}, []uint32{7}, Same},
		{[]uint32{7, 9}, []uint32{7}, Older},
		{[]uint32{7}, []uint32{9}, Parted},
		{[]uint32{7, 8}, []uint32{7, 9}, Parted},
		{[]uint32{7}, []uint32{9, 7}, Parted},
	} {
		if got := Relate(x.ours, x.theirs); got != x.want {
			t.Errorf("%v to %v: %d, want %d", x.theirs, x.ours, got, x.want)
		}
		if got := Relate(x.theirs, x.ours); got != opposite[x.want] {
			t.Errorf("%v to %v: %d, want %d", x.ours, x.theirs, got, opposite[x.want])
		}
	}
}
