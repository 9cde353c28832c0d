# Both DRMS tables in one file, with the unevennesses that the manual has.
mesh
%prim#m1 %back#m1
----
2 members

apply
/=record_type           GLOBAL_SETTINGS
 =tcp_host              192.0.2.1  /* the backup */
 =tcp_port              40000
 =max_buffer_len        8192
 =queue_threshold       15000
 =no_of_queues          1
 =appl_send_alrets_to_syserr_log 0
 =substitute_system_name back

/=record_type           PRIMARY
 =run_on_module         (current_module)
 =use_queue_no          1

/=record_type           BACKUP
 =run_on_module         current_module)

/=record_type           APPLICATION
 =run_on_module         %back#m1
 =priority              7

/=record_type           include
 =process_name          Order*
 =source_path           %prim#d03>PROD>data>order_file
/=record_type           Include
 =process_name          *
 =source_path           %prim#d03>PROD>data>*.log
 =drms_server           1
 =dont_send_reads       1
 =auto_synchronize      true
/=record_type           include
 =process_name          *
 =source_path           %prim#d03>PROD>old>file
 =mirroring_dir         %back#d03>mirror
/=record_type           exclude
 =process_name          Report
 =source_path           %prim#d03>PROD>data>order_file
 =mirroring_dir         %back#d03>mirror
/=record_type           exclude
 =source_path           *.kp
----
warning: line 1: record_type: global_settings: the mesh heeds its logs, checks, qmon_warn_at and disable_drms, and needs no other of its settings
warning: line 3: tcp_port: a bin(15) of DRMS would not hold it
warning: line 5: queue_threshold: has no effect: it is not in drms.dd
warning: line 7: appl_send_alrets_to_syserr_log: is read as appl_send_alerts_to_syserr_log
warning: line 10: record_type: primary: it has no effect: every module's node ships what its programs write
warning: line 12: use_queue_no: has no effect: it is not in drms.dd
warning: line 14: record_type: backup: it has no effect: every module's node receives
warning: line 15: run_on_module: "current_module)" is read as (current_module)
warning: line 17: record_type: application: it has no effect: every module's node applies what it receives
warning: line 27: drms_server: has no effect: each module applies what it receives itself
warning: line 28: dont_send_reads: has no effect: reads do not travel
warning: line 29: auto_synchronize: has no effect: whole records travel, so that a rewrite never lacks its record
warning: line 33: mirroring_dir: is read as destination_dir
warning: line 37: mirroring_dir: is read as destination_dir
warning: line 37: mirroring_dir: has no effect: an exclude has no use for it
+ share data: group data, sync, directory %prim#d03>PROD>data
+   at %prim#m1: %prim#d03>PROD>data
+   at %back#m1: %back#d03>PROD>data
+ share old: group old, sync, directory %prim#d03>PROD>old
+   at %prim#m1: %prim#d03>PROD>old
+   at %back#m1: %back#d03>mirror
+ include data:order_file for Order*
+ include data:*.log for *
+ include old:file for *
+ exclude %prim#d03>PROD>data>order_file for Report
+ exclude *.kp in any directory for *
+ route data: from * to *
+ route old: from * to *
+ setting log_statistics_on_close
+ setting check_file_at_open
+ setting check_file_at_close
+ setting max_file_errors 50
epoch 1

ask
dir data %prim#m1
dir data %back#m1
dir old %back#m1
locate %back#m1 %back#d03>PROD>data>order_file
locate %prim#m1 %prim#d03>PROD>data>customers
locate %back#m1 %back#d03>mirror>file
write data order_file OrderEntry
write data order_file Report
write data a.log Report
----
dir data %prim#m1: %prim#d03>PROD>data true
dir data %back#m1: %back#d03>PROD>data true
dir old %back#m1: %back#d03>mirror true
locate %back#m1 %back#d03>PROD>data>order_file: data:order_file
locate %prim#m1 %prim#d03>PROD>data>customers: not shared
locate %back#m1 %back#d03>mirror>file: old:file
write data order_file OrderEntry: true
write data order_file Report: false
write data a.log Report: true

check
/=record_type           GLOBAL_SETTINGS
 =tcp_port              65536
 =no_of_queues          0
 =priority              10
 =max_buffer_len        40000
 =tcp_host              a-name-that-is-longer-than-char-32-holds
 =trace_levels          1
/=record_type           include
 =process_name          *
 =source_path           %prim#d03>a>b
 =mirroring_dir         %back#d03>m
 =destination_dir       %back#d03>n
----
tin refused
line 2: tcp_port: "65536" is not a number from 0 to 65535
line 3: no_of_queues: "0" is not a number from 1 to 64
line 4: priority: "10" is not a number from 0 to 9
line 5: max_buffer_len: "40000" is not a number from -32768 to 32767
line 6: tcp_host: it has 40 bytes, char(32) holds 32
line 7: trace_levels: a record of type global_settings has no such field; it has: appl_max_buffers, appl_mirror_default_output, appl_q_timeout, appl_send_alerts_to_25th_line, appl_send_alerts_to_syserr_log, appl_show_stats, check_file_at_close, check_file_at_open, check_file_interval, disable_drms, keep_trying, log_statistics_on_close, max_buffer_len, max_file_errors, no_of_queues, primary_call_timeout, primary_max_buffers, primary_q_read_timeout, priority, qmon_warn_at, queue_threshold, replace_special_chars, resume_at_q_depth, run_on_module, sort_buffer, substitute_system_name, tcp_host, tcp_port, tp_abort_timeout, trace_level, use_queue_no, use_tp, use_yield_processor, user_application_q_timeout
line 12: destination_dir: line 11 says "%back#d03>m" for the same field
