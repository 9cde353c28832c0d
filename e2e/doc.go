// Package e2e holds the tests of the whole: of the built binary as separate
// processes, met as its users meet it, and of the rules that span packages.
//
// Scripts (testdata/script) are transcripts of commands; what needs a
// program, a crash in the right moment or a rule over all packages is a test
// in Go. Nothing is shared between tests but the binary, which is built once.
package e2e
