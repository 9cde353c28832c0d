// Package admin is the operators' door of a module: JSON over HTTP on the unix
// socket D/admin.sock.
//
// It declares the small Engine interface that it needs and the values that go
// over it, and knows neither files nor network. Whoever can open the socket
// (mode 0600) may do everything; roles come with remote access.
//
// Every answer is one JSON value, or, for what is long or goes on, a run of
// JSON values one a line. Errors are application/problem+json with the exit
// class that commands end with, a stable code, and a hint.
package admin
