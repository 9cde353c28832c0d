# What control keeps of lost-transaction files.
mesh
%east#m1 %west#m1
----
2 members

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    group
 =group          ledger
 =mode           owned
----
+ share main: group ledger, sync, directory %east#d01>data
+   at %east#m1: %east#d01>data
+   at %west#m1: %west#d01>data
+ include main:* for *
+ group ledger: one module at a time writes it
+ route ledger: from * to *
epoch 1

do
lost ledger.1.1 ledger 1 %east#m1 50 0 0 d1 6000
lost ledger.1.2 ledger 1 %west#m1 3 0 0 d2 6100
lost ledger.1.2 ledger 1 %west#m1 3 0 0 d2 6200
lost ledger.2.1 ledger 2 %west#m1 3 0 0 d2 6200
lost other.1.1 other 1 %east#m1 3 0 0 d2 6200
lost ledger.3.1 ledger 3 %east#m1 0 0 0 d2 6200
lost ledger.3.1 ledger 3 %east#m1 3 2 2 d2 6200
----
lost ledger.1.1 ledger 1 %east#m1 50 0 0 d1 6000: ok
lost ledger.1.2 ledger 1 %west#m1 3 0 0 d2 6100: ok
lost ledger.1.2 ledger 1 %west#m1 3 0 0 d2 6200: ok
lost ledger.2.1 ledger 2 %west#m1 3 0 0 d2 6200: lost-transaction file ledger.2.1: malformed command: its name is not that of its group and module
lost other.1.1 other 1 %east#m1 3 0 0 d2 6200: lost-transaction file other.1.1: malformed command: its name is not that of its group and module
lost ledger.3.1 ledger 3 %east#m1 0 0 0 d2 6200: lost-transaction file ledger.3.1: malformed command: 0 of 0 transactions are replayed, 0 discarded
lost ledger.3.1 ledger 3 %east#m1 3 2 2 d2 6200: lost-transaction file ledger.3.1: malformed command: 2 of 3 transactions are replayed, 2 discarded

ask
lost
open ledger
----
lost: [ledger.1.1: 50 txns, 0 replayed, 0 discarded, made 6000, closed 0] [ledger.1.2: 3 txns, 0 replayed, 0 discarded, made 6100, closed 0]
open ledger: ledger.1.1 ledger.1.2

# How far it is only rises; nobody opens what is closed; an edited file is told.
do
lost ledger.1.1 ledger 1 %east#m1 50 40 0 d1 7000
lost ledger.1.1 ledger 1 %east#m1 50 39 0 d1 7100
lost ledger.1.1 ledger 1 %east#m1 51 40 0 d1 7100
lost ledger.1.1 ledger 1 %east#m1 50 40 0 d9 7100
lost ledger.1.1 ledger 1 %east#m1 50 40 10 d1 7200
lost ledger.1.1 ledger 1 %east#m1 50 40 10 d1 7300
lost ledger.1.1 ledger 1 %east#m1 50 0 0 d1 7400
----
lost ledger.1.1 ledger 1 %east#m1 50 40 0 d1 7000: ok
lost ledger.1.1 ledger 1 %east#m1 50 39 0 d1 7100: lost-transaction file ledger.1.1: it is not as it was recorded: of its 50 transactions 40 were replayed and 0 discarded before
lost ledger.1.1 ledger 1 %east#m1 51 40 0 d1 7100: lost-transaction file ledger.1.1: it is not as it was recorded: another file of that name was recorded, with 50 transactions
lost ledger.1.1 ledger 1 %east#m1 50 40 0 d9 7100: lost-transaction file ledger.1.1: it is not as it was recorded: another file of that name was recorded, with 50 transactions
lost ledger.1.1 ledger 1 %east#m1 50 40 10 d1 7200: ok
lost ledger.1.1 ledger 1 %east#m1 50 40 10 d1 7300: ok
lost ledger.1.1 ledger 1 %east#m1 50 0 0 d1 7400: lost-transaction file ledger.1.1: it is not as it was recorded: of its 50 transactions 40 were replayed and 10 discarded before

ask
lost
open ledger
----
lost: [ledger.1.1: 50 txns, 40 replayed, 10 discarded, made 6000, closed 7200] [ledger.1.2: 3 txns, 0 replayed, 0 discarded, made 6100, closed 0]
open ledger: ledger.1.2
