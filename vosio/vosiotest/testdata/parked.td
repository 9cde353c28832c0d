# What cannot be shown at a module is parked there, and comes when the reason
# goes.
program a 1
----

program b 2
----

calls
a: drmesh$create_dir path=%s#d>main>dir
a: create_file path=%s#d>main>dir>f org=sequential
a: create_index path=%s#d>main>dir>f name=id parts=1,1
a: openpath path=%s#d>main>dir>f io=update lock=implicit access=indexed index=id
a: keyed_write p=1 data=1x
----
ok
ok
ok
ok port 1
ok

ship 1 2
----
4 txns

# An index of module 2 alone refuses a record of module 1.
calls
b: create_index path=%s#d>main>dir>f name=second parts=2,1 sw=here
a: keyed_write p=1 data=2x
a: keyed_write p=1 data=3y
----
ok
ok
ok

ship 1 2
----
2 txns

parked 2
----
dir>f key "2": index second of this module alone has the key "x" already

counts 1
----
dir>f 3 records 6 bytes

counts 2
----
dir>f 2 records 6 bytes

calls
b: openpath path=%s#d>main>dir>f io=update lock=implicit access=indexed index=id
b: all p=1
b: keyed_read p=1 key=2
b: keyed_read p=1 index=second key=x
b: keyed_rewrite p=1 key=2 data=2z
b: keyed_write p=1 data=2z
b: keyed_write p=1 data=4x
----
ok port 1
1x 3y end
e$record_not_found
ok "1x"
e$record_not_found
e$invalid_duplicate_key
e$invalid_duplicate_key

# The record in its way is changed: it comes.
calls
b: keyed_rewrite p=1 key=1 data=1w
b: seq_position p=1 type=beginning
b: all p=1
----
ok
ok
1w 2x 3y end

parked 2
----

# Again, and now the index goes.
calls
a: keyed_write p=1 data=5y
----
ok

ship 1 2
----
1 txns

parked 2
----
dir>f key "5": index second of this module alone has the key "y" already

calls
b: drmesh$delete_local_index path=%s#d>main>dir>f name=second
b: seq_position p=1 type=beginning
b: all p=1
----
ok
ok
1w 2x 3y 5y end

parked 2
----

# A directory was removed at module 2: files in it have no place there.
calls
b: drmesh$remove_dir_here path=%s#d>main>dir
a: create_file path=%s#d>main>dir>g org=sequential
a: seq_open path=%s#d>main>dir>g io=output
a: seq_write p=2 data=here
----
ok
ok
ok port 2
ok

ship 1 2
----
2 txns

parked 2
----
dir>g claim: directory dir does not stand here
dir>f claim: directory dir does not stand here

calls
b: drmesh$status path=%s#d>main>dir>g
b: drmesh$list path=%s#d>main>dir>*
b: drmesh$list path=%s#d>main>*
b: drmesh$restore_dir_here path=%s#d>main>dir
b: seq_open path=%s#d>main>dir>g io=input
b: all p=2
b: drmesh$list path=%s#d>main>dir>*
----
e$object_not_found
ok
ok
ok
ok port 2
here end
ok %s#d>main>dir>f %s#d>main>dir>g

parked 2
----
