# A directory that was restored renews its module: the streams end where
# somebody has them, and it goes on under the next incarnations.
mesh
%a#m1 %b#m1 %c#m1
----
3 members

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
/=record_type    include
 =share_name     stock
 =process_name   *
 =source_path    %a#d01>stock>*
 =group          ledger
/=record_type    group
 =group          ledger
 =mode           owned
 =owner          %b#m1
----
+ share main: group main, sync, directory %a#d01>data
+   at %a#m1: %a#d01>data
+   at %b#m1: %b#d01>data
+   at %c#m1: %c#d01>data
+ share stock: group ledger, sync, directory %a#d01>stock
+   at %a#m1: %a#d01>stock
+   at %b#m1: %b#d01>stock
+   at %c#m1: %c#d01>stock
+ include main:* for *
+ include stock:* for *
+ group ledger: one module at a time writes it; first %b#m1
+ route ledger: from * to *
+ route main: from * to *
epoch 1

do
renew %a#m1 - one
renew %a#m1 - one
renew %a#m1 - other
renew %a#m1 one two
renew %a#m1 - -
report %b#m1 %a#m1 155
report %c#m1 %a#m1 151
----
renew %a#m1 - one: ok
renew %a#m1 - one: ok
renew %a#m1 - other: %a#m1: another directory of the module is at work: another directory of it renews itself
renew %a#m1 one two: %a#m1: another directory of the module is at work: another directory of it writes now
renew %a#m1 - -: %a#m1: malformed command: a new instance has 16 random bytes
report %b#m1 %a#m1 155: ok
report %c#m1 %a#m1 151: ok

ask
writes %a#m1
----
writes %a#m1: ledger.1 main.1 member

do
report %a#m1 %a#m1 100
----
report %a#m1 %a#m1 100: ok

ask
writes %a#m1
voters
----
writes %a#m1: ledger.2 main.2 ledger.1 ended at 155 main.1 ended at 0 member
voters: %a#m1 %b#m1 %c#m1

# The directory that it was restored from is not the one that writes now, and
# may only ask in turn.
do
renew %a#m1 - two
keep %a#m1 - -
keep %a#m1 one one
renew %a#m1 one two
keep %a#m1 one two
keep %a#m1 one one
report %b#m1 %a#m1 5
----
renew %a#m1 - two: %a#m1: another directory of the module is at work: another directory of it writes now
keep %a#m1 - -: %a#m1: another directory of the module is at work: another directory of it writes now
keep %a#m1 one one: %a#m1: malformed command: no renewal is under way that its directory could drop
renew %a#m1 one two: ok
keep %a#m1 one two: %a#m1: malformed command: no renewal is under way that its directory could drop
keep %a#m1 one one: ok
report %b#m1 %a#m1 5: module 1: module is not leaving

ask
writes %a#m1
----
writes %a#m1: ledger.2 main.2 ledger.1 ended at 155 main.1 ended at 0 member

# What a group's owner writes ends with a change of owner alone.
do
renew %b#m1 - three
report %a#m1 %b#m1 7
report %c#m1 %b#m1 9
report %b#m1 %b#m1 9
----
renew %b#m1 - three: ok
report %a#m1 %b#m1 7: ok
report %c#m1 %b#m1 9: ok
report %b#m1 %b#m1 9: ok

ask
writes %b#m1
----
writes %b#m1: ledger.1 main.2 main.1 ended at 0 member

# A renewal that does not come to its end is turned into a removal.
do
renew %c#m1 - four
report %a#m1 %c#m1 3
leave %c#m1
report %b#m1 %c#m1 2
report %c#m1 %c#m1 3
renew %c#m1 - five
----
renew %c#m1 - four: ok
report %a#m1 %c#m1 3: ok
leave %c#m1: ok
report %b#m1 %c#m1 2: ok
report %c#m1 %c#m1 3: ok
renew %c#m1 - five: module 3: no such member

ask
writes %c#m1
----
writes %c#m1: ledger.1 main.1 ledger.1 ended at 3 main.1 ended at 0 left
