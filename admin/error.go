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
