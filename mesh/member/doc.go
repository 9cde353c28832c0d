// Package member spreads hints about who is alive among the modules of a mesh,
// by gossip. It is the only importer of memberlist.
//
// What it says is a hint, and nothing may depend on it for correctness: links
// decide who is reachable, control decides who belongs. It serves to notice
// soon, with little traffic, that a module has died or returned, how far
// others are in control, and that a number is used twice.
//
// Everything travels over the mesh's own connections: packets as datagrams,
// full exchanges as streams, both of which come with a proven module number.
// There are no addresses here; memberlist's nodes are called by number, and
// what it takes for an IP address is made from number and instance (see
// fakeIP), so that two machines under one number show as a conflict.
//
// A packet to a module that is not connected is dropped at once, never waited
// for. Events are kept one per module, the latest, until they are delivered,
// so that a slow receiver costs nothing.
//
// Nothing here is durable.
package member
