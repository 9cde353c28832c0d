package quicnet

import (
	"errors"
	"fmt"
	"time"

	"github.com/quic-go/quic-go"

	"drmesh/origin"
)

// Classes of failure, for errors.Is. Those that name a refusal are also the
// keys of Refused, by their short reason.
var (
	ErrClosed         = errors.New("network is closed")
	ErrNoAddress      = errors.New("no address is known for the module")
	ErrBackoff        = errors.New("waiting before the next attempt to connect")
	ErrNoCertificate  = errors.New("the peer showed no certificate")
	ErrWrongAuthority = errors.New("certificate is not from this mesh's authority")
	ErrWrongMesh      = errors.New("certificate belongs to another mesh")
	ErrBadCertificate = errors.New("certificate names no module of a mesh")
	ErrExpired        = errors.New("certificate is out of its time (or a clock is wrong)")
	ErrWrongPeer      = errors.New("another module answers at this address")
	ErrNotAdmitted    = errors.New("module is not admitted")
	ErrRefused        = errors.New("the peer refused us")
	ErrVersion        = errors.New("no common protocol version")
	ErrProtocol       = errors.New("peer does not speak the mesh protocol")
	ErrBusy           = errors.New("the peer is busy")
	ErrKind           = errors.New("no handler for this kind of stream")
	ErrTooLarge       = errors.New("message is over its limit")
)

// A VersionError tells which versions two ends speak. It is ErrVersion.
type VersionError struct {
	OursMin, OursMax, TheirsMin, TheirsMax uint16
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("no common protocol version: we speak %d..%d, the peer %d..%d",
		e.OursMin, e.OursMax, e.TheirsMin, e.TheirsMax)
}

// Is makes every VersionError an ErrVersion.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

// A DialError says why a module could not be reached. While attempts are held
// back, it is also an ErrBackoff and repeats the last cause.
type DialError struct {
	Peer  origin.Module
	Retry time.Duration // > 0: how long until the next attempt
	Cause error
}

func (e *DialError) Error() string {
	if e.Retry > 0 {
		return fmt.Sprintf("connect to module %d: %v (next attempt in %v)", e.Peer, e.Cause, e.Retry.Round(time.Millisecond))
	}
	return fmt.Sprintf("connect to module %d: %v", e.Peer, e.Cause)
}

func (e *DialError) Unwrap() error { return e.Cause }

// Is makes a DialError in its waiting time an ErrBackoff.
func (e *DialError) Is(target error) bool { return target == ErrBackoff && e.Retry > 0 }

// Codes with which connections and streams are closed. They are on the wire.
const (
	codeClosed   = 0 // ordinary end
	codeVersion  = 1 // no common version
	codeRefused  = 2 // not admitted, or no longer
	codeBusy     = 3 // over a limit
	codeProtocol = 4 // not understood
	codeKind     = 5 // stream of a kind that nobody handles here
	codeReplaced = 6 // too many connections between the same two
)

// translate gives a failure of a connection one of our names, keeping the
// cause's text. Our own errors pass through quic-go and come back as they are.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if app, ok := errors.AsType[*quic.ApplicationError](err); ok && !app.Remote && app.ErrorCode == codeRefused {
		return fmt.Errorf("%w: %s", ErrNotAdmitted, app.ErrorMessage)
	}
	if app, ok := errors.AsType[*quic.ApplicationError](err); ok && app.Remote {
		switch app.ErrorCode {
		case codeVersion:
			return fmt.Errorf("%w: %s", ErrVersion, app.ErrorMessage)
		case codeRefused:
			return fmt.Errorf("%w: %s", ErrRefused, app.ErrorMessage)
		case codeBusy:
			return fmt.Errorf("%w: %s", ErrBusy, app.ErrorMessage)
		case codeProtocol:
			return fmt.Errorf("%w: %s", ErrProtocol, app.ErrorMessage)
		}
		return err
	}
	if tr, ok := errors.AsType[*quic.TransportError](err); ok && tr.Remote {
		switch {
		case tr.ErrorCode.IsCryptoError():
			return fmt.Errorf("%w: %s", ErrRefused, tr.Error())
		case tr.ErrorCode == quic.ConnectionRefused:
			return fmt.Errorf("%w: %s", ErrBusy, tr.Error())
		}
	}
	return err
}
