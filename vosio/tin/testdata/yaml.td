parse
# a list of maps
- record_type: include
  process_name: '*'
  source_path: '%east#d01>data>*'
  from_modules: ['%east#*', '%west#m1']
  interval_ms: 010
  before_images: yes
  text: |
    one line
  nothing:
  empty: ''
  hex: 0x10
  null_text: ~

- {record_type: map, share: main}
----
yaml
record 2
  2 record_type="include"
  3 process_name="*"
  4 source_path="%east#d01>data>*"
  5 from_modules="%east#* %west#m1"
  6 interval_ms="010"
  7 before_images="yes"
  8 text="one line"
  10 nothing=""
  11 empty=""
  12 hex="0x10"
  13 null_text=""
record 15
  15 record_type="map"
  15 share="main"

parse
- a: 1
  a: 2
----
yaml
refused:
line 2: not YAML: mapping key "a" already defined at [1:3] (a value with a star or a percent sign first needs quotes)

parse
- a: *
----
yaml
refused:
line 1: not YAML: undefined alias name (a value with a star or a percent sign first needs quotes)

parse
- a: {b: c}
- [x]
- a-b: 1
- ok: &x 1
- a: *x
- a: "two\nlines"
----
yaml
refused:
line 1: a: a value is plain text or a list of plain texts
line 2: a record is a map of field names to values
line 3: a-b: a field's name holds letters, digits, _ and $ only, not '-'
line 4: ok: anchors and aliases have no meaning here; a value with a star or an ampersand first needs quotes
line 5: a: anchors and aliases have no meaning here; a value with a star or an ampersand first needs quotes
line 6: a: the value holds the control character '\n'

parse
a: 1
----
yaml
refused:
line 1: a table in YAML is a list of maps; a table in TIN begins with /

parse
- a: [1
----
yaml
refused:
line 1: not YAML: sequence end token ']' not found (a value with a star or a percent sign first needs quotes)

parse
- a: 1
   b: 2
----
yaml
refused:
line 1: not YAML: mapping value is not allowed in this context (a value with a star or a percent sign first needs quotes)

parse
# nothing at all
----
yaml
nothing

parse
- source_path: %east#d01>data>*
----
yaml
refused:
line 1: not YAML: unexpected directive value. document not started (a value with a star or a percent sign first needs quotes)

write
- record_type: include
  process_name: '*'
  list: [a, b]
----
/=record_type      include
 =process_name     *
 =list             a b
