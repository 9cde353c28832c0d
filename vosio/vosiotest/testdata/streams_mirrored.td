# Appends of two modules merge in the order of their births, at both alike.
program a 1
----

program b 2
----

calls
a: create_file path=%s#d>main>t org=stream
a: openpath path=%s#d>main>t io=update lock=implicit access=seq
a: seq_write p=1 data=a1
----
ok
ok port 1
ok

ship 1 2
----
2 txns

calls
b: openpath path=%s#d>main>t io=update lock=implicit access=seq
b: seq_write p=1 data=b1
a: seq_write p=1 data=a2
b: seq_write p=1 data=b2
a: read_raw p=1
----
ok port 1
ok
ok
ok
e$end_of_file

ship 1 2
----
1 txns

ship 2 1
----
2 txns

calls
a: seq_position p=1 type=beginning
a: all p=1
b: seq_position p=1 type=beginning
b: all p=1
----
ok
a1 b1 a2 b2 end
ok
a1 b1 a2 b2 end

# Both write in the middle at once: one is shown, the other kept under a name
# that both compute. What was appended meanwhile follows.
calls
a: seq_position p=1 type=beginning
a: write_raw p=1 data=AA
b: seq_position p=1 type=end
b: seq_position p=1 type=backward count=3
b: write_raw p=1 data=BB
b: seq_write p=1 data=b3
a: seq_write p=1 data=a3
----
ok
ok
ok
ok
ok
ok
ok

ship 1 2
----
2 txns

ship 2 1
----
2 txns

calls
a: seq_position p=1 type=beginning
a: all p=1
b: seq_position p=1 type=beginning
b: all p=1
a: drmesh$list path=%s#d>main>*
b: drmesh$list path=%s#d>main>*
----
ok
a1 b1 a2 BB b3 a3 end
ok
a1 b1 a2 BB b3 a3 end
ok %s#d>main>t %s#d>main>t.a79222cf
ok %s#d>main>t %s#d>main>t.a79222cf

calls
a: openpath path=%s#d>main>t.a79222cf io=input lock=implicit access=seq
a: all p=2
b: openpath path=%s#d>main>t.a79222cf io=update lock=implicit access=seq
b: rename path=%s#d>main>t.a79222cf to=other
b: copy_file path=%s#d>main>t.a79222cf to=%s#d>main>saved
b: openpath path=%s#d>main>saved io=input lock=implicit access=seq
b: all p=2
----
ok port 2
AA b1 a2 b2 end
e$no_access
e$no_access
ok
ok port 2
AA b1 a2 b2 end

# A later write of either covers it; it is kept still, until it is deleted.
calls
a: seq_position p=1 type=beginning
a: write_raw p=1 data=zz
a: seq_position p=1 type=beginning
a: all p=1
a: drmesh$list path=%s#d>main>t*
a: seq_position p=2 type=beginning
a: all p=2
----
ok
ok
ok
zz b1 a2 BB b3 a3 end
ok %s#d>main>t %s#d>main>t.a79222cf
ok
AA b1 a2 b2 end

ship 1 2
----
1 txns

calls
b: seq_position p=1 type=beginning
b: all p=1
b: drmesh$list path=%s#d>main>t*
b: delete_file path=%s#d>main>t.a79222cf
b: drmesh$list path=%s#d>main>t*
b: seq_position p=1 type=beginning
b: all p=1
----
ok
zz b1 a2 BB b3 a3 end
ok %s#d>main>t %s#d>main>t.a79222cf
ok
ok %s#d>main>t
ok
zz b1 a2 BB b3 a3 end

ship 2 1
----
4 txns

# A truncate removes what was there; an append that nobody had seen stays.
calls
a: drmesh$list path=%s#d>main>*
a: close p=2
a: close p=1
a: truncate_file path=%s#d>main>t
b: seq_write p=1 data=late
----
ok %s#d>main>saved %s#d>main>t
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
a: openpath path=%s#d>main>t io=update lock=implicit access=seq
a: all p=3
b: seq_position p=1 type=beginning
b: all p=1
----
ok port 3
late end
ok
late end

counts 1
----
saved 1 records 12 bytes
t 1 records 5 bytes

counts 2
----
saved 1 records 12 bytes
t 1 records 5 bytes
