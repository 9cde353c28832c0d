# A unique value that is no identity key, taken at two modules: the oldest
# record has the index entry, the other's is withheld, alike at both.
program a 1
----

program b 2
----

calls
a: create_file path=%s#d>main>f org=sequential
a: create_index path=%s#d>main>f name=id parts=1,1
a: create_index path=%s#d>main>f name=email parts=2,1
a: openpath path=%s#d>main>f io=update lock=implicit access=indexed index=email
----
ok
ok
ok
ok port 1

ship 1 2
----
3 txns

calls
b: openpath path=%s#d>main>f io=update lock=implicit access=indexed index=email
a: keyed_write p=1 data=1x-older
b: keyed_write p=1 data=2x-younger
----
ok port 1
ok
ok

ship 1 2
----
1 txns

ship 2 1
----
1 txns

withheld 1
----
f email "x" of key "2"

withheld 2
----
f email "x" of key "2"

calls
a: keyed_read p=1 key=x
b: keyed_read p=1 key=x
a: keyed_read p=1 index=id key=2
b: keyed_read p=1 index=id key=2
b: seq_rewrite p=1 data=2x-changed
b: keyed_read p=1 key=x
a: keyed_write p=1 data=3x
b: keyed_write p=1 data=3x
----
ok "1x-older"
ok "1x-older"
ok "2x-younger"
ok "2x-younger"
ok
ok "1x-older"
e$invalid_duplicate_key
e$invalid_duplicate_key

ship 2 1
----
1 txns

# The holder goes: the other has its entry.
calls
a: keyed_read p=1 key=x
a: keyed_delete p=1 key=x
a: keyed_read p=1 key=x
----
ok "1x-older"
ok
ok "2x-changed"

ship 1 2
----
1 txns

withheld 1
----

withheld 2
----

calls
b: keyed_read p=1 key=x
a: keyed_write p=1 data=4x
----
ok "2x-changed"
e$invalid_duplicate_key

# Files of one name made at two modules are one file.
calls
a: create_file path=%s#d>main>daily org=sequential
b: create_file path=%s#d>main>daily org=sequential
a: seq_open path=%s#d>main>daily io=append
b: seq_open path=%s#d>main>daily io=append
a: seq_write p=2 data=from-a
b: seq_write p=2 data=from-b
----
ok
ok
ok port 2
ok port 2
ok
ok

ship 1 2
----
2 txns

ship 2 1
----
2 txns

calls
a: close p=2
a: open p=2 io=input lock=implicit access=seq
a: all p=2
b: close p=2
b: open p=2 io=input lock=implicit access=seq
b: all p=2
----
ok
ok
from-a from-b end
ok
ok
from-a from-b end
