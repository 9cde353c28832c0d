package main

import (
	"context"
	"log/slog"
)

// The node's own entrances.
var (
	nodeInit  func(initOptions) error
	nodeJoin  func(context.Context, joinOptions) error
	nodeServe func(context.Context, serveOptions) error
)

type initOptions struct {
	Dir, Module, Mesh string
	Listen            []string
	Admin             string
}

type joinOptions struct {
	Token, Dir, Module string
	Listen             []string
	Admin              string
}

type serveOptions struct {
	Dir     string
	Ready   func()
	Logger  *slog.Logger
	Recover bool
}
