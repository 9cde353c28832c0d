// Package raftgroup keeps one replicated log of commands among modules, and
// applies it to a state machine at each of them. It is the only importer of
// hashicorp/raft and raft-wal.
//
// What holds:
//
//   - A command that Propose reported as done is in the log of a majority of
//     voters, flushed, and was applied here; every member applies the same
//     commands in the same order, each once.
//   - What was once applied at a member is applied again when it starts, before
//     Start returns and without asking anybody: losing quorum stops changes,
//     and does not take away what is known. (Raft by itself would wait for a
//     leader to tell what is committed; so the last applied index is kept in a
//     small file, flushed before a command counts as applied.)
//   - A member is addressed by its number alone. How it is reached, and that
//     it is who it says, is the business of the streams that Config.Dial gives
//     and Group.Accept takes.
//
// A voter counts for quorum; a nonvoter receives the log. Members come and go
// one at a time by AddVoter, AddNonvoter and Remove, which are commands like
// any other. A member that was removed keeps its state and waits.
//
// Durable in Config.Dir/raft: the log (raft-wal segments and its metadata, with
// term and vote), snapshots (the two latest), and the applied index. A group
// owns the directory between Start and Shutdown.
package raftgroup
