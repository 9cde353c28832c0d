// Package control is the state that all modules of a mesh agree on, as a pure
// step machine: members and their numbers, tokens, groups, incarnations,
// stream ends, and the control tables with their history.
//
// A State is a value that is never changed. Step takes the state and the next
// committed command and gives the state that follows; it reads no clock (the
// proposer's time is in the command), keeps map order out of everything, and
// gives the same result on every module. The raft log is its journal: what
// Step returned is durable when the log entry is, and a snapshot is the
// encoded state. A command that is refused changes nothing but the index.
//
// Tables are compiled where they are proposed (Compile, with line numbers for
// all that is wrong), and travel compiled beside their source text, so that
// modules of different releases cannot disagree on what a text means. Every
// applied table has the next policy epoch. State.Tables joins the rules in
// force with the members of the moment: where each share lives at a module,
// which streams go where, who is linked with whom, who may write.
//
// Invariants:
//
//   - Numbers of modules and groups are given out once, from 1. A group's name
//     keeps its number for good.
//   - A name is held by one standing member. Who left keeps its number, its
//     streams and their ends in the state; the name is free again.
//   - A token admits one module. Admitting the same key under the same name
//     twice gives the same number, so that a join may be retried.
//   - A (group, module) pair has an incarnation from the moment that the
//     module may write in the group. A stream with an end never goes on.
//   - An owned group has one term at a time, of which the epoch counts up by
//     one. A term ends only through a switch that came to its end, with the
//     position at which its owner sealed it; so the ends of a group's streams,
//     one behind the other, are one line of txns.
//   - An end is recorded when all who remain have reported; it is the greatest
//     position reported, and never changes.
package control
