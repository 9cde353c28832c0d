//go:build !race

package vosio

const crashEvery = 1
