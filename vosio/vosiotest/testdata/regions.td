# Region locks: ranges of record numbers. They bind who uses them.
program a
----

program b
----

calls
a: create_file path=%s#d>main>r org=relative size=20
a: openpath path=%s#d>main>r io=update lock=implicit access=random
b: openpath path=%s#d>main>r io=update lock=implicit access=random
a: rel_write p=1 n=1 data=one
a: rel_write p=1 n=2 data=two
a: rel_write p=1 n=3 data=three
a: lock_region p=1 n=0 count=1 lock=read
a: lock_region p=1 n=1 count=-1 lock=read
a: lock_region p=1 n=1 count=1 lock=3
a: lock_region p=1 n=1 count=3 lock=read
b: lock_region p=1 n=2 count=1 lock=read
b: lock_region p=1 n=3 count=1 lock=write
b: lock_region p=1 n=3 count=1 lock=write nowait
b: lock_region p=1 n=4 lock=write
a: lock_region p=1 n=4 count=1 lock=read
a: lock_region p=1 n=3 count=1 lock=0
b: lock_region p=1 n=3 count=1 lock=write
b: rel_rewrite p=1 n=1 data=ONE
a: rel_rewrite p=1 n=3 data=THREE
----
ok
ok port 1
ok port 1
ok number 1
ok number 2
ok number 3
e$invalid_record_number
e$invalid_control_operation
e$invalid_control_operation
ok
ok
e$region_in_use
e$caller_must_wait
ok
e$region_in_use
ok
ok
ok
ok

# Enforced, they keep other ports' I/O out: b has 3 and all behind it, and 2 to
# read; a has 1 and 2 to read.
calls
a: enforce_region_locks path=%s#d>main>r sw=1
a: rel_read p=1 n=3
a: rel_rewrite p=1 n=2 data=x
a: rel_read p=1 n=2
a: rel_read p=1 n=1
a: rel_rewrite p=1 n=1 data=one
a: seq_write p=1 data=next
a: rel_write p=1 n=9 data=nine
b: rel_write p=1 n=9 data=nine
b: seq_write p=1 data=ten
b: rel_rewrite p=1 n=1 data=x
a: openpath path=%s#d>main>r io=dirty lock=none access=seq
a: all p=2
a: detach_port p=2
a: openpath path=%s#d>main>r io=input lock=implicit access=seq
a: seq_read p=2
a: seq_read p=2
a: seq_read p=2
b: close p=1
a: seq_read p=2
a: seq_write p=1 data=eleven
a: enforce_region_locks path=%s#d>main>r sw=0
----
ok
e$region_in_use
e$region_in_use
ok "two" number 2
ok "ONE" number 1
ok
e$region_in_use
e$region_in_use
ok number 9
ok number 10
e$region_in_use
ok port 2
one two THREE nine ten end
ok
ok port 2
ok "one" number 1
ok "two" number 2
e$region_in_use
ok
ok "THREE" number 3
ok number 11
ok

# They go with the program, too, and only with files of numbers they are
# enforced.
calls
a: lock_region p=1 n=1 lock=write
b: open p=1 io=update lock=implicit access=random
b: lock_region p=1 n=5 count=1 lock=read
----
ok
ok
e$region_in_use

end a
----

calls
b: lock_region p=1 n=5 count=1 lock=read
b: create_file path=%s#d>main>s org=sequential
b: enforce_region_locks path=%s#d>main>s sw=1
b: enforce_region_locks path=%s#d>main>none sw=1
b: openpath path=%s#d>main>s io=update lock=implicit access=seq
b: lock_region p=2 n=1 lock=write
b: lock_region p=3 n=1 lock=write
----
ok
ok
e$invalid_file_type
e$object_not_found
ok port 2
ok
e$invalid_port_number
