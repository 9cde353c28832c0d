# File locks of s$open and record locks of calls.
program a
----

program b
----

calls
a: create_file path=%s#d>main>f org=sequential
a: openpath path=%s#d>main>f io=update lock=set access=seq
b: openpath path=%s#d>main>f io=update lock=set access=seq
b: openpath path=%s#d>main>f io=input lock=set access=seq
b: openpath path=%s#d>main>f io=update lock=implicit access=seq
b: openpath path=%s#d>main>f io=input lock=wait access=seq nowait
b: openpath path=%s#d>main>f io=dirty lock=set access=seq
b: delete_file path=%s#d>main>f
b: truncate_file path=%s#d>main>f
b: rename path=%s#d>main>f to=g
----
ok
ok port 1
e$file_in_use
e$file_in_use
e$file_in_use
e$caller_must_wait
ok port 1
e$file_in_use
e$file_in_use
e$file_in_use

# WAIT_FOR_LOCK waits; the close of the other lets it go on.
calls
b: attach_port path=%s#d>main>f
b& open p=2 io=update lock=wait access=seq
a: seq_write p=1 data=one
a: close p=1
b: .
b: all p=2
a: open p=1 io=input lock=set access=seq
----
ok port 2
b waits
ok
ok
ok
one end
e$file_in_use

# The death of a program gives its locks to who waits.
calls
a& open p=1 io=input lock=wait access=seq
----
a waits

end b
----

calls
a: .
a: seq_read p=1
----
ok
ok "one"

# Readers go together.
program b
----

calls
b: openpath path=%s#d>main>f io=input lock=set access=seq
b: openpath path=%s#d>main>f io=update lock=set access=seq
b: seq_read p=1
a: close p=1
b: close p=1
----
ok port 1
e$file_in_use
ok "one"
ok
ok

# Implicit locking: many may write at once.
calls
a: open p=1 io=update lock=implicit access=seq
b: open p=1 io=update lock=implicit access=seq
a: seq_read p=1
b: seq_read p=1
a: seq_rewrite p=1 data=A
b: seq_rewrite p=1 data=B
a: seq_position p=1 type=beginning
a: all p=1
----
ok
ok
ok "one"
ok "one"
ok
ok
ok
B end

# A file with implicit locking is opened so whatever is asked.
calls
a: create_file path=%s#d>main>out org=sequential
a: set_implicit_locking path=%s#d>main>out sw=1
a: openpath path=%s#d>main>out io=output lock=set access=seq
b: openpath path=%s#d>main>out io=input lock=set access=seq
a: seq_write p=2 data=seen
b: seq_read p=2
----
ok
ok
ok port 2
ok port 2
ok
ok "seen"
