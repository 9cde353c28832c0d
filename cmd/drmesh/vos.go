package main

import "github.com/spf13/cobra"

// (being written: see SPLIT.txt)
func (a *app) vosCommand() *cobra.Command { return nest("vos", "vos") }
