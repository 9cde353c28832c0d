# Two modules add records to one relative file at once: each takes numbers of
# its own, first 64 by its origin number; then leased ones, or, without a lease,
# some that lie above all of these. [D]
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
ok number 1073741825

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
ok number 1073741826
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

# Numbers that control leased come between, in order, and before those above:
# also when these were taken before. A record that somebody put there is left.
program c 1
----

calls
c: create_file path=%s#d>main>l org=relative size=8
c: openpath path=%s#d>main>l io=update lock=implicit access=random
c: rel_write p=1 n=63 data=a63
c: rel_write p=1 n=0 data=a64
c: rel_write p=1 n=0 data=above
----
ok
ok port 1
ok number 63
ok number 64
ok number 1073741825

lease 1 l 4097 4099
----

lease 1 l 6001 6002
----

calls
c: rel_write p=1 n=4098 data=named
c: rel_write p=1 n=0 data=x1
c: rel_write p=1 n=0 data=x2
c: rel_write p=1 n=0 data=x3
c: rel_write p=1 n=0 data=above2
c: start_transaction
c: rel_write p=1 n=0 data=above3
c: commit_transaction
----
ok number 4098
ok number 4099
ok number 6001
ok number 6002
ok number 1073741826
ok
ok number 1073741827
ok

lease 1 l 9001 9002
----

calls
c: start_transaction
c: rel_write p=1 n=0 data=y1
c: rel_write p=1 n=0 data=y2
c: rel_write p=1 n=0 data=y3
c: commit_transaction
c: rel_delete p=1 n=6001
c: close p=1
c: create_deleted_record_index path=%s#d>main>l
c: openpath path=%s#d>main>l io=update lock=implicit access=random
c: rel_write p=2 n=0 data=low1
c: rel_delete p=2 n=9001
c: rel_delete p=2 n=4099
c: rel_write p=2 n=0 data=low2
----
ok
ok number 9001
ok number 9002
ok number 1073741828
ok
ok
ok
ok
ok port 2
ok number 1
ok
ok
ok number 2
