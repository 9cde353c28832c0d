//go:build race

package node

import "time"

func init() { controlPace.Heartbeat, sideBySide = 1500*time.Millisecond, "6" }
