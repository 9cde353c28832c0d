//go:build unix

package vosio

import "syscall"

// bareBytes gives memory that the collector does not know of. What is not
// touched takes none.
func bareBytes(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	return b
}

// freeBytes gives it back.
func freeBytes(b []byte) {
	if len(b) > 0 {
		syscall.Munmap(b) // fails for what is none of bareBytes' alone
	}
}
