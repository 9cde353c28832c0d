# Two modules add records to one relative file at once: each takes numbers of
# its own, 64 in a row.
program a 1
----

program b 2
----

calls
a: create_file path=%s#d>main>r org=relative size=8
a: create_file path=%s#d>main>f org=fixed size=1
a: openpath path=%s#d>main>r io=update lock=implicit access=random
a: rel_write p=1 n=0 data=a1
----
ok
ok
ok port 1
ok number 1

ship 1 2
----
3 txns

calls
b: openpath path=%s#d>main>r io=update lock=implicit access=random
a: rel_write p=1 n=0 data=a2
b: rel_write p=1 n=0 data=b1
b: seq_write p=1 data=b2
a: seq_write p=1 data=a3
a: rel_write p=1 n=64 data=a64
a: rel_write p=1 n=0 data=a65
----
ok port 1
ok number 2
ok number 65
ok number 66
ok number 3
ok number 64
ok number 65537

ship 1 2
----
4 txns

ship 2 1
----
2 txns

calls
b: rel_write p=1 n=0 data=b3
a: rel_write p=1 n=0 data=a66
a: rel_write p=1 n=70 data=a70
a: rel_write p=1 n=66 data=no
a: rel_delete p=1 n=2
a: rel_delete p=1 n=66
a: rel_position p=1 n=0
a: all p=1
----
ok number 67
ok number 65538
ok number 70
e$record_already_exists
ok
ok
ok
a1 a3 a64 b1 a70 a65 a66 end

# With a deleted-record index it is each module's own lowest.
calls
a: close p=1
a: create_deleted_record_index path=%s#d>main>r
a: openpath path=%s#d>main>r io=update lock=implicit access=random
a: rel_write p=2 n=0 data=low
a: rel_write p=2 n=0 data=low2
----
ok
ok
ok port 2
ok number 2
ok number 4

ship 1 2
----
7 txns

calls
b: rel_write p=1 n=0 data=b4
b: rel_write p=1 n=0 data=b5
b: rel_write p=1 n=0 data=b6
b: rel_write p=1 n=0 data=b7
b: rel_position p=1 n=0
b: all p=1
----
ok number 66
ok number 68
ok number 69
ok number 71
ok
a1 low a3 low2 a64 b1 b4 b3 b5 b6 a70 b7 a65 a66 end
