package main

import "github.com/spf13/cobra"

// (being written: see SPLIT.txt)
func (a *app) benchCommand() *cobra.Command { return nest("bench", "bench") }
