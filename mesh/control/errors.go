package control

import "fmt"

// Code is a class of refusal. Every code is an error, to be used with
// errors.Is; codes travel with forwarded proposals, so numbers stay.
type Code uint8

const (
	ErrMalformed    Code = 1  // the command does not decode or breaks a bound
	ErrUnknownKind  Code = 2  // a command of a later release
	ErrNoMesh       Code = 3  // the first command was not Init
	ErrMeshExists   Code = 4  // a second Init
	ErrTokenUnknown Code = 5  // no such token, or not its secret
	ErrTokenUsed    Code = 6  // another module joined with it
	ErrTokenExpired Code = 7  // its time is over
	ErrTokenExists  Code = 8  // a token of that id was created before
	ErrNameTaken    Code = 9  // a standing member has the name
	ErrKeyTaken     Code = 10 // another member has the key
	ErrNoMember     Code = 11 // no standing member has that number
	ErrLastMember   Code = 12 // the last member cannot leave its mesh
	ErrNotLeaving   Code = 13 // a report about a module that is not leaving
	ErrEpochMoved   Code = 14 // other tables were applied since these were compiled
	ErrTables       Code = 15 // the tables contradict the state
	ErrTooMany      Code = 16 // a limit of the state is reached
	ErrOldIndex     Code = 17 // the index was applied before
	ErrNotOwned     Code = 18 // the group has no owner, or the module cannot be it
	ErrTermMoved    Code = 19 // another owner's term has begun
	ErrSwitching    Code = 20 // a change of owner is under way, or has not come so far
	ErrSwitchOver   Code = 21 // the change of owner ended
	ErrOwns         Code = 22 // the owner of a group cannot leave
	ErrLostFile     Code = 23 // a lost-transaction file is not as it was recorded
	ErrLineage      Code = 24 // another control log, or a member that does not follow this one
	ErrEnded        Code = 25 // the stream ended elsewhere
	ErrHeard        Code = 26 // a leaf was heard of meanwhile
	ErrInstance     Code = 27 // another directory of the module writes, or is about to
)

var codeTexts = map[Code]string{
	ErrMalformed: "malformed command", ErrUnknownKind: "unknown kind of command", ErrNoMesh: "no mesh yet",
	ErrMeshExists: "mesh exists already", ErrTokenUnknown: "unknown token", ErrTokenUsed: "token was used",
	ErrTokenExpired: "token has expired", ErrTokenExists: "token exists already", ErrNameTaken: "name is taken",
	ErrKeyTaken: "key belongs to another member", ErrNoMember: "no such member", ErrLastMember: "last member cannot leave",
	ErrNotLeaving: "module is not leaving", ErrEpochMoved: "tables have changed meanwhile", ErrTables: "tables do not fit",
	ErrTooMany: "too many", ErrOldIndex: "index was applied before",
	ErrNotOwned: "cannot be owned so", ErrTermMoved: "the owner has changed", ErrSwitching: "the owner is changing",
	ErrSwitchOver: "no such change of owner is under way", ErrOwns: "the owner of a group cannot leave",
	ErrLostFile: "it is not as it was recorded", ErrLineage: "another lineage of control",
	ErrEnded: "the stream has ended", ErrHeard: "it was heard of",
	ErrInstance: "another directory of the module is at work",
}

func (c Code) Error() string {
	if t := codeTexts[c]; t != "" {
		return t
	}
	return fmt.Sprintf("control refusal %d", uint8(c))
}

// Refused is what Step returns when a command is not carried out: the class,
// the object, and what more there is to say. It travels to a proposer at
// another module.
type Refused struct {
	Code   Code   `msgpack:"c" json:"code"`
	Object string `msgpack:"o" json:"object"`
	Detail string `msgpack:"d" json:"detail"`
}

func (r *Refused) Error() string {
	s := r.Code.Error()
	if r.Object != "" {
		s = r.Object + ": " + s
	}
	if r.Detail != "" {
		s += ": " + r.Detail
	}
	return s
}

// Unwrap gives the class.
func (r *Refused) Unwrap() error { return r.Code }

func refuse(c Code, object, format string, args ...any) error {
	return &Refused{c, object, fmt.Sprintf(format, args...)}
}
