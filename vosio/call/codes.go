package call

import (
	"errors"
	"fmt"
	"slices"
)

// Code is a status code of the s$ calls, as an error. 0 is success and never
// an error. Codes below 31001 are the numbers of VOS; the others are ours,
// above all that VOS is known to use.
type Code int16

// The status codes, without their e$.
const (
	EndOfFile            Code = 1025
	ObjectNotFound       Code = 1032
	Timeout              Code = 1081
	FileInUse            Code = 1084
	InvalidDuplicateKey  Code = 1111
	RecordNotFound       Code = 1112
	InvalidRecordNumber  Code = 1128
	InvalidEventID       Code = 1183
	RecordAlreadyExists  Code = 1275
	CallerMustWait       Code = 1277
	BadPathname          Code = 31001
	FileExists           Code = 31002
	InvalidFileType      Code = 31003
	NoAlloc              Code = 31004
	FileFormatError      Code = 31005
	InvalidIfIndexed     Code = 31006
	InvalidPipeOperation Code = 31007
	NoAccess             Code = 31008
	InvalidPortNumber    Code = 31010
	PortNotOpen          Code = 31011
	PortAlreadyOpen      Code = 31012
	PortAlreadyAttached  Code = 31013
	TooManyPorts         Code = 31014
	InvalidIOType        Code = 31015
	InvalidAccessMode    Code = 31016
	InvalidLockingMode   Code = 31017
	InvalidControl       Code = 31018
	BeginningOfFile      Code = 31019
	NoCurrentRecord      Code = 31020
	LongRecord           Code = 31021
	RecordTooLong        Code = 31022
	InvalidRecordSize    Code = 31023
	RecordInUse          Code = 31024
	RegionInUse          Code = 31025
	FileNotLocked        Code = 31026
	AlreadyLocked        Code = 31027
	NotLocked            Code = 31028
	IndexNotFound        Code = 31029
	IndexExists          Code = 31030
	InvalidIndexType     Code = 31031
	KeyTooLong           Code = 31032
	TooManyIndexes       Code = 31033
	SafetySwitchOn       Code = 31034
	FileNotExpired       Code = 31035
	DifferentDirectory   Code = 31036
	DiskFull             Code = 31037
	TPAborted            Code = 31040
	NoTransaction        Code = 31041
	TransactionRunning   Code = 31042
	InvalidPriority      Code = 31043
	QueueFull            Code = 31044
	NoMsgServer          Code = 31045
	NotAvailable         Code = 31046
	NotOwner             Code = 31047
	DurableHere          Code = 31048
	TxnTooLarge          Code = 31049
	TwoGroups            Code = 31050
	NotCurrent           Code = 31051
)

// codeTable is the one table of status codes: name and text.
var codeTable = map[Code][2]string{
	EndOfFile:            {"e$end_of_file", "End of file."},
	ObjectNotFound:       {"e$object_not_found", "Object not found."},
	Timeout:              {"e$timeout", "The wait limit was reached."},
	FileInUse:            {"e$file_in_use", "The file is in use."},
	InvalidDuplicateKey:  {"e$invalid_duplicate_key", "Another record has this key, and the index allows no duplicates."},
	RecordNotFound:       {"e$record_not_found", "Record not found."},
	InvalidRecordNumber:  {"e$invalid_record_number", "Invalid record number."},
	InvalidEventID:       {"e$invalid_eventid", "Invalid event."},
	RecordAlreadyExists:  {"e$record_already_exists", "The record exists already."},
	CallerMustWait:       {"e$caller_must_wait", "The call cannot finish without waiting."},
	BadPathname:          {"e$bad_pathname", "Invalid path name."},
	FileExists:           {"e$file_exists", "The object exists already."},
	InvalidFileType:      {"e$invalid_file_type", "The file's organization does not allow this call."},
	NoAlloc:              {"e$no_alloc", "Out of memory."},
	FileFormatError:      {"e$file_format_error", "The file's structure is damaged."},
	InvalidIfIndexed:     {"e$invalid_if_indexed", "Not possible on an indexed file."},
	InvalidPipeOperation: {"e$invalid_pipe_operation", "Not possible on a pipe."},
	NoAccess:             {"e$no_access", "Access is not allowed."},
	InvalidPortNumber:    {"e$invalid_port_number", "No such port."},
	PortNotOpen:          {"e$port_not_open", "The port is not open."},
	PortAlreadyOpen:      {"e$port_already_open", "The port is open already."},
	PortAlreadyAttached:  {"e$port_already_attached", "The port is attached already."},
	TooManyPorts:         {"e$too_many_ports", "Too many ports."},
	InvalidIOType:        {"e$invalid_io_type", "The port's I/O type does not allow this call."},
	InvalidAccessMode:    {"e$invalid_access_mode", "The port's access mode does not allow this call."},
	InvalidLockingMode:   {"e$invalid_locking_mode", "Invalid locking mode."},
	InvalidControl:       {"e$invalid_control_operation", "Invalid control operation."},
	BeginningOfFile:      {"e$beginning_of_file", "Beginning of file."},
	NoCurrentRecord:      {"e$no_current_record", "The port has no current record."},
	LongRecord:           {"e$long_record", "The record is longer than the buffer."},
	RecordTooLong:        {"e$record_too_long", "The record's length does not fit the file."},
	InvalidRecordSize:    {"e$invalid_record_size", "Invalid record size."},
	RecordInUse:          {"e$record_in_use", "The record is in use."},
	RegionInUse:          {"e$region_in_use", "The region is in use."},
	FileNotLocked:        {"e$file_not_locked", "The file is not locked."},
	AlreadyLocked:        {"e$already_locked", "Locked already."},
	NotLocked:            {"e$not_locked", "Not locked."},
	IndexNotFound:        {"e$index_not_found", "Index not found."},
	IndexExists:          {"e$index_exists", "The index exists already."},
	InvalidIndexType:     {"e$invalid_index_type", "The index is of another type."},
	KeyTooLong:           {"e$key_too_long", "The key is longer than its index allows."},
	TooManyIndexes:       {"e$too_many_indexes", "Too many indexes."},
	SafetySwitchOn:       {"e$safety_switch_on", "The file's safety switch is on."},
	FileNotExpired:       {"e$file_not_expired", "The file's expiration date lies ahead."},
	DifferentDirectory:   {"e$different_directory", "The new name is in another directory."},
	DiskFull:             {"e$disk_full", "The disk is full."},
	TPAborted:            {"e$tp_aborted", "The transaction was aborted."},
	NoTransaction:        {"e$no_transaction", "No transaction is in progress."},
	TransactionRunning:   {"e$transaction_in_progress", "A transaction is in progress."},
	InvalidPriority:      {"e$invalid_priority", "Invalid priority."},
	QueueFull:            {"e$queue_full", "The queue is full."},
	NoMsgServer:          {"e$no_msg_server_for_queue", "No server has the queue open."},
	NotAvailable:         {"e$not_available", "This call is not built yet."},
	NotOwner:             {"e$not_owner", "Another module owns these files."},
	DurableHere:          {"e$durable_here", "Durable at this module; the others did not confirm in time."},
	TxnTooLarge:          {"e$txn_too_large", "The transaction is over 256 MiB."},
	TwoGroups:            {"e$two_groups", "A transaction may touch files of one group only."},
	NotCurrent:           {"e$not_current", "This module must take a new incarnation before it writes shared files."},
}

// Name is the code's name, e$ included.
func (c Code) Name() string {
	if t, ok := codeTable[c]; ok {
		return t[0]
	}
	return fmt.Sprintf("e$%d", int16(c))
}

// Text is the code's meaning for people.
func (c Code) Text() string {
	if t, ok := codeTable[c]; ok {
		return t[1]
	}
	return "Unknown status code."
}

// Error gives name and text.
func (c Code) Error() string { return fmt.Sprintf("%s (%d): %s", c.Name(), int16(c), c.Text()) }

// CodeOf finds the code that an error wraps; NoAlloc-free: an error without a
// code is a file format error, the code for what should not happen.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return FileFormatError
}

// Codes lists all codes, in order of number.
func Codes() []Code {
	l := make([]Code, 0, len(codeTable))
	for c := range codeTable {
		l = append(l, c)
	}
	slices.Sort(l)
	return l
}
