# Two modules number a file's records alike, whoever wrote them in between, and
# neither writes into the holes of the other's records.
program a 1
----

program b 2
----

calls
a: create_file path=%s#d>main>s
a: create_record_index path=%s#d>main>s
a: create_deleted_record_index path=%s#d>main>s
a: openpath path=%s#d>main>s io=update lock=implicit access=random
a: seq_write p=1 data=a1
a: seq_write p=1 data=a2
----
ok
ok
ok
ok port 1
ok
ok

ship 1 2
----
5 txns

calls
b: openpath path=%s#d>main>s io=update lock=implicit access=random
b: seq_write p=1 data=b1
a: seq_write p=1 data=a3
b: seq_write p=1 data=b2
a: rel_read p=1 n=3
b: rel_read p=1 n=3
----
ok port 1
ok
ok
ok
ok "a3" number 3
ok "b1" number 3

ship 1 2
----
1 txns

ship 2 1
----
2 txns

calls
a: rel_position p=1 n=0
a: all p=1
a: rel_read p=1 n=4
b: rel_read p=1 n=4
b: rel_delete p=1 n=1
b: rel_delete p=1 n=3
b: rel_write p=1 n=0 data=x
b: seq_write p=1 data=b3
b: rel_read p=1 n=3
b: rel_read p=1 n=1
----
ok
a1 a2 b1 a3 b2 end
ok "a3" number 4
ok "a3" number 4
ok
ok
e$invalid_file_type
ok
ok "b3" number 3
e$record_not_found

ship 2 1
----
3 txns

calls
a: seq_write p=1 data=a4
a: seq_write p=1 data=a5
a: rel_position p=1 n=0
a: all p=1
a: rel_read p=1 n=6
----
ok
ok
ok
a4 a2 b3 a3 b2 a5 end
ok "a5" number 6
