package record

// The record numbers of fixed and relative files that control leases to
// modules. Those below and above are for who has no lease yet, or cannot reach
// control: each module has some there by its origin number alone.
const (
	FirstLeased = 4096 + 1
	LastLeased  = 1 << 30
)
