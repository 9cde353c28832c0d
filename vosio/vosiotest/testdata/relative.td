# Files of numbered records.
program a
----

calls
a: create_file path=%s#d>main>r org=relative size=8
a: create_file path=%s#d>main>bad org=relative size=0
a: create_file path=%s#d>main>bad org=fixed size=40000
a: openpath path=%s#d>main>r io=update lock=implicit access=random
a: rel_write p=1 n=0 data=one
a: rel_write p=1 n=5 data=five
a: rel_write p=1 n=0 data=six
a: rel_write p=1 n=5 data=again
a: rel_write p=1 n=-1 data=x
a: rel_write p=1 n=7 data=123456789
a: seq_write p=1 data=seven
----
ok
e$invalid_record_size
e$invalid_record_size
ok port 1
ok number 1
ok number 5
ok number 6
e$record_already_exists
e$invalid_record_number
e$record_too_long
ok number 7

calls
a: rel_read p=1 n=5
a: seq_read p=1
a: rel_read p=1 n=3
a: rel_read p=1 n=8
a: rel_read p=1 n=0
a: rel_position p=1 n=0
a: seq_read p=1
a: seq_read p=1
a: rel_position p=1 n=6
a: seq_read p=1
a: rel_position p=1 n=2
a: rel_position_read p=1 n=2
a: rel_position_read p=1 n=8
----
ok "five" number 5
ok "six" number 6
e$record_not_found
e$end_of_file
e$invalid_record_number
ok
ok "one" number 1
ok "five" number 5
ok
ok "six" number 6
e$record_not_found
ok "five" number 5
e$end_of_file

# Empty slots are skipped and not counted.
calls
a: rel_position p=1 n=1
a: seq_position p=1 type=forward count=1
a: seq_read p=1
a: seq_position p=1 type=backward count=1
a: seq_read p=1
----
ok
ok
ok "five" number 5
ok
ok "one" number 1

calls
a: rel_rewrite p=1 n=5 data=FIVE
a: rel_rewrite p=1 n=4 data=x
a: rel_delete p=1 n=5
a: rel_delete p=1 n=5
a: seq_read p=1
a: rel_write p=1 n=3 data=three
a: rel_position_rewrite p=1 n=2 data=THREE
a: rel_position_delete p=1 n=2
a: rel_position_delete p=1 n=99
a: rel_position p=1 n=0
a: all p=1
----
ok
e$record_not_found
ok
e$record_not_found
ok "six" number 6
ok number 3
ok
ok
e$end_of_file
ok
one six seven end

# The highest number goes, and is given again.
calls
a: rel_delete p=1 n=7
a: seq_write p=1 data=new7
a: rel_read p=1 n=7
----
ok
ok number 7
ok "new7" number 7

# Fixed: exact length, no deletes, no gaps.
calls
a: create_file path=%s#d>main>x org=fixed size=4
a: openpath path=%s#d>main>x io=update lock=implicit access=random
a: seq_write p=2 data=aaaa
a: seq_write p=2 data=bbb
a: seq_write p=2 data=bbbbb
a: rel_write p=2 n=3 data=cccc
a: rel_write p=2 n=2 data=bbbb
a: rel_delete p=2 n=1
a: seq_position p=2 type=beginning
a: seq_read p=2
a: seq_delete p=2
a: seq_rewrite p=2 data=AAAA
a: rel_rewrite p=2 n=2 data=BB
a: rel_position p=2 n=0
a: all p=2
----
ok
ok port 2
ok number 1
e$record_too_long
e$record_too_long
e$invalid_record_number
ok number 2
e$invalid_file_type
ok
ok "aaaa" number 1
e$invalid_file_type
ok
e$record_too_long
ok
AAAA bbbb end

# Not on a sequential file; reads need a port opened for it.
calls
a: create_file path=%s#d>main>s org=sequential
a: openpath path=%s#d>main>s io=update lock=implicit access=random
a: rel_read p=3 n=1
a: rel_write p=3 n=0 data=x
a: openpath path=%s#d>main>r io=append lock=implicit access=random
a: rel_read p=4 n=1
a: rel_rewrite p=4 n=1 data=x
a: rel_write p=4 n=0 data=eight
a: openpath path=%s#d>main>r io=input lock=implicit access=random
a: rel_write p=5 n=0 data=x
a: rel_delete p=5 n=1
----
ok
ok port 3
e$invalid_file_type
e$invalid_file_type
ok port 4
e$invalid_io_type
e$invalid_io_type
ok number 8
ok port 5
e$invalid_io_type
e$invalid_io_type

# With an index, numbers and keys go together.
calls
a: create_file path=%s#d>main>rk org=relative size=20
a: create_index path=%s#d>main>rk name=id parts=1,2
a: openpath path=%s#d>main>rk io=update lock=implicit access=indexed index=id
a: rel_write p=6 n=4 data=bb-four
a: rel_write p=6 n=0 data=aa-five
a: rel_write p=6 n=1 data=aa-dup
a: keyed_read p=6 key=bb
a: rel_rewrite p=6 n=4 data=aa-clash
a: rel_rewrite p=6 n=4 data=cc-four
a: keyed_read p=6 key=bb
a: keyed_read p=6 key=cc
a: rel_read p=6 n=4
----
ok
ok
ok port 6
ok number 4
ok number 5
e$invalid_duplicate_key
ok "bb-four" number 4
e$invalid_duplicate_key
ok
e$record_not_found
ok "cc-four" number 4
ok "cc-four" number 4
