//go:build race

package vosio

// crashEvery: with the race detector only some of the crashes are looked at.
const crashEvery = 16
