package admin

// File is a file of this module.
type File struct {
	Path     string   `json:"path"`
	Share    string   `json:"share,omitempty"`
	ID       string   `json:"id"`
	Org      string   `json:"organization"`
	Size     int      `json:"record_size"`
	Records  int64    `json:"records"`
	Bytes    int64    `json:"bytes"`
	Indexes  []string `json:"indexes,omitempty"`
	Parked   int64    `json:"parked"`
	Withheld int64    `json:"withheld"`
	Computed bool     `json:"computed_name,omitempty"`
	Layout   bool     `json:"layout,omitempty"`
}

// Digest is the digest of a file at this module.
type Digest struct {
	Digest  string `json:"digest"` // SHA-256, hexadecimal
	Records int64  `json:"records"`
	Path    string `json:"path"` // in the share
	Parked  int64  `json:"parked"`
}
