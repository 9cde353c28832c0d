//go:build race

package node

import "time"

func init() { controlPace.Heartbeat = 1500 * time.Millisecond }
