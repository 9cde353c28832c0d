package admin

import "context"

// Role says what a caller may do. Each role may do what those before it may.
type Role string

// The roles. Viewer looks; Operator does what can be taken back; Admin does
// what cannot, and lets others in.
const (
	Nobody   Role = ""
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

var ranks = map[Role]int{Nobody: 0, Viewer: 1, Operator: 2, Admin: 3}

// May tells whether the role is enough where least is needed.
func (r Role) May(least Role) bool { return ranks[r] >= ranks[least] }

// Caller is who asks.
type Caller struct {
	Name string `json:"name"` // uid 1000, token 3f..., %west#m1; empty: nobody
	Role Role   `json:"role"`
	Via  string `json:"via"` // socket, tcp, tls, mesh
}

type callerKey struct{}

// WithCaller says in a context who asks.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf tells who asks; nobody where that was not said.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
