package call

import (
	"context"

	"drmesh/vosio/record"
)

// Client gives the calls as Go methods, over any Caller. Errors wrap the Code
// that the call gave.
type Client struct{ Caller }

func (c Client) do(ctx context.Context, q *Request) (*Reply, error) {
	r := new(Reply)
	if err := c.Do(ctx, q, r); err != nil {
		return nil, err
	}
	return r, r.Err()
}

// Attach binds a port to a path and gives its number.
func (c Client) Attach(ctx context.Context, name, path string) (int, error) {
	r, err := c.do(ctx, &Request{Call: "s$attach_port", Name: name, Path: path})
	if err != nil {
		return 0, err
	}
	return r.Port, nil
}

// OpenOptions are the arguments of s$open.
type OpenOptions struct {
	Org, Size, IO, Lock, Access int
	Index                       string
}

// Open opens an attached port.
func (c Client) Open(ctx context.Context, port int, o OpenOptions) error {
	_, err := c.do(ctx, &Request{Call: "s$open", Port: port, Org: o.Org, Size: o.Size, IO: o.IO, Lock: o.Lock, Access: o.Access, Index: o.Index})
	return err
}

// OpenPath attaches and opens a port in one; it is detached again if the open
// fails.
func (c Client) OpenPath(ctx context.Context, path string, o OpenOptions) (int, error) {
	p, err := c.Attach(ctx, "", path)
	if err != nil {
		return 0, err
	}
	if err := c.Open(ctx, p, o); err != nil {
		c.Detach(ctx, p)
		return 0, err
	}
	return p, nil
}

// Close ends an open; the port stays attached.
func (c Client) Close(ctx context.Context, port int) error {
	_, err := c.do(ctx, &Request{Call: "s$close", Port: port})
	return err
}

// Detach removes a port, closing it first.
func (c Client) Detach(ctx context.Context, port int) error {
	_, err := c.do(ctx, &Request{Call: "s$detach_port", Port: port})
	return err
}

// SeqRead reads the next record; EndOfFile after the last.
func (c Client) SeqRead(ctx context.Context, port int) ([]byte, error) {
	r, err := c.do(ctx, &Request{Call: "s$seq_read", Port: port})
	if err != nil {
		return nil, err
	}
	return r.Data, nil
}

// SeqPosition moves a port.
func (c Client) SeqPosition(ctx context.Context, port, typ int, count int64) error {
	_, err := c.do(ctx, &Request{Call: "s$seq_position", Port: port, Position: typ, Count: count})
	return err
}

// SeqWrite adds a record.
func (c Client) SeqWrite(ctx context.Context, port int, data []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$seq_write", Port: port, Data: data})
	return err
}

// SeqRewrite replaces the current record.
func (c Client) SeqRewrite(ctx context.Context, port int, data []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$seq_rewrite", Port: port, Data: data})
	return err
}

// SeqDelete deletes the current record.
func (c Client) SeqDelete(ctx context.Context, port int) error {
	_, err := c.do(ctx, &Request{Call: "s$seq_delete", Port: port})
	return err
}

// KeyedRead reads the first record of a key.
func (c Client) KeyedRead(ctx context.Context, port int, index string, key []byte) ([]byte, error) {
	r, err := c.do(ctx, &Request{Call: "s$keyed_read", Port: port, Index: index, Key: key})
	if err != nil {
		return nil, err
	}
	return r.Data, nil
}

// KeyedWrite adds a record; its keys are in its bytes.
func (c Client) KeyedWrite(ctx context.Context, port int, data []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$keyed_write", Port: port, Data: data})
	return err
}

// KeyedRewrite replaces the record with a key; nil takes the key from data.
func (c Client) KeyedRewrite(ctx context.Context, port int, key, data []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$keyed_rewrite", Port: port, Key: key, Data: data})
	return err
}

// KeyedDelete deletes the first record of a key.
func (c Client) KeyedDelete(ctx context.Context, port int, key []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$keyed_delete", Port: port, Key: key})
	return err
}

// RelRead reads a record by number.
func (c Client) RelRead(ctx context.Context, port int, number int64) ([]byte, error) {
	r, err := c.do(ctx, &Request{Call: "s$rel_read", Port: port, Number: number})
	if err != nil {
		return nil, err
	}
	return r.Data, nil
}

// RelWrite writes an empty slot, number 0 the next, and gives its number.
func (c Client) RelWrite(ctx context.Context, port int, number int64, data []byte) (int64, error) {
	r, err := c.do(ctx, &Request{Call: "s$rel_write", Port: port, Number: number, Data: data})
	if err != nil {
		return 0, err
	}
	return r.Number, nil
}

// CreateFile makes an empty file.
func (c Client) CreateFile(ctx context.Context, path string, org, size int) error {
	_, err := c.do(ctx, &Request{Call: "s$create_file", Path: path, Org: org, Size: size})
	return err
}

// DeleteFile removes a file.
func (c Client) DeleteFile(ctx context.Context, path string) error {
	_, err := c.do(ctx, &Request{Call: "s$delete_file", Path: path})
	return err
}

// Rename gives a file another name in its directory.
func (c Client) Rename(ctx context.Context, path, to string) error {
	_, err := c.do(ctx, &Request{Call: "s$rename", Path: path, Path2: to})
	return err
}

// Switches of s$copy_file.
const (
	CopyFail     = 0 // when the target exists
	CopyDelete   = 1 // delete the target first
	CopyTruncate = 2 // empty the target first
)

// CopyFile copies records, organization, indexes and flags.
func (c Client) CopyFile(ctx context.Context, from, to string, switches int) error {
	_, err := c.do(ctx, &Request{Call: "s$copy_file", Path: from, Path2: to, Switches: switches})
	return err
}

// TruncateFile removes all records.
func (c Client) TruncateFile(ctx context.Context, path string) error {
	_, err := c.do(ctx, &Request{Call: "s$truncate_file", Path: path})
	return err
}

// Switches of s$create_index.
const (
	IndexDuplicates  = 1
	IndexSeparateKey = 2
	IndexItem        = 4
	IndexHere        = 8  // at this module alone; of our own
	IndexNullKeys    = 16 // keys of blanks alone are not entered; of our own
)

// CreateIndex defines an index and builds it.
func (c Client) CreateIndex(ctx context.Context, path, name string, parts []record.Component, switches int) error {
	return c.CreateIndexCollated(ctx, path, name, parts, switches, record.CollateBytes)
}

// CreateIndexCollated is CreateIndex with a collation: record.CollateBytes or
// record.CollateAlike.
func (c Client) CreateIndexCollated(ctx context.Context, path, name string, parts []record.Component, switches, collation int) error {
	_, err := c.do(ctx, &Request{Call: "s$create_index", Path: path, Name: name, Components: parts, Switches: switches, Collation: collation})
	return err
}

// KeyedWriteKey adds a record and gives it a key in the separate-key index of
// the open.
func (c Client) KeyedWriteKey(ctx context.Context, port int, key, data []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$keyed_write", Port: port, Key: key, Data: data})
	return err
}

// AddKey gives the current record a key in a separate-key index.
func (c Client) AddKey(ctx context.Context, port int, index string, key []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$add_key", Port: port, Index: index, Key: key})
	return err
}

// DeleteKey takes a key of a separate-key index from the current record.
func (c Client) DeleteKey(ctx context.Context, port int, index string, key []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$delete_key", Port: port, Index: index, Key: key})
	return err
}

// AddItem adds an item to an item index.
func (c Client) AddItem(ctx context.Context, port int, index string, key []byte, item int32) error {
	_, err := c.do(ctx, &Request{Call: "s$add_item", Port: port, Index: index, Key: key, Number: int64(item)})
	return err
}

// DeleteItem removes an item from an item index.
func (c Client) DeleteItem(ctx context.Context, port int, index string, key []byte, item int32) error {
	_, err := c.do(ctx, &Request{Call: "s$delete_item", Port: port, Index: index, Key: key, Number: int64(item)})
	return err
}

// GetItem finds an item by key and relation, and gives it with its whole key.
func (c Client) GetItem(ctx context.Context, port int, index string, key []byte, relation int) ([]byte, int32, error) {
	r, err := c.do(ctx, &Request{Call: "s$get_item", Port: port, Index: index, Key: key, Relation: relation})
	if err != nil {
		return nil, 0, err
	}
	return r.Key, int32(r.Number), nil
}

// CreateRecordIndex numbers the records of a sequential file.
func (c Client) CreateRecordIndex(ctx context.Context, path string) error {
	_, err := c.do(ctx, &Request{Call: "s$create_record_index", Path: path})
	return err
}

// CreateDeletedRecordIndex has writes use the space of deleted records again.
func (c Client) CreateDeletedRecordIndex(ctx context.Context, path string) error {
	_, err := c.do(ctx, &Request{Call: "s$create_deleted_record_index", Path: path})
	return err
}

// CreateDir makes a directory.
func (c Client) CreateDir(ctx context.Context, path string) error {
	_, err := c.do(ctx, &Request{Call: "drmesh$create_dir", Path: path})
	return err
}

// SetLayout keeps a dd text with a file.
func (c Client) SetLayout(ctx context.Context, path, dd string) error {
	_, err := c.do(ctx, &Request{Call: "drmesh$set_layout", Path: path, Value: dd})
	return err
}

// Layout gives the dd text that is kept with a file; ” is none.
func (c Client) Layout(ctx context.Context, path string) (string, error) {
	r, err := c.do(ctx, &Request{Call: "drmesh$get_layout", Path: path})
	if err != nil {
		return "", err
	}
	return string(r.Data), nil
}

// List lists the files and directories in a directory whose names match the
// star name that the path ends with.
func (c Client) List(ctx context.Context, star string) ([]string, error) {
	r, err := c.do(ctx, &Request{Call: "drmesh$list", Path: star})
	if err != nil {
		return nil, err
	}
	return r.Names, nil
}

// Status gives a file's status, a Status in JSON.
func (c Client) Status(ctx context.Context, path string) ([]byte, error) {
	r, err := c.do(ctx, &Request{Call: "drmesh$status", Path: path})
	if err != nil {
		return nil, err
	}
	return r.Info, nil
}

// Status is what drmesh$status gives.
type Status struct {
	Path     string         `json:"path"`
	Org      int            `json:"organization"`
	Size     int            `json:"record_size"`
	Records  int64          `json:"records"`
	Bytes    int64          `json:"bytes"`
	Indexes  []record.Index `json:"indexes"`
	Identity string         `json:"identity"`
	Layout   string         `json:"layout"`
}

// Start, Commit and Abort bracket a transaction.
func (c Client) Start(ctx context.Context) error {
	_, err := c.do(ctx, &Request{Call: "s$start_transaction"})
	return err
}

// Commit makes all changes of the transaction permanent, or none.
func (c Client) Commit(ctx context.Context) error {
	_, err := c.do(ctx, &Request{Call: "s$commit_transaction"})
	return err
}

// Abort undoes the transaction.
func (c Client) Abort(ctx context.Context) error {
	_, err := c.do(ctx, &Request{Call: "s$abort_transaction"})
	return err
}
