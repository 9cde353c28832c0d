package origin

import (
	"fmt"
	"time"
)

// Stamp is a hybrid logical clock reading: 48 bits of milliseconds since 1970
// UTC, then a 16-bit counter. Stamps of one module strictly rise.
type Stamp uint64

// MakeStamp builds a stamp from milliseconds and counter. ms must fit 48 bits.
func MakeStamp(ms uint64, counter uint16) Stamp { return Stamp(ms<<16 | uint64(counter)) }

// Millis is the physical part, in milliseconds since 1970 UTC.
func (s Stamp) Millis() uint64 { return uint64(s) >> 16 }

// Counter is the logical part.
func (s Stamp) Counter() uint16 { return uint16(s) }

// Time is the physical part as a time in UTC.
func (s Stamp) Time() time.Time { return time.UnixMilli(int64(s.Millis())).UTC() }

// String gives the time in RFC 3339 with milliseconds, and the counter when it
// is not 0.
func (s Stamp) String() string {
	t := s.Time().Format("2006-01-02T15:04:05.000Z")
	if s.Counter() == 0 {
		return t
	}
	return fmt.Sprintf("%s+%d", t, s.Counter())
}
