package conflict

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"drmesh/origin"
)

// ID names a ledger entry, alike on every module.
type ID [16]byte

// EntryID names the entry of the loser d in a register: the first 16 bytes of
// the SHA-256 of "drmesh conflict 1" and a zero byte, the file id, the length
// of the address in four bytes, the address, and the loser's stream, seq and
// index in 12, 8 and 4 bytes, all big endian.
func EntryID(file origin.FileID, addr []byte, d origin.OpDot) ID {
	b := make([]byte, 0, 128)
	b = append(b, "drmesh conflict 1\x00"...)
	b = append(b, file[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(addr)))
	b = append(b, addr...)
	b = origin.AppendStream(b, d.Stream)
	b = binary.BigEndian.AppendUint64(b, uint64(d.Seq))
	b = binary.BigEndian.AppendUint32(b, d.Index)
	s := sha256.Sum256(b)
	return ID(s[:16])
}

// String gives the id in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads the form that String gives.
func ParseID(s string) (ID, error) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != len(ID{}) {
		return ID{}, fmt.Errorf("conflict id %q: 32 hexadecimal digits", s)
	}
	return ID(b), nil
}

// State is where a ledger entry stands. Numbers are on disk.
type State uint8

const (
	// Open: the loser stands in the register, and another version is shown.
	Open State = 1
	// Superseded: a writer that was not shown the loser replaced it.
	Superseded State = 2
	// Closed: a person has dealt with a superseded loser.
	Closed State = 3
	// Withdrawn is never stored: the entry goes, because the loser is shown
	// again, or says what is shown, or was replaced by a writer that was
	// shown it.
	Withdrawn State = 4
)

// String names the state.
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case Superseded:
		return "superseded"
	case Closed:
		return "closed"
	case Withdrawn:
		return "withdrawn"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// ParseState reads the form that String gives, of the states that are stored.
func ParseState(s string) (State, error) {
	for _, x := range []State{Open, Superseded, Closed} {
		if s == x.String() {
			return x, nil
		}
	}
	return 0, fmt.Errorf("conflict state %q: open, superseded or closed", s)
}

// Entry is what the ledger holds of one loser. ID, Loser and, while it is
// open, Winner are alike on all modules of equal vectors.
type Entry struct {
	ID    ID
	State State
	Loser origin.Version
	// Winner is what the loser lost to: the visible version while it is open,
	// then the version that replaced it; zero when a truncate did.
	Winner origin.Version
	// By is the operation whose arrival brought the entry here to its state.
	By origin.OpDot
}

// Apart is the distance of loser and winner by their writers' clocks, in
// milliseconds. Below the error of those clocks their order is uncertain.
func (e *Entry) Apart() uint64 {
	a, b := e.Loser.Stamp.Millis(), e.Winner.Stamp.Millis()
	if a < b {
		return b - a
	}
	return a - b
}
