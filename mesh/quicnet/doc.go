// Package quicnet carries everything that modules say to each other: QUIC
// connections under mutual TLS 1.3 on one UDP port, identified by certificates
// of the mesh's own authority. It is the only importer of quic-go, and none of
// quic-go's types leave it.
//
// What holds:
//
//   - Who a peer is comes from its certificate alone: the URI name
//     mesh://<mesh id>/module/<number>, chained to the mesh's authority, and
//     accepted by Config.Admit. No handler runs, and no byte of a stream is
//     read, before that. The one exception is ServeJoin, for machines that
//     have no certificate yet: few at a time, small, short.
//   - There is no plaintext mode, no 0-RTT, no session resumption: each
//     connection proves both keys.
//   - A connection counts as made only after both ends have exchanged hellos,
//     so that a refusal (certificate, membership, version) is known to the
//     dialer as an error of the dial and never as a dead stream later.
//   - Nothing unbounded is held: streams per connection, receive windows,
//     connections per peer, handshakes under way and datagram queues all have
//     limits. Rubbish on the port is dropped by QUIC's own header checks and
//     leaves no state.
//
// Connections are pooled by (peer, lane, path). The lane keeps control and
// acknowledgements apart from bulk data, so that neither waits in the other's
// queue. The path names one pair of addresses; the zero path is "whichever
// answers first". Either end may open streams on a connection, whoever dialed
// it; the newest is preferred, since after a restart of the peer it is the
// one that lives.
//
// Ownership: a Net owns its sockets, its connections and every goroutine that
// it started; Close ends them all, and waits for handlers to return. A stream
// belongs to whoever opened it, or to the handler that was given it (also
// after the handler has returned), and is closed by them.
//
// Nothing here is durable. Certificates and keys are the caller's to keep.
package quicnet
