package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// maxAudit is how large a file of the audit gets, auditFiles how many there
	// are with the older ones.
	maxAudit   = 4 << 20
	auditFiles = 5
)

// AuditLine is one change that somebody asked for.
type AuditLine struct {
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	Role    Role      `json:"role"`
	Via     string    `json:"via"`
	Route   string    `json:"route"` // operation id
	Method  string    `json:"method"`
	Object  string    `json:"object,omitempty"`
	Outcome string    `json:"outcome" enum:"done,refused,failed,begun"`
	Status  int       `json:"status"`
	Code    string    `json:"code,omitempty"` // of the error
}

// Audit keeps who changed what: one line a change in a file that is rotated. A
// line is durable before the change is answered.
type Audit struct {
	path string
	max  int64

	mu   sync.Mutex // protects what follows; held across the write of a line
	f    *os.File
	size int64
}

// OpenAudit goes on with the audit in a file.
func OpenAudit(path string) (*Audit, error) {
	a := &Audit{path: path, max: maxAudit}
	return a, a.open()
}

func (a *Audit) open() error {
	f, err := os.OpenFile(a.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open audit: %w", err)
	}
	i, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open audit: %w", err)
	}
	a.f, a.size = f, i.Size()
	return nil
}

// Close lets the file go.
func (a *Audit) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.f == nil {
		return nil
	}
	err := a.f.Close()
	a.f = nil
	return err
}

func (a *Audit) write(l AuditLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.f == nil {
		return errors.New("the audit is closed")
	}
	if a.size > 0 && a.size+int64(len(b)) > a.max {
		if err := a.rotate(); err != nil {
			return err
		}
	}
	n, err := a.f.Write(b)
	a.size += int64(n)
	if err == nil {
		err = a.f.Sync()
	}
	return err
}

// rotate moves the files on by one; the caller holds mu.
func (a *Audit) rotate() error {
	for i := auditFiles - 1; i > 0; i-- {
		err := os.Rename(a.name(i-1), a.name(i))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate audit: %w", err)
		}
	}
	a.f.Close()
	a.f = nil
	return a.open()
}

func (a *Audit) name(i int) string {
	if i == 0 {
		return a.path
	}
	return fmt.Sprintf("%s.%d", a.path, i)
}

// last gives the newest lines, the oldest of them first.
func (a *Audit) last(most int) ([]AuditLine, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := []AuditLine{}
	for i := 0; i < auditFiles && len(l) < most; i++ {
		one, err := readAudit(a.name(i))
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		l = append(one, l...)
	}
	return l[max(0, len(l)-most):], nil
}

func readAudit(path string) ([]AuditLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var l []AuditLine
	s := bufio.NewScanner(f)
	for s.Scan() {
		var x AuditLine
		if json.Unmarshal(s.Bytes(), &x) == nil { // a line that a crash cut is none
			l = append(l, x)
		}
	}
	return l, s.Err()
}
