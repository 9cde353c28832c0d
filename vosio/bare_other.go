//go:build !unix

package vosio

// bareBytes gives memory.
func bareBytes(n int) []byte { return make([]byte, n) }

// freeBytes leaves it to the collector.
func freeBytes([]byte) {}
