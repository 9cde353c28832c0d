package control

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"drmesh/origin"
)

// LostFile is what control keeps of a lost-transaction file: that it is there,
// at which module, and how much of it is done. The transactions themselves stand
// in the file. It is open until each of them was made good or given up.
type LostFile struct {
	Name      string        `msgpack:"n" json:"name"`
	Group     origin.Group  `msgpack:"g" json:"group"`
	Epoch     uint64        `msgpack:"e" json:"epoch"`                      // that ended
	Owner     origin.Module `msgpack:"o" json:"owner"`                      // in that epoch
	End       uint64        `msgpack:"x" json:"end"`                        // number of the last txn that counts
	Origin    origin.Module `msgpack:"s,omitempty" json:"origin,omitempty"` // of those that a supplementary module wrote; 0: the owner
	Module    origin.Module `msgpack:"m" json:"module"`
	Txns      int           `msgpack:"t" json:"txns"`
	Replayed  int           `msgpack:"r" json:"replayed"`
	Discarded int           `msgpack:"d" json:"discarded"`
	Digest    []byte        `msgpack:"h" json:"digest"` // SHA-256 of what does not change in it
	Made      int64         `msgpack:"a" json:"made"`   // unix ms, as the next
	Closed    int64         `msgpack:"c" json:"closed"` // 0: it is open
}

// maxLostFiles bounds those that are kept; the oldest that are closed go.
const maxLostFiles = 1024

// LostFile finds a lost-transaction file by name.
func (s *State) LostFile(name string) (LostFile, bool) {
	i, ok := s.lostFile(name)
	if !ok {
		return LostFile{}, false
	}
	return s.Lost[i], true
}

func (s *State) lostFile(name string) (int, bool) {
	return slices.BinarySearchFunc(s.Lost, name, func(f LostFile, name string) int { return cmp.Compare(f.Name, name) })
}

// recordLost notes a lost-transaction file, or how far its transactions are
// reviewed. That only rises, and a file that is closed stays so: a copy of the
// file from before is told by that.
func (s *State) recordLost(c *LostFile, at int64) error {
	object := "lost-transaction file " + clipText(c.Name)
	if s.group(c.Group) < 0 || len(c.Name) > maxText ||
		!strings.HasPrefix(c.Name, s.GroupName(c.Group)+".") || !strings.HasSuffix(c.Name, fmt.Sprintf(".%d", c.Module)) {
		return refuse(ErrMalformed, object, "its name is not that of its group and module")
	}
	if _, ok := s.Member(c.Module); !ok {
		return refuse(ErrNoMember, object, "module %d", c.Module)
	}
	if c.Txns < 1 || c.Replayed < 0 || c.Discarded < 0 || c.Replayed > c.Txns-c.Discarded || len(c.Digest) != hashSize {
		return refuse(ErrMalformed, object, "%d of %d transactions are replayed, %d discarded", c.Replayed, c.Txns, c.Discarded)
	}
	f := *c
	f.Closed = 0
	if f.Replayed+f.Discarded == f.Txns {
		f.Closed = at
	}
	i, known := s.lostFile(c.Name)
	if known {
		have := s.Lost[i]
		if have.Txns != f.Txns || !bytes.Equal(have.Digest, f.Digest) {
			return refuse(ErrLostFile, object, "another file of that name was recorded, with %d transactions", have.Txns)
		}
		if f.Replayed < have.Replayed || f.Discarded < have.Discarded {
			return refuse(ErrLostFile, object, "of its %d transactions %d were replayed and %d discarded before", have.Txns, have.Replayed, have.Discarded)
		}
		if have.Closed > 0 {
			return nil
		}
		f.Made = have.Made
		s.Lost = slices.Clone(s.Lost)
		s.Lost[i] = f
		return nil
	}
	lost := slices.Clone(s.Lost)
	if len(lost) >= maxLostFiles {
		oldest := -1
		for j := range lost {
			if lost[j].Closed > 0 && (oldest < 0 || lost[j].Closed < lost[oldest].Closed) {
				oldest = j
			}
		}
		if oldest < 0 {
			return refuse(ErrTooMany, object, "%d are open", len(lost))
		}
		lost = slices.Delete(lost, oldest, oldest+1)
		if oldest < i {
			i--
		}
	}
	s.Lost = slices.Insert(lost, i, f)
	return nil
}

// OpenLost lists the lost-transaction files of a group that are open.
func (s *State) OpenLost(g origin.Group) []LostFile {
	var l []LostFile
	for _, f := range s.Lost {
		if f.Group == g && f.Closed == 0 {
			l = append(l, f)
		}
	}
	return l
}
