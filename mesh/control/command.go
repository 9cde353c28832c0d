package control

import "drmesh/origin"

// Kind is what a command asks for. Numbers are in raft logs: never reused.
type Kind uint8

const (
	KindInit        Kind = 1
	KindCreateToken Kind = 2
	KindRevokeToken Kind = 3
	KindAdmit       Kind = 4
	KindUpdate      Kind = 5
	KindLeave       Kind = 6
	KindReport      Kind = 7
	KindApply       Kind = 8
	KindBeginSwitch Kind = 9
	KindSeal        Kind = 10
	KindEndSwitch   Kind = 11
	KindDropSwitch  Kind = 12
	KindHookDone    Kind = 13
	KindRecordLost  Kind = 14
	KindRecover     Kind = 15
	KindEndBeside   Kind = 16
	KindRenew       Kind = 17
	KindLease       Kind = 18
)

// Command is one entry of the control log. Kind says which of the bodies is
// set. At is the proposer's clock, in unix milliseconds: the only time that
// Step knows.
type Command struct {
	Kind        Kind          `msgpack:"k"`
	At          int64         `msgpack:"t"`
	Init        *Init         `msgpack:"i,omitempty"`
	CreateToken *CreateToken  `msgpack:"c,omitempty"`
	RevokeToken *RevokeToken  `msgpack:"r,omitempty"`
	Admit       *Admit        `msgpack:"a,omitempty"`
	Update      *Update       `msgpack:"u,omitempty"`
	Leave       *Leave        `msgpack:"l,omitempty"`
	Report      *ReportHeads  `msgpack:"h,omitempty"`
	Apply       *Apply        `msgpack:"p,omitempty"`
	BeginSwitch *BeginSwitch  `msgpack:"bs,omitempty"`
	Seal        *Seal         `msgpack:"se,omitempty"`
	EndSwitch   *EndSwitch    `msgpack:"es,omitempty"`
	DropSwitch  *DropSwitch   `msgpack:"ds,omitempty"`
	HookDone    *HookDone     `msgpack:"hd,omitempty"`
	RecordLost  *LostFile     `msgpack:"rl,omitempty"`
	Recover     *Recover      `msgpack:"rv,omitempty"`
	EndBeside   *EndBeside    `msgpack:"eb,omitempty"`
	Renew       *Renew        `msgpack:"rn,omitempty"`
	Lease       *LeaseNumbers `msgpack:"ln,omitempty"`
}

// Init makes the mesh with its first member, which is number 1, active, and
// votes.
type Init struct {
	Mesh         string   `msgpack:"i"` // id, random, of the proposer's making
	Name         string   `msgpack:"n"`
	Authority    []byte   `msgpack:"a"`
	AuthorityKey []byte   `msgpack:"k"`
	Module       string   `msgpack:"m"`
	Addresses    []string `msgpack:"d"`
	Key          []byte   `msgpack:"p"`
	Serial       string   `msgpack:"c"`
}

// CreateToken makes a token; the secret itself never comes here.
type CreateToken struct {
	ID      string `msgpack:"i"`
	Secret  []byte `msgpack:"s"` // SHA-256
	Role    Role   `msgpack:"r"`
	Expires int64  `msgpack:"e"`
	Limit   int64  `msgpack:"l,omitempty"` // ms, of a leaf; 0: LeafLimit
}

// RevokeToken makes an unused token worthless.
type RevokeToken struct {
	ID string `msgpack:"i"`
}

// Admit takes a module in by a token. Result.Module is its number.
type Admit struct {
	Token     string   `msgpack:"i"`
	Secret    []byte   `msgpack:"s"` // SHA-256 of the secret that was shown
	Module    string   `msgpack:"m"`
	Addresses []string `msgpack:"d"`
	Key       []byte   `msgpack:"p"`
	Serial    string   `msgpack:"c"`
}

// Update changes what it names of a standing member. Status can go from
// joining to member only.
type Update struct {
	Module    origin.Module `msgpack:"m"`
	Addresses []string      `msgpack:"d,omitempty"` // empty: as they are
	Serial    string        `msgpack:"c,omitempty"` // empty: as it is
	Serving   bool          `msgpack:"s,omitempty"` // it has the data: joining becomes member
	Voter     *bool         `msgpack:"v,omitempty"`
	Following bool          `msgpack:"f,omitempty"` // it has taken over the state of this lineage
	Heard     int64         `msgpack:"h,omitempty"` // a leaf was heard at this time, in unix ms
}

// Leave begins a departure: the module's streams are sealed, and end when
// everyone who remains has reported. Removed says that the module does not
// take part itself and that its certificate is revoked.
type Leave struct {
	Module  origin.Module `msgpack:"m"`
	Removed bool          `msgpack:"r"`
	// Since is not 0 where a leaf is put out because nobody has heard of it
	// since then, in unix ms.
	Since int64 `msgpack:"s,omitempty"`
}

// ReportHeads is one member's report on the streams of a module that leaves:
// the last position that it holds of each. A stream left out is held to
// nothing. The first report of a member stands.
type ReportHeads struct {
	By     origin.Module `msgpack:"b"`
	Of     origin.Module `msgpack:"o"`
	Places []Place       `msgpack:"p"`
}

// Apply puts new tables in force. Base is the epoch that they were compiled
// against. Result.Epoch is theirs.
type Apply struct {
	Base   uint64 `msgpack:"b"`
	Rules  *Rules `msgpack:"r"`
	Format string `msgpack:"f"`
	Source []byte `msgpack:"s"`
	By     string `msgpack:"w"`
}

// BeginSwitch begins a change of owner: the owner of epoch Epoch stops.
type BeginSwitch struct {
	ID    string        `msgpack:"i"` // random, of the proposer's making
	Group string        `msgpack:"g"`
	Epoch uint64        `msgpack:"e"`
	To    origin.Module `msgpack:"t"`
	By    string        `msgpack:"b"`
	Until int64         `msgpack:"u"` // unix ms

	Failover bool  `msgpack:"o,omitempty"` // the owner is gone
	Quiet    int64 `msgpack:"q,omitempty"` // the leader knows that it gave no lease for so long, in ms
}

// Seal is the owner's word that it stopped, and where: all of it is durable.
type Seal struct {
	ID  string `msgpack:"i"`
	End Place  `msgpack:"p"`
}

// EndSwitch is the new owner's word that it has all up to the seal; in a
// failover, all that the members in reach hold, up to End.
type EndSwitch struct {
	ID  string `msgpack:"i"`
	End *Place `msgpack:"p,omitempty"`
}

// DropSwitch undoes a switch that has not ended: the owner goes on.
type DropSwitch struct {
	ID  string `msgpack:"i"`
	Why string `msgpack:"w"`
}

// HookDone is a module's word on a hook that was due there.
type HookDone struct {
	ID     string        `msgpack:"i"` // of the switch
	Hook   string        `msgpack:"h"`
	Module origin.Module `msgpack:"m"`
	State  string        `msgpack:"s"`
	Text   string        `msgpack:"t,omitempty"`
	Output string        `msgpack:"o,omitempty"`
	Took   int64         `msgpack:"k,omitempty"` // ms
}

// Recover begins a lineage: the log before has no majority any more.
type Recover struct {
	Parent  uint32          `msgpack:"p"` // the lineage before; 0: the first log
	Lineage uint32          `msgpack:"l"` // random, of the proposer's making
	Module  origin.Module   `msgpack:"m"` // who alone votes at first
	With    []origin.Module `msgpack:"w"` // who is in reach, and follows by itself
	Known   uint64          `msgpack:"k"` // the index up to which the log before is known
	By      string          `msgpack:"b"`
}

// Result is what a command that was carried out gave.
type Result struct {
	Index  uint64        `msgpack:"x" json:"index"`
	Module origin.Module `msgpack:"m" json:"module"` // Init, Admit
	Epoch  uint64        `msgpack:"e" json:"epoch"`  // the policy epoch now in force
}
