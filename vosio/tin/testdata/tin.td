# Records, free blanks, comments, quotes.
parse
/* the tables of the north */
/=record_type    GLOBAL_SETTINGS
 =tcp_host       192.0.2.7   /* the other side */
 =Max_Buffer_Len	8192

/   = record_type     PRIMARY
=run_on_module        (current_module)
   =text  'it''s, /* not */ a comment  '   /* this
   is one */
 =empty
 =odd    a 'b' c
----
tin
record 2
  2 record_type="GLOBAL_SETTINGS"
  3 tcp_host="192.0.2.7"
  4 max_buffer_len="8192"
record 6
  6 record_type="PRIMARY"
  7 run_on_module="(current_module)"
  8 text="it's, /* not */ a comment  "
  10 empty=""
  11 odd="a 'b' c"

# The manual leaves a parenthesis out.
parse
/=record_type  BACKUP
 =run_on_module  current_module)
 =other  (current_module
 =as_is  'current_module)'
----
tin
warning: line 2: run_on_module: "current_module)" is read as (current_module)
warning: line 3: other: "(current_module" is read as (current_module)
record 1
  1 record_type="BACKUP"
  2 run_on_module="(current_module)"
  3 other="(current_module)"
  4 as_is="current_module)"

# A slash may stand alone; a text may be empty.
parse
/
 =a 1
/
----
tin
record 1
  2 a="1"
record 3

parse
/* only a comment */
----
tin
nothing

# All problems, each with its line.
parse
/ =first 1
=first 2
words
 =b 'open
 =c 'closed' more
 = 
 =d-e 1
 =e one /* c */ two
/=f 1 /* no end
----
tin
refused:
line 2: first: the record has this field already, on line 1
line 3: a line begins with / (a new record) or = (a field), not with "words"
line 4: b: the quoted value does not end on its line
line 5: c: text after the quoted value (inside quotes '' stands for one ')
line 6: a field needs a name
line 7: d-e: a field's name holds letters, digits, _ and $ only, not '-'
line 8: e: text after the comment: a value ends where its comment begins
line 9: the comment that begins here does not end

write
/=Record_Type    include /* x */
=a_rather_long_field_name_here  'plain'
=b '  kept '
=c
/
=d 'a /* b'
=e 'it''s'
=f '''q'
=g '(x'
----
----
/=record_type                   include
 =a_rather_long_field_name_here plain
 =b                             '  kept '
 =c

/=d                'a /* b'
 =e                it's
 =f                '''q'
 =g                '(x'
----
----
