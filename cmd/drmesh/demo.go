package main

import "github.com/spf13/cobra"

// (being written: see SPLIT.txt)
func (a *app) demoCommand() *cobra.Command { return nest("demo", "demo") }
