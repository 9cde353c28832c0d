package ledger

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Export visits the stored entries of shares, in the bytes in which they are
// kept, for a module that takes the shares over. fn must not keep them.
func Export(r pebble.Reader, shares []string, fn func(k, v []byte) error) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte("ce"), UpperBound: []byte("cf")})
	if err != nil {
		return fmt.Errorf("export conflicts: %w", err)
	}
	defer it.Close()
	var e Entry
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("export conflicts at %x: %w", it.Key(), err)
		}
		if err := DecodeEntry(v, &e); err != nil {
			return fmt.Errorf("export conflicts at %x: %w", it.Key(), err)
		}
		if !slices.Contains(shares, e.Facts.Share) {
			continue
		}
		if err := fn(it.Key(), v); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("export conflicts: %w", err)
	}
	return nil
}

// Import gives the writes for one pair that Export gave at another module. An
// entry of no share of shares is refused.
func Import(dst []KV, k, v []byte, shares []string) ([]KV, error) {
	var e Entry
	if err := DecodeEntry(v, &e); err != nil {
		return dst, fmt.Errorf("import a conflict: %w", err)
	}
	if !slices.Contains(shares, e.Facts.Share) || !bytes.Equal(k, entryKey(e.Loser.Stamp, e.ID)) {
		return dst, fmt.Errorf("import conflict %v of share %q: %w: key %x", e.ID, e.Facts.Share, ErrEntry, k)
	}
	return append(dst, KV{k, v}, KV{idKey(e.ID), stampBytes(e.Loser.Stamp)}), nil
}

// Remove gives the writes that take all entries of shares out.
func Remove(r pebble.Reader, shares []string) (dst []KV, err error) {
	var e Entry
	err = Export(r, shares, func(k, v []byte) error {
		if err := DecodeEntry(v, &e); err != nil {
			return err
		}
		dst = append(dst, KV{Key: slices.Clone(k)}, KV{Key: idKey(e.ID)})
		return nil
	})
	return dst, err
}
