# Modules that write a group beside its owner: p and q. What a or b write goes to
# all; what p writes goes to q and not to who may own the group.
mesh
%a#m1 %b#m1 %p#m1 %q#m1
----
4 members

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
 =group          ledger
/=record_type    group
 =group          ledger
 =mode           owned
 =owner          %p#m1
 =rank           %q#m1
 =supplementary  '%p* %q#m1 %r#m1'
----
tin refused
line 6: supplementary: %p#m1 cannot own the group ledger and be supplementary in it
line 6: supplementary: %q#m1 cannot own the group ledger and be supplementary in it
line 11: supplementary: no member matches %r#m1; members are: %a#m1 %b#m1 %p#m1 %q#m1

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
/=record_type    group
 =group          main
 =supplementary  %p#m1
 =on_rollback    stay
----
tin refused
line 7: supplementary: only a group with mode owned has one
line 8: on_rollback: only a group with mode owned has one

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
/=record_type    group
 =group          main
 =mode           owned
 =supplementary  *
----
tin refused
line 5: supplementary: no module is left that could own the group main

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
/=record_type    group
 =group          main
 =mode           owned
 =from_modules   '%a#m1 %b#m1'
 =to_modules     '%a#m1 %b#m1 %q#m1'
/=record_type    group
 =group          main
 =from_modules   %p#m1
 =to_modules     '%a#m1 %q#m1'
 =supplementary  '%p#m1 %q#m1'
----
tin refused
line 5: supplementary: no route of the group main leads from %a#m1, which may own it, to %p#m1
line 5: to_modules: %a#m1 may own the group main: what the supplementary %p#m1 writes cannot go there
line 5: supplementary: no route of the group main starts at %q#m1: it could not write

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
 =group          ledger
/=record_type    group
 =group          ledger
 =mode           owned
 =supplementary  '%p#m1 %q#m1'
 =on_rollback    stay
----
+ share main: group ledger, sync, directory %a#d01>data
+   at %a#m1: %a#d01>data
+   at %b#m1: %b#d01>data
+   at %p#m1: %p#d01>data
+   at %q#m1: %q#d01>data
+ include main:* for *
+ group ledger: one module at a time writes it; supplementary %p#m1 %q#m1; what these wrote after lost transactions stays
+ route ledger: from * to *
epoch 1

ask
terms
destinations ledger %a#m1
destinations ledger %p#m1
destinations ledger %q#m1
donors ledger %a#m1
donors ledger %p#m1
originate ledger %p#m1
----
terms: [ledger 1 %a#m1.1 from 0]
destinations ledger %a#m1: [%b#m1 %p#m1 %q#m1]
destinations ledger %p#m1: [%q#m1]
destinations ledger %q#m1: [%p#m1]
donors ledger %a#m1: [%b#m1]
donors ledger %p#m1: [%a#m1 %b#m1 %q#m1]
originate ledger %p#m1: true incarnation 1

# It cannot own the group; what it writes ends where its first txn follows what
# was lost, once, and goes on in the next incarnation.
do
begin s1 ledger 1 %p#m1
failover s2 ledger 1 %b#m1
end s2 %a#m1 1 97
beside %p#m1 ledger 1 38
beside %p#m1 ledger 1 38
beside %p#m1 ledger 1 37
beside %p#m1 ledger 3 1
beside %b#m1 ledger 1 1
----
begin s1 ledger 1 %p#m1: group ledger: cannot be owned so: no route starts at %p#m1, or it is supplementary
failover s2 ledger 1 %b#m1: ok
end s2 %a#m1 1 97: ok
beside %p#m1 ledger 1 38: ok
beside %p#m1 ledger 1 38: ok
beside %p#m1 ledger 1 37: group ledger: the stream has ended: the stream of %p#m1 ended at 38, not 37
beside %p#m1 ledger 3 1: group ledger: malformed command: %p#m1 does not write m3.3/g1
beside %b#m1 ledger 1 1: group ledger: malformed command: m2.1/g1 is not what a supplementary module writes

ask
terms
ends
originate ledger %p#m1
originate ledger %q#m1
----
terms: [ledger 1 %a#m1.1 from 0] [ledger 2 %b#m1.1 from 97]
ends: %a#m1.1/ledger:97 %p#m1.1/ledger:38
originate ledger %p#m1: true incarnation 2
originate ledger %q#m1: true incarnation 1

# It stays supplementary, and who has owned the group does not become so.
check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
 =group          ledger
/=record_type    group
 =group          ledger
 =mode           owned
 =supplementary  %q#m1
----
tin refused
line 6: supplementary: group ledger: %p#m1 has been supplementary: it stays so, or no route starts there

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
 =group          ledger
/=record_type    group
 =group          ledger
 =mode           owned
 =supplementary  '%p#m1 %q#m1 %a#m1'
----
tin refused
line 6: supplementary: group ledger: %a#m1 owns the group or has owned it: it cannot be supplementary

# A control log that begins anew does not end what it writes.
do
recover 0 77 %b#m1 %p#m1 %q#m1
----
recover 0 77 %b#m1 %p#m1 %q#m1: ok

ask
ends
originate ledger %p#m1
----
ends: %a#m1.1/ledger:97 %a#m1.2/ledger:0 %p#m1.1/ledger:38
originate ledger %p#m1: true incarnation 2

do
beside %p#m1 ledger 2 4
----
beside %p#m1 ledger 2 4: ok

ask
originate ledger %p#m1
base %p#m1 ledger 1
base %p#m1 ledger 2
base %p#m1 ledger 0
----
originate ledger %p#m1: true incarnation 487425
base %p#m1 ledger 1: 0
base %p#m1 ledger 2: 38
base %p#m1 ledger 0: 42

# p writes no more: what it has written goes to q still, and to no owner.
apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %a#d01>data>*
 =group          ledger
/=record_type    group
 =group          ledger
 =mode           owned
 =supplementary  %q#m1
 =from_modules   '%a#m1 %b#m1 %q#m1'
 =to_modules     *
----
- group ledger: one module at a time writes it; supplementary %p#m1 %q#m1; what these wrote after lost transactions stays
+ group ledger: one module at a time writes it; supplementary %q#m1
- route ledger: from * to *
+ route ledger: from %a#m1 %b#m1 %q#m1 to *
epoch 10001

ask
originate ledger %p#m1
destinations ledger %p#m1
destinations ledger %q#m1
donors ledger %b#m1
donors ledger %p#m1
----
originate ledger %p#m1: false incarnation 487425
destinations ledger %p#m1: [%q#m1]
destinations ledger %q#m1: [%p#m1]
donors ledger %b#m1: [%a#m1]
donors ledger %p#m1: [%a#m1 %b#m1 %q#m1]
