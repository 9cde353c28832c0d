package call

// Organizations of files.
const (
	OrgFixed       = 1
	OrgRelative    = 2
	OrgSequential  = 3
	OrgMsgQueue    = 8
	OrgServerQueue = 16
	OrgOneWayQueue = 17
	OrgDirectQueue = 18
	OrgStream      = 33
	OrgExtended    = 65
	OrgStream64    = 97
)

// I/O types of s$open.
const (
	Input      = 1
	Output     = 2
	Append     = 3
	Update     = 4
	DirtyInput = 5
	// Of queues: those that send, and those that receive.
	Requester         = 6
	Server            = 7
	SendOnlyRequester = 8
	ReceiveOnlyServer = 9
	// StableInput is ours: Input of a sequential file, in physical order, that
	// shows only what stands at the same places at all modules already.
	StableInput = 101
)

// Locking modes of s$open.
const (
	SetLockDontWait = 1
	WaitForLock     = 2
	DontSetLock     = 3
	ImplicitLocking = 4
)

// Types of s$lock_file, and of s$lock_region.
const (
	Unlock    = 0
	ReadLock  = 1
	WriteLock = 2
)

// Access modes of s$open.
const (
	Sequential = 1
	Random     = 2
	Indexed    = 3
)

// Position types of the s$seq_ calls.
const (
	PosBeginning = 1
	PosEnd       = 2
	PosForward   = 3
	PosBackward  = 4
)

// Key relations of the s$keyed_ calls.
const (
	RelPrefix        = 1 // first key that begins with the given one
	RelLess          = 2
	RelLessOrEqual   = 3
	RelEqual         = 4
	RelGreater       = 5
	RelGreaterEqual  = 6
	RelPrefixGreater = 7 // begins with it, or the next greater
	RelFirst         = 8
	RelLast          = 9
)

// OrgName gives an organization's name in commands and dd files.
func OrgName(org int) string {
	switch org {
	case OrgFixed:
		return "fixed"
	case OrgRelative:
		return "relative"
	case OrgSequential:
		return "sequential"
	case OrgExtended:
		return "extended"
	case OrgStream:
		return "stream"
	case OrgStream64:
		return "stream64"
	case OrgMsgQueue:
		return "message_queue"
	case OrgServerQueue:
		return "server_queue"
	case OrgOneWayQueue:
		return "one_way_server_queue"
	case OrgDirectQueue:
		return "direct_queue"
	}
	return "other"
}
