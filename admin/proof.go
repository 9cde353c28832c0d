package admin

import "time"

// ProofRequest asks whether the modules hold the same.
type ProofRequest struct {
	Share string `json:"share,omitempty"` // empty: all
	// Scan reads all from the disks anew, instead of trusting the sums that are
	// kept as writes happen.
	Scan    bool          `json:"scan,omitempty"`
	Timeout time.Duration `json:"timeout_ns,omitempty"` // 0: two minutes
}

// Proof says of each share whether the modules that have it hold the same
// versions of everything in it.
type Proof struct {
	Module string       `json:"module"` // that was asked
	At     time.Time    `json:"at"`
	Scan   bool         `json:"scan"`
	Shares []ShareProof `json:"shares"`
}

// What a proof can say of a share.
const (
	ProofEqual   = "equal"   // whatever differs is still on its way
	ProofDiffers = "differs" // also once every module had what the others had
	ProofUnknown = "unknown" // a module could not be asked, or did not catch up
)

// ShareProof is a proof of one share.
type ShareProof struct {
	Share       string        `json:"share"`
	Group       string        `json:"group"`
	State       string        `json:"state" enum:"equal,differs,unknown"`
	Reason      string        `json:"reason,omitempty"` // why it is unknown
	Modules     []ProofModule `json:"modules"`
	Differences []Difference  `json:"differences"`
	More        bool          `json:"more,omitempty"` // there are more than are listed
}

// ProofModule is what one module answered. Its figures are null where it did
// not.
type ProofModule struct {
	Module    string           `json:"module"`
	Files     *int             `json:"files"`
	Registers *int64           `json:"registers"`
	Vector    []StreamPosition `json:"vector"`
	Problem   *string          `json:"problem"`
	// Changed are files whose bytes on the disk are not those that were written:
	// the sums that were kept say otherwise. With scan alone.
	Changed []string `json:"changed,omitempty"`
}

// Difference is one register that modules hold differently.
type Difference struct {
	Path     string        `json:"path"` // of the file, below the share's root
	File     string        `json:"file"`
	Register string        `json:"register"` // as people call it
	Address  string        `json:"address"`  // in hexadecimal
	Held     []HeldVersion `json:"held"`
}

// HeldVersion is one version that stands in it at a module; Version is empty
// where none does.
type HeldVersion struct {
	Module  string `json:"module"`
	Version string `json:"version"` // the operation that made it
	Deleted bool   `json:"deleted,omitempty"`
	Content string `json:"content,omitempty"` // a hash of its bytes, stamp, life and birth
}

// SyncRequest has a module take a share's state from another one.
type SyncRequest struct {
	Share   string        `json:"share"`
	From    string        `json:"from,omitempty"`       // empty: one of the others, if they agree
	Timeout time.Duration `json:"timeout_ns,omitempty"` // 0: ten minutes
}

// Sync is what came of it.
type Sync struct {
	Share       string  `json:"share"`
	Group       string  `json:"group"`  // whose state it is
	Module      string  `json:"module"` // that took it
	From        string  `json:"from"`   // empty: there was nothing to take
	Differences int     `json:"differences"`
	Kept        string  `json:"kept"` // the file with what stood at the module in what differed
	State       string  `json:"state" enum:"equal,differs,unknown"`
	Left        int     `json:"left"` // registers that still differ
	TookMS      float64 `json:"took_ms"`
}
