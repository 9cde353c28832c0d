// Package wire is the form of the frames that two modules exchange about
// txns. It is pure: bytes in, values out.
//
// A frame is length(4, big endian, of what follows), type(1), body. A body is
// one msgpack array; a reader skips fields after those that it knows. No frame
// is longer than MaxFrame; an entry that does not fit travels in parts.
//
//	1 hello        [version, mesh, module, [[group, module, incarnation, seq, hash], ...]]
//	2 announce     [[[group, module, incarnation, seq], ...]]
//	3 subscribe    [group, module, incarnation, after, hash, credit]
//	4 credit       [group, module, incarnation, bytes]
//	5 unsubscribe  [group, module, incarnation]
//	6 batch        [group, module, incarnation, after, count, codec, size, entries, head]
//	7 part         [group, module, incarnation, seq, offset, total, bytes]
//	8 head         [head]
//	9 pruned       [group, module, incarnation, upto]
//	10 fork        [group, module, incarnation, seq, hash]
//	11 offer       [session]
//	12 attach      [version, mesh, module, session, link]
//	13 taken       [runs]
//
// Entries are count times (length as uvarint, entry), size bytes in all; codec
// 0 is plain, 1 is one zstd frame. The head is empty but in the last frame of a
// run: a receiver applies a run when it has verified it against its head.
// docs/formats/wire.md says what each frame means and when it is sent.
//
// Decoding costs no more memory than the message's own length, but for a
// batch, which costs up to MaxEntries: what a compressed one may become is
// bounded before it is decompressed. Types that a reader does not know are
// passed over by it; the version in the hello keeps what matters from being
// sent to one.
package wire
