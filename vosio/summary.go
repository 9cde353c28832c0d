package vosio

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"drmesh/origin"
	"drmesh/vosio/record"
)

// Summaries tell whether two modules hold the same registers without sending
// these. The registers of a file are divided by the hash of their keys into
// SummaryBuckets, and each of those into SummaryParts. The sum of a bucket, or a
// part, is that of the hashes of its registers: which versions stand in each,
// and their bytes. A register where nothing but a deletion stands counts as none,
// since modules let go of tombstones at different times. So modules of equal
// vectors have equal sums.
//
// The first question for a share's summaries reads its registers once; from
// then on each write changes the sum of its bucket, in memory. Sums of parts are
// read from the disk when they are asked for.
const (
	SummaryBuckets = 64
	SummaryParts   = 256
)

// maxSummaryRounds is how often a share's files are looked through for new ones.
const maxSummaryRounds = 16

// summary is what is kept of one file, or of a share's catalog. It is owned by
// the committer.
type summary struct {
	known   bool     // else it holds what has changed since the scan under way began
	was     *summary // what was known when that scan began
	differs bool     // from what the last scan found
	buckets [SummaryBuckets]uint64
	count   int64 // registers
}

// FileSummary tells of one file of a share.
type FileSummary struct {
	ID        origin.FileID
	Path      string // below the share's root; "(catalog)" for names and attributes
	Buckets   [SummaryBuckets]uint64
	Registers int64
	// Changed says that a scan found other sums than those that were kept: the
	// disk does not hold what was written.
	Changed bool
}

// RegisterSummary tells what stands in one register.
type RegisterSummary struct {
	Address  []byte
	Versions []VersionSummary // by dot
}

// VersionSummary tells of one version; Content is a hash of its bytes and of all
// else that decides what is shown.
type VersionSummary struct {
	Dot       origin.OpDot
	Tombstone bool
	Content   uint64
}

func summaryBucket(key uint64) int { return int(key >> 58) }
func summaryPart(key uint64) int   { return int(key >> 50 & (SummaryParts - 1)) }

// mix spreads the bits of a hash, so that sums of mixed ones say something: the
// finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// registerSum is the hash of what stands in a register; key is that of its key.
func registerSum(key uint64, set []origin.Version) uint64 {
	if len(set) == 0 || len(set) == 1 && set[0].Tombstone {
		return 0
	}
	var sum uint64
	for i := range set {
		sum += versionSum(&set[i])
	}
	return mix(sum ^ mix(key))
}

func versionSum(v *origin.Version) uint64 {
	d := &v.Dot
	x := mix(uint64(d.Group)<<32|uint64(d.Module)) ^ mix(uint64(d.Incarnation)<<32|uint64(d.Index))
	x = mix(x ^ mix(uint64(d.Seq)))
	// All that decides what is shown is in it.
	x = mix(x^mix(uint64(v.Stamp))) ^ mix(v.Policy<<32|uint64(v.Life))
	b := &v.Birth
	x = mix(x ^ mix(uint64(b.Stamp)) ^ mix(uint64(b.Dot.Module)<<32|uint64(b.Dot.Incarnation)) ^ mix(uint64(b.Dot.Seq)<<20|uint64(b.Dot.Index)))
	if v.Tombstone {
		return mix(x ^ 1)
	}
	return mix(x ^ xxhash.Sum64(v.Data))
}

// changed brings a summary in line with a register whose set changes.
func (s *summary) changed(key uint64, was, is []origin.Version) {
	old, now := registerSum(key, was), registerSum(key, is)
	s.buckets[summaryBucket(key)] += now - old
	if old == 0 && now != 0 {
		s.count++
	} else if old != 0 && now == 0 {
		s.count--
	}
}

// summaryOf is what is kept of the file, or catalog, that a register is of; nil:
// nothing.
func (t *tx) summaryOf(f *file, share string, isCatalog bool) *summary {
	switch {
	case f != nil:
		return f.stat.summary
	case isCatalog:
		t.e.cat.mu.RLock()
		defer t.e.cat.mu.RUnlock()
		if s := t.e.cat.shares[share]; s != nil {
			return s.summary
		}
	}
	return nil
}

// summarized is one file whose summary is kept, or is to be.
type summarized struct {
	id   origin.FileID
	path string
	of   **summary
	sum  *summary
}

// summarized lists the files of a share and its catalog, by id. The committer
// calls it.
func (e *Engine) summarized(share string) (l []summarized) {
	e.cat.mu.RLock()
	defer e.cat.mu.RUnlock()
	for id, f := range e.cat.files {
		if f.share == share && f.version == nil {
			l = append(l, summarized{id, f.rel, &f.stat.summary, f.stat.summary})
		}
	}
	if s := e.cat.shares[share]; s != nil && share != "" {
		l = append(l, summarized{record.CatalogID(share), "(catalog)", &s.summary, s.summary})
	}
	slices.SortFunc(l, func(a, b summarized) int { return bytes.Compare(a.id[:], b.id[:]) })
	return l
}

// Summaries gives the summaries of a share's files, by id, and the positions
// that they are of. It may be called by any goroutine, one at a time for a
// share; the first call, and one with scan, reads the share whole, and the
// latter says where it finds other sums than those that were kept. Files that
// are created while it reads are read then; where that does not end, the last
// of them are left out.
func (e *Engine) Summaries(ctx context.Context, share string, scan bool) (l []FileSummary, at origin.Vector, err error) {
	for round := 0; ; round++ {
		scan := scan && round == 0
		var snap *pebble.Snapshot
		var begun []summarized
		err := e.submit(ctx, &request{look: func() {
			l, at = nil, e.j.Tails()
			for _, x := range e.summarized(share) {
				if x.sum == nil || !x.sum.known || scan {
					next := new(summary) // what a scan that was given up left is of no use
					if x.sum != nil && x.sum.known {
						next.was = x.sum
					} else if x.sum != nil && x.sum.was != nil {
						next.was = x.sum.was
						for b, n := range x.sum.buckets {
							next.was.buckets[b] += n
						}
					}
					x.sum = next
					*x.of = x.sum
					begun = append(begun, x)
				} else if begun == nil || round == maxSummaryRounds {
					l = append(l, FileSummary{x.id, x.path, x.sum.buckets, x.sum.count, x.sum.differs})
				}
			}
			if begun != nil && round < maxSummaryRounds {
				snap = e.db.NewSnapshot()
			}
		}})
		if err != nil || snap == nil {
			return l, at, err
		}
		scans := make([]summary, len(begun))
		for i, x := range begun {
			if err = scanSummary(ctx, snap, x.id, func(key uint64, set []origin.Version) { scans[i].changed(key, nil, set) }); err != nil {
				break
			}
		}
		snap.Close()
		if err != nil {
			return nil, nil, err
		}
		if err := e.submit(ctx, &request{look: func() {
			for i, x := range begun {
				for b, n := range scans[i].buckets {
					x.sum.buckets[b] += n
				}
				x.sum.count += scans[i].count
				x.sum.known = true
				if was := x.sum.was; was != nil {
					x.sum.differs = was.buckets != scans[i].buckets
				}
				x.sum.was = nil
			}
		}}); err != nil {
			return nil, nil, err
		}
	}
}

// scanSummary reads the registers of a file.
func scanSummary(ctx context.Context, r pebble.Reader, id origin.FileID, fn func(key uint64, set []origin.Version)) error {
	var set []origin.Version
	n := 0
	return scanPrefix(r, appendFileKey(nil, keyRegister, id), func(k, v []byte) (err error) {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		// A set that does not decode is a difference, not an error.
		if set, err = record.DecodeSet(set[:0], v); err != nil {
			set = append(set[:0], origin.Version{Data: v})
		}
		fn(xxhash.Sum64(k), set)
		return nil
	})
}

// still takes a snapshot, and the positions that it is of.
func (e *Engine) still(ctx context.Context) (snap *pebble.Snapshot, at origin.Vector, err error) {
	err = e.submit(ctx, &request{look: func() { snap, at = e.db.NewSnapshot(), e.j.Tails() }})
	return snap, at, err
}

// SummaryOfParts gives the sums of the parts of some buckets of a file, read
// from the disk.
func (e *Engine) SummaryOfParts(ctx context.Context, id origin.FileID, buckets []byte) (parts map[byte]*[SummaryParts]uint64, at origin.Vector, err error) {
	parts = map[byte]*[SummaryParts]uint64{}
	for _, b := range buckets {
		if int(b) < SummaryBuckets {
			parts[b] = new([SummaryParts]uint64)
		}
	}
	snap, at, err := e.still(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer snap.Close()
	err = scanSummary(ctx, snap, id, func(key uint64, set []origin.Version) {
		if p := parts[byte(summaryBucket(key))]; p != nil {
			p[summaryPart(key)] += registerSum(key, set)
		}
	})
	return parts, at, err
}

// SummaryOfRegisters gives what stands in the registers of some parts of a
// file, each part as bucket * SummaryParts + part; more says that there are more
// than limit.
func (e *Engine) SummaryOfRegisters(ctx context.Context, id origin.FileID, parts []uint16, limit int) (l []RegisterSummary, more bool, at origin.Vector, err error) {
	want := map[uint16]bool{}
	for _, p := range parts {
		want[p] = true
	}
	snap, at, err := e.still(ctx)
	if err != nil {
		return nil, false, nil, err
	}
	defer snap.Close()
	prefix := appendFileKey(nil, keyRegister, id)
	var set []origin.Version
	n := 0
	err = scanPrefix(snap, prefix, func(k, v []byte) (err error) {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key := xxhash.Sum64(k)
		if !want[uint16(summaryBucket(key)*SummaryParts+summaryPart(key))] {
			return nil
		}
		if more = len(l) >= limit; more {
			return errStop
		}
		if set, err = record.DecodeSet(set[:0], v); err != nil {
			set = append(set[:0], origin.Version{Data: v})
		}
		l = append(l, summarizeRegister(k[len(prefix):], set))
		return nil
	})
	if err == errStop {
		err = nil
	}
	return l, more, at, err
}

func summarizeRegister(addr []byte, set []origin.Version) RegisterSummary {
	r := RegisterSummary{Address: bytes.Clone(addr)}
	for i := range set {
		r.Versions = append(r.Versions, VersionSummary{set[i].Dot, set[i].Tombstone, versionSum(&set[i])})
	}
	slices.SortFunc(r.Versions, func(a, b VersionSummary) int {
		return cmp.Or(a.Dot.Stream.Compare(b.Dot.Stream), cmp.Compare(a.Dot.Seq, b.Dot.Seq), cmp.Compare(a.Dot.Index, b.Dot.Index))
	})
	return r
}

// Total is one number for all buckets.
func (s *FileSummary) Total() uint64 {
	h := xxhash.New()
	var b [8]byte
	for _, n := range s.Buckets {
		binary.BigEndian.PutUint64(b[:], n)
		h.Write(b[:])
	}
	return h.Sum64()
}
