# Embedded keys: one without duplicates, one with.
program a
----

calls
a: create_file path=%s#d>main>k org=sequential
a: create_index path=%s#d>main>k name=id parts=1,4 sw=0 coll=4
a: create_index path=%s#d>main>k name=kind parts=5,1 sw=dup
a: create_index path=%s#d>main>k name=id parts=1,4
a: create_index path=%s#d>main>k name=long parts=1,1281
a: create_index path=%s#d>main>k name=sep parts=1,4 sw=separate
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=nothere
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=id
a: keyed_write p=1 data=0003b-three
a: keyed_write p=1 data=0001a-one
a: keyed_write p=1 data=0005b-five
a: seq_write p=1 data=0002b-two
a: keyed_write p=1 data=0002c-again
a: seq_write p=1 data=0002c-again
----
ok
ok
ok
e$index_exists
e$key_too_long
ok
e$index_not_found
ok port 1
ok
ok
ok
ok
e$invalid_duplicate_key
e$invalid_duplicate_key

# Reads by key, and on in the order of the index in force.
calls
a: keyed_read p=1 key=0002
a: seq_read p=1
a: keyed_read p=1 index=kind key=b
a: seq_read p=1
a: seq_read p=1
a: seq_read p=1
a: keyed_read p=1 key=0004
a: keyed_read p=1 index=nothere key=0004
a: keyed_read p=1 key=00011
a: keyed_read p=1 data=0005?
----
ok "0002b-two"
ok "0003b-three"
ok "0003b-three"
ok "0005b-five"
ok "0002b-two"
e$end_of_file
e$record_not_found
e$index_not_found
e$key_too_long
ok "0005b-five"

# Opened on one index, positioned on another.
calls
a: keyed_position p=1 index=kind key=b rel=eq
a: seq_position p=1 type=forward count=1
a: seq_read p=1
a: keyed_position p=1 index=kind key=b rel=eq
a: seq_read p=1
a: seq_position p=1 type=beginning
a: seq_read p=1
a: seq_position p=1 type=end
a: seq_position p=1 type=backward count=1
a: seq_read p=1
----
ok
ok
ok "0005b-five"
ok
ok "0003b-three"
ok
ok "0001a-one"
ok
ok
ok "0005b-five"

# The nine relations.
calls
a: keyed_position_read p=1 key=000 rel=prefix
a: keyed_position_read p=1 key=0003 rel=less
a: keyed_position_read p=1 key=0004 rel=le
a: keyed_position_read p=1 key=0003 rel=le
a: keyed_position_read p=1 key=0003 rel=eq
a: keyed_position_read p=1 key=0003 rel=greater
a: keyed_position_read p=1 key=0004 rel=ge
a: keyed_position_read p=1 key=0003 rel=ge
a: keyed_position_read p=1 key=001 rel=prefix
a: keyed_position_read p=1 key=000 rel=prefix_ge
a: keyed_position_read p=1 rel=first
a: keyed_position_read p=1 rel=last
a: keyed_position_read p=1 key=0001 rel=less
a: keyed_position_read p=1 key=0005 rel=greater
a: keyed_position_read p=1 key=0005 rel=12
----
ok "0001a-one"
ok "0002b-two"
ok "0003b-three"
ok "0003b-three"
ok "0003b-three"
ok "0005b-five"
ok "0005b-five"
ok "0003b-three"
e$record_not_found
ok "0001a-one"
ok "0001a-one"
ok "0005b-five"
e$record_not_found
e$record_not_found
e$invalid_control_operation

# A rewrite needs no read; with no key given it takes the buffer's.
calls
a: seq_write p=1 data=0002c-changed
a: keyed_rewrite p=1 data=0002c-changed
a: keyed_read p=1 key=0002
a: keyed_rewrite p=1 key=0009 data=0009c-new
a: keyed_read p=1 index=kind key=c
a: keyed_rewrite p=1 key=0001 data=0005a-taken
a: keyed_rewrite p=1 key=0005 data=0004b-moved
a: keyed_read p=1 key=0005
a: seq_position p=1 type=beginning
a: all p=1
----
e$invalid_duplicate_key
ok
ok "0002c-changed"
e$record_not_found
ok "0002c-changed"
e$invalid_duplicate_key
ok
e$record_not_found
ok
0001a-one 0002c-changed 0003b-three 0004b-moved end

# A read-rewrite loop over an index visits each record once; a record moved on
# in it is met again.
calls
a: keyed_position_read p=1 rel=first
a: seq_rewrite p=1 data=0001a-ONE
a: seq_read p=1
a: seq_rewrite p=1 data=0008c-TWO
a: seq_read p=1
a: seq_read p=1
a: seq_read p=1
a: seq_read p=1
----
ok "0001a-one"
ok
ok "0002c-changed"
ok
ok "0003b-three"
ok "0004b-moved"
ok "0008c-TWO"
e$end_of_file

# A record whose identity key changes keeps its place in another index: it is
# not met again, nor taken for its own neighbour.
calls
a: create_file path=%s#d>main>i org=sequential
a: create_index path=%s#d>main>i name=id parts=1,2
a: create_index path=%s#d>main>i name=kind parts=3,1 sw=dup
a: openpath path=%s#d>main>i io=update lock=implicit access=indexed index=kind
a: keyed_write p=2 data=11a-x
a: keyed_write p=2 data=12a-y
a: keyed_write p=2 data=13a-z
a: seq_position_read p=2 type=beginning
a: seq_rewrite p=2 data=91a-x
a: seq_read p=2
a: seq_rewrite p=2 data=02a-y
a: seq_position p=2 type=backward count=1
a: seq_read p=2
a: seq_read p=2
a: keyed_position_rewrite p=2 index=kind key=a rel=eq data=01a-x
a: seq_read p=2
a: seq_rewrite p=2 data=02b-moved
a: seq_position p=2 type=backward count=0
a: seq_read p=2
a: detach_port p=2
----
ok
ok
ok
ok port 2
ok
ok
ok
ok "11a-x"
ok
ok "12a-y"
ok
ok
ok "91a-x"
ok "02a-y"
ok
ok "02a-y"
ok
ok
ok "02b-moved"
ok

# Deletes; among duplicates the current record is the one meant.
calls
a: keyed_write p=1 data=0002b-back
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=kind
a: keyed_read p=2 key=b
a: seq_read p=2
a: keyed_delete p=2 key=b
a: seq_read p=2
a: keyed_delete p=2 key=b
a: seq_read p=2
a: keyed_delete p=2 key=z
a: keyed_position_delete p=1 key=0008 rel=eq
a: seq_read p=1
a: keyed_position_rewrite p=1 index=id key=0001 rel=ge data=0001z-last
a: seq_position p=1 type=beginning
a: all p=1
a: seq_position p=2 type=beginning
a: all p=2
----
ok
ok port 2
ok "0003b-three"
ok "0004b-moved"
ok
ok "0002b-back"
ok
ok "0008c-TWO"
e$record_not_found
ok
e$end_of_file
ok
ok
0001z-last 0003b-three end
ok
0003b-three 0001z-last end

# Physical order is the order of birth; a moved key keeps it.
calls
a: openpath path=%s#d>main>k io=input lock=implicit access=seq
a: all p=3
a: keyed_read p=3 key=0001
a: keyed_write p=3 data=0007
a: seq_write p=3 data=0007
----
ok port 3
0003b-three 0001z-last end
e$invalid_access_mode
e$invalid_io_type
e$invalid_io_type

# An index made over present records: a value that two share is given back.
calls
a: keyed_write p=1 data=0006z-other
a: create_index path=%s#d>main>k name=unique_kind parts=5,1
a: create_index path=%s#d>main>k name=tail parts=6,2 sw=dup
a: keyed_read p=1 index=tail key=-o
----
ok
e$invalid_duplicate_key
ok
ok "0006z-other"

# A short record has blanks for the bytes that a key lacks.
calls
a: keyed_write p=1 data=00
a: keyed_read p=1 key=00
a: keyed_read p=1 key="00  "
----
ok
ok "00"
ok "00"
