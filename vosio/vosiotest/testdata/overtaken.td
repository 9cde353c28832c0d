# Two modules. What a program was shown decides what its write replaces.
program a 1
----

program b 2
----

calls
a: create_file path=%s#d>main>f org=sequential
a: create_index path=%s#d>main>f name=id parts=1,1
a: openpath path=%s#d>main>f io=update lock=implicit access=indexed index=id
a: keyed_write p=1 data=1-first
a: keyed_write p=1 data=2-first
----
ok
ok
ok port 1
ok
ok

ship 1 2
----
4 txns

# Read at a, changed at b, rewritten at a: b's version stays, as one that the
# writer was not shown.
calls
a: keyed_read p=1 key=1
b: openpath path=%s#d>main>f io=update lock=implicit access=indexed index=id
b: keyed_rewrite p=1 key=1 data=1-by-b
----
ok "1-first"
ok port 1
ok

ship 2 1
----
1 txns

calls
a: seq_rewrite p=1 data=1-by-a
----
ok

txns 1 1
----
write "1-by-a" life 1 unseen [m2.1/g1:1]

# Without a read, a rewrite has seen all.
calls
b: keyed_rewrite p=1 key=2 data=2-by-b
----
ok

ship 2 1
----
1 txns

calls
a: keyed_rewrite p=1 key=2 data=2-by-a
----
ok

txns 1 1
----
write "2-by-a" life 1

# Deleted at b since it was read at a: not found.
ship 1 2
----
2 txns

calls
a: keyed_read p=1 key=2
b: keyed_delete p=1 key=2
----
ok "2-by-a"
ok

ship 2 1
----
1 txns

calls
a: seq_rewrite p=1 data=2-again
a: keyed_rewrite p=1 key=2 data=2-again
a: keyed_write p=1 data=2-anew
----
e$record_not_found
e$record_not_found
ok

txns 1 1
----
write "2-anew" life 2

# In a transaction: overtaken before its commit, it is aborted.
calls
a: close p=1
a: set_transaction_file path=%s#d>main>f sw=1
a: open p=1 io=update lock=implicit access=indexed index=id
a: start_transaction
a: keyed_read p=1 key=1
a: keyed_rewrite p=1 key=2 data=2-in-txn
----
ok
ok
ok
ok
ok "1-by-a"
ok

ship 1 2
----
2 txns

calls
b: start_transaction
b: keyed_rewrite p=1 key=1 data=1-later
b: commit_transaction
----
ok
ok
ok

ship 2 1
----
1 txns

calls
a: commit_transaction
a: keyed_read p=1 key=2
a: abort_transaction
a: keyed_read p=1 key=2
a: start_transaction
a: keyed_rewrite p=1 key=2 data=2-in-txn
a: commit_transaction
----
e$tp_aborted
e$tp_aborted
ok
ok "2-anew"
ok
ok
ok

# So is one that only read.
calls
a: start_transaction
a: keyed_read p=1 key=2
----
ok
ok "2-in-txn"

ship 1 2
----
1 txns

calls
b: start_transaction
b: keyed_rewrite p=1 key=2 data=2-by-b-again
b: commit_transaction
----
ok
ok
ok

ship 2 1
----
1 txns

calls
a: commit_transaction
a: abort_transaction
----
e$tp_aborted
ok

# A conflict leaves both versions; the reader who saw both covers both.
ship 1 2
----
0 txns

calls
a: start_transaction
b: start_transaction
a: keyed_rewrite p=1 key=1 data=1-side-a
b: keyed_rewrite p=1 key=1 data=1-side-b
a: commit_transaction
b: commit_transaction
----
ok
ok
ok
ok
ok
ok

ship 1 2
----
1 txns

ship 2 1
----
1 txns

calls
a: keyed_read p=1 key=1
b: keyed_read p=1 key=1
a: start_transaction
a: keyed_rewrite p=1 key=1 data=1-settled
a: commit_transaction
----
ok "1-side-b"
ok "1-side-b"
ok
ok
ok

ship 1 2
----
1 txns

calls
b: keyed_read p=1 key=1
----
ok "1-settled"

counts 1
----
f 2 records 21 bytes

counts 2
----
f 2 records 21 bytes
