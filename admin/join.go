package admin

import "time"

// TokenRequest asks for a token.
type TokenRequest struct {
	Role string        `json:"role,omitempty"`
	TTL  time.Duration `json:"ttl_ns,omitempty"`
	// Limit is how long a leaf may go unheard before it is removed; 0: 30 days.
	Limit time.Duration `json:"limit_ns,omitempty"`
}

// LeaveRequest takes a module out of the mesh.
type LeaveRequest struct {
	AcceptLoss bool `json:"accept_loss,omitempty"`
}

// Token is a new token; its text is a secret.
type Token struct {
	Token   string    `json:"token"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
}
