# A leaf has a limit, which its token gives; 30 days if that says nothing.
mesh
%a#m1 %b#m1
----
2 members

do
token k1 leaf 10000
token k2 leaf 0
token k3 member 10000
token k4 leaf -1
token k5 leaf 999999999999999
admit k1 %l#m1 5000
admit k2 %k#m1 5000
serve %l#m1
serve %k#m1
----
token k1 leaf 10000: ok
token k2 leaf 0: ok
token k3 member 10000: token k3: malformed command: only a leaf has a limit
token k4 leaf -1: token k4: malformed command: a leaf's limit is 1 to 315360000000 ms
token k5 leaf 999999999999999: token k5: malformed command: a leaf's limit is 1 to 315360000000 ms
admit k1 %l#m1 5000: ok
admit k2 %k#m1 5000: ok
serve %l#m1: ok
serve %k#m1: ok

ask
leaves
voters
----
leaves: %l#m1=3 member limit 10000 heard 5000; %k#m1=4 member limit 2592000000 heard 5000;
voters: %a#m1

# It owns no group, and no chain goes over it; what it writes goes out.
check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
 =group          ledger
/=record_type    group
 =group          ledger
 =mode           owned
 =owner          %l#m1
----
tin refused
line 9: owner: %l#m1 is a leaf: it owns no group

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
/=record_type    module
 =module         %a#m1
 =peers          '%l#m1 %k#m1'
----
tin refused
line 1: to_modules: no chain of linked modules that have the group main leads from %a#m1 to %b#m1

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
----
+ share main: group main, sync, directory %a#d01>data
+   at %a#m1: %a#d01>data
+   at %b#m1: %b#d01>data
+   at %l#m1: %l#d01>data
+   at %k#m1: %k#d01>data
+ include main:* for *
+ route main: from * to *
epoch 1

ask
originate main %l#m1
donors main %b#m1
carries %l#m1 %l#m1
carries %l#m1 %a#m1
carries %b#m1 %a#m1
----
originate main %l#m1: true incarnation 1
donors main %b#m1: [%a#m1]
carries %l#m1 %l#m1: true
carries %l#m1 %a#m1: false
carries %b#m1 %a#m1: true

# Who hears of it says so. What is said late takes nothing back, and nobody
# hears the future.
do
heard %l#m1 7000 7100
heard %l#m1 6000 7200
heard %l#m1 9000 7200
heard %b#m1 7000 7200
----
heard %l#m1 7000 7100: ok
heard %l#m1 6000 7200: ok
heard %l#m1 9000 7200: %l#m1: malformed command: a leaf heard of at 9000, which is said at 7200
heard %b#m1 7000 7200: %b#m1: malformed command: a member heard of at 7000, which is said at 7200

ask
leaves
----
leaves: %l#m1=3 member limit 10000 heard 7000; %k#m1=4 member limit 2592000000 heard 5000;

# It is removed for silence only if nobody heard of it since. Members have no limit.
do
silent %l#m1 6500
silent %b#m1 7000
silent %l#m1 7000
----
silent %l#m1 6500: %l#m1: it was heard of: at 7000, and not last at 6500
silent %b#m1 7000: %b#m1: malformed command: only a leaf is removed for not being heard
silent %l#m1 7000: ok

# What the leaf that stays may have alone of one that goes is taken from it.
ask
leaves
carries %k#m1 %l#m1
carries %k#m1 %a#m1
----
leaves: %l#m1=3 leaving limit 10000 heard 7000; %k#m1=4 member limit 2592000000 heard 5000;
carries %k#m1 %l#m1: true
carries %k#m1 %a#m1: false

do
report %a#m1 %l#m1
report %b#m1 %l#m1
report %k#m1 %l#m1
----
report %a#m1 %l#m1: ok
report %b#m1 %l#m1: ok
report %k#m1 %l#m1: ok

# It may join again, under its name, as somebody else.
do
token k6 leaf 20000
admit k6 %l#m1 8000
----
token k6 leaf 20000: ok
admit k6 %l#m1 8000: ok

ask
leaves
----
leaves: %l#m1=3 removed limit 10000 heard 7000; %k#m1=4 member limit 2592000000 heard 5000; %l#m1=5 joining limit 20000 heard 8000;
