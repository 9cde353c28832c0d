// Package socket is the door for programs of the same machine: the unix socket
// D/app.sock, mode 0600, and the client that uses it.
//
// A message is length(4, big endian, of what follows), id(8), body. The first
// message each way is a hello: id 0, body a msgpack map {"v": version, "n":
// process name}; the answer has {"v", "m": module}. Then the client sends
// calls (vosio/call.Request) with ids of its own, as many as it likes without
// waiting; they are carried out in order, and each answer (call.Reply) carries
// its call's id. A program that goes away has its ports, locks and transaction
// released.
//
// The kernel tells who the peer is (SO_PEERCRED). The process name is what the
// program says; if it says none, its executable's.
//
// For each connection the server has one goroutine that reads and one that
// carries out; they end with it. What waits between them is bounded.
package socket
