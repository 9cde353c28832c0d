# Numbers of new records are leased to modules in extents.
mesh
%a#m1 %b#m1 %c#m1
----
3 members

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
----
+ share main: group main, sync, directory %a#d01>data
+   at %a#m1: %a#d01>data
+   at %b#m1: %b#d01>data
+   at %c#m1: %c#d01>data
+ include main:* for *
+ route main: from * to *
epoch 1

do
lease %a#m1 main one 1 0
lease %b#m1 main one 1 0
lease %a#m1 main one 1 0
lease %a#m1 main one 1 0
lease %c#m1 main one 2 0
lease %c#m1 none one 1 0
lease %c#m1 main one 1 9000000
lease %b#m1 main two 1 1073741800
lease %c#m1 main two 1 1073741800
----
lease %a#m1 main one 1 0: ok
lease %b#m1 main one 1 0: ok
lease %a#m1 main one 1 0: ok
lease %a#m1 main one 1 0: ok
lease %c#m1 main one 2 0: %c#m1: the stream has ended: it writes the group main under another incarnation
lease %c#m1 none one 1 0: %c#m1: malformed command: a lease of numbers that names no file or group
lease %c#m1 main one 1 9000000: ok
lease %b#m1 main two 1 1073741800: ok
lease %c#m1 main two 1 1073741800: %c#m1: too many: the file's numbers up to 1073741824 are leased

ask
extents
----
extents: 21b1.. 1073741801 to 1073741824: %b#m1.1
d6e1.. 4097 to 5120: %a#m1.1
d6e1.. 5121 to 6144: %b#m1.1
d6e1.. 6145 to 8192: %a#m1.1
d6e1.. 9000001 to 9001024: %c#m1.1

# A file that is gone has no more; neither has a module whose incarnation ended.
do
release %a#m1 main one 1 0
release %b#m1 main two 1 0
renew %b#m1 - one
report %a#m1 %b#m1 0
report %b#m1 %b#m1 0
report %c#m1 %b#m1 0
lease %b#m1 main one 2 0
----
release %a#m1 main one 1 0: ok
release %b#m1 main two 1 0: ok
renew %b#m1 - one: ok
report %a#m1 %b#m1 0: ok
report %b#m1 %b#m1 0: ok
report %c#m1 %b#m1 0: ok
lease %b#m1 main one 2 0: ok

ask
extents
----
extents: d6e1.. 5121 to 6144: module 0.0
d6e1.. 9000001 to 9001024: %c#m1.1
d6e1.. 9001025 to 9002048: %b#m1.2

do
release %c#m1 main one 1 0
release %b#m1 main one 2 0
----
release %c#m1 main one 1 0: ok
release %b#m1 main one 2 0: ok

ask
extents
----
extents: 
