package vosio

import (
	"time"

	"drmesh/origin"
)

// Share is what the engine must know of a share, as one policy epoch has it.
// It is immutable.
type Share struct {
	Name  string
	Group origin.Group
	// Stream is what this module writes the share's group under. A zero
	// incarnation says that it has none now: writes get e$not_current.
	Stream origin.Stream
	// Stopped tells why there is no stream; it goes into the error.
	Stopped string
	// Waiting says that the share's state is still on its way here: writes
	// wait for it, which is told apart from e$not_current.
	Waiting bool
	// Changing says that the group's owner is being changed: writes wait.
	Changing bool
	// Partial says that nothing of it is here, or a part: reads wait too.
	Partial bool
	// Owner, if it is not empty, is another module, which alone writes the
	// share's group now: writes here get e$not_owner.
	Owner string
	// Lease, if it is not nil, tells whether this module may write the group at
	// this moment. It is asked when a change gets its place; while it says no,
	// writes wait.
	Lease func() bool
	// Takes, if it is not nil, tells whether this module may take messages off
	// the share's queues at this moment, as their one consuming owner; it is
	// asked again when the taking gets its place. nil: another module is that,
	// or none.
	Takes func() bool
	// Acknowledge, if it is not nil, passes a change on that is as durable here
	// as the share asks: to answer, now or later, from any goroutine. It must
	// not block.
	Acknowledge func(d origin.Dot, answer func(error))
	// AcknowledgeTaken takes Acknowledge's place for changes that take messages
	// off queues, if it is not nil.
	AcknowledgeTaken func(d origin.Dot, answer func(error))
	// Several says that other modules may write the share, too: new records of
	// its relative and fixed files get numbers of this module's own.
	Several bool
	// Numbers are those of these that control leased to this module.
	Numbers  map[origin.FileID][]NumberRange
	Images   bool          // before-images are kept
	Root     string        // full path of the share's directory here
	Policy   uint64        // policy epoch
	Interval time.Duration // 0: an answer means flushed
}

// Rules answers what the control tables say. It is implemented by the node,
// must not block, and may be called by any goroutine.
type Rules interface {
	// Locate finds the share of a full path and the path below its root.
	// A nil share means a file of this module alone.
	Locate(full string) (share *Share, rel string)
	// Share finds a share by name, nil if there is none here.
	Share(name string) *Share
	// Shares lists all shares that this module has, by name.
	Shares() []*Share
	// MayWrite tells whether a program of that process name may write.
	MayWrite(share *Share, rel, process string) bool
}

// Alone is Rules without shares.
type Alone struct{}

// Locate implements Rules.
func (Alone) Locate(full string) (*Share, string) { return nil, full }

// Share implements Rules.
func (Alone) Share(string) *Share { return nil }

// Shares implements Rules.
func (Alone) Shares() []*Share { return nil }

// MayWrite implements Rules.
func (Alone) MayWrite(*Share, string, string) bool { return true }
