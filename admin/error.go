package admin

import (
	"errors"
	"fmt"
	"net/http"
)

// Class is the class of an error: the exit code of the command that met it.
type Class int

// The classes, as scripts know them.
const (
	Failed       Class = 1
	Usage        Class = 2
	Config       Class = 3
	NotFound     Class = 4
	Precondition Class = 5
	Findings     Class = 6
	WouldLose    Class = 7
	Partly       Class = 8
	TimedOut     Class = 9
	Unreachable  Class = 10
	NotPermitted Class = 11
	NoQuorum     Class = 12
	Interrupted  Class = 130
)

// Error is an error for operators: what happened, and what to do next.
type Error struct {
	Class    Class     `json:"exit"`
	Code     string    `json:"code"` // stable
	Message  string    `json:"detail"`
	Hint     string    `json:"hint,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	Number   int       `json:"number,omitempty"` // of an e$ code
}

// Problem is one thing wrong in a table or in input.
type Problem struct {
	Line  int    `json:"line,omitempty"`
	Field string `json:"field,omitempty"`
	Text  string `json:"text"`
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(c Class, code, hint, format string, args ...any) *Error {
	return &Error{Class: c, Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)}
}

// AsError gives err as an *Error; one that is none becomes Failed.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Class: Failed, Code: "failed", Message: err.Error()}
}

// statuses are the codes that have a status of their own; the others have that
// of their class.
var statuses = map[string]int{
	"epoch_moved":     http.StatusPreconditionFailed,
	"no_credentials":  http.StatusUnauthorized,
	"bad_credentials": http.StatusUnauthorized,
	"token_expired":   http.StatusUnauthorized,
	"token_revoked":   http.StatusUnauthorized,
	"foreign_host":    http.StatusMisdirectedRequest,
	"body_too_slow":   http.StatusRequestTimeout,
	"busy":            http.StatusTooManyRequests,
	"no_method":       http.StatusMethodNotAllowed,
	"e$bad_pathname":  http.StatusBadRequest, // the caller gave it, though it is exit 1 like other e$ codes
}

func (e *Error) status() int {
	if s, ok := statuses[e.Code]; ok {
		return s
	}
	return e.Class.status()
}

func (c Class) status() int {
	switch c {
	case Usage, Config:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Precondition, WouldLose, Findings, Partly:
		return http.StatusConflict
	case TimedOut:
		return http.StatusGatewayTimeout
	case Unreachable, NoQuorum:
		return http.StatusServiceUnavailable
	case NotPermitted:
		return http.StatusForbidden
	}
	return http.StatusInternalServerError
}

// wireProblem is an error as it is answered: RFC 9457 with our own fields.
type wireProblem struct {
	Type     string    `json:"type" doc:"about:blank# and the code"`
	Title    string    `json:"title" doc:"The words of the status"`
	Status   int       `json:"status"`
	Class    Class     `json:"exit" doc:"The class, which is the exit code of commands"`
	Code     string    `json:"code" doc:"What happened, in a word that stays the same"`
	Message  string    `json:"detail" doc:"What happened, for people"`
	Hint     string    `json:"hint,omitempty" doc:"What to do next"`
	Problems []Problem `json:"problems,omitempty" doc:"What is wrong in a text or in a request, one by one"`
	Number   int       `json:"number,omitempty" doc:"Of an e$ code"`
}

func problemOf(err error) *wireProblem {
	e := AsError(err)
	s := e.status()
	return &wireProblem{Type: "about:blank#" + e.Code, Title: http.StatusText(s), Status: s, Class: e.Class, Code: e.Code, Message: e.Message, Hint: e.Hint,
		Problems: e.Problems, Number: e.Number}
}

// Error implements error.
func (p *wireProblem) Error() string { return p.Message }

// GetStatus gives the HTTP status.
func (p *wireProblem) GetStatus() int { return p.Status }

// ContentType gives the media type.
func (p *wireProblem) ContentType(string) string { return "application/problem+json" }
