// Package admin is the operators' door of a module: an API over HTTP, on the
// unix socket D/admin.sock and, where it is wanted, on a TCP address.
//
// It declares the small Engine interface that it needs and the values that go
// over it, and knows neither files nor the mesh. A route is a line in routes.go
// with its id, its least role and whether it changes something; what it takes
// and gives are Go types, of which docs/openapi.json is made. One middleware,
// admit, stands before every route: it looks at the role, passes on what
// another member is to answer, takes the body in within bounds, and sees to it
// that a change is in the audit before it is answered. Who asks is found out
// before that, once for each door: the kernel says it at the socket, an access
// token or a certificate over TCP.
//
// Values: nil is what nobody knows, and never 0; an empty list is empty. Errors
// are problem+json with the exit class that commands end with, a code that
// stays, and a hint.
//
// Durable are the access tokens (their hashes) and the audit, each before the
// answer that tells of it. Operations and events are of this run of the node
// alone: who follows events is told by a gap where some may be missing. All
// lists, rings, bodies and connections are bounded. Goroutines: one for each
// door (Close), one for each long operation under way (cancel, or API.Close).
package admin
