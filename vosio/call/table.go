package call

import "slices"

// Class says what a call does.
type Class byte

// The classes of calls.
const (
	Mutation    Class = 'M'
	Positioning Class = 'P' // reads and positions
	Locking     Class = 'L'
	Control     Class = 'C' // ports
	Transaction Class = 'T'
)

// Entry is one row of the call table.
type Entry struct {
	Name  string
	Class Class
	Works bool   // in this release; the others answer e$not_available
	Args  string // keys of Request, then of Reply, for the calls that work
}

// Table holds the 84 calls that DRMS mirrors.
var Table = []Entry{
	{"s$seq_write", Mutation, true, "p d → u"},
	{"s$seq_write_unlock", Mutation, true, "p d → u"},
	{"s$seq_write_partial", Mutation, true, "p d"},
	{"s$seq_rewrite", Mutation, true, "p d"},
	{"s$seq_delete", Mutation, true, "p"},
	{"s$seq_position_rewrite", Mutation, true, "p t q d"},
	{"s$seq_position_delete", Mutation, true, "p t q"},
	{"s$write_raw", Mutation, true, "p d → u"},
	{"s$truncate_open_file", Mutation, true, "p"},
	{"s$keyed_write", Mutation, true, "p k d"},
	{"s$keyed_write_unlock", Mutation, true, "p k d"},
	{"s$keyed_rewrite", Mutation, true, "p k d"},
	{"s$keyed_delete", Mutation, true, "p k d"},
	{"s$keyed_position_rewrite", Mutation, true, "p x k r d"},
	{"s$keyed_position_delete", Mutation, true, "p x k d r"},
	{"s$add_key", Mutation, true, "p x k"},
	{"s$delete_key", Mutation, true, "p x k"},
	{"s$add_item", Mutation, true, "p x k u"},
	{"s$delete_item", Mutation, true, "p x k u"},
	{"s$rel_write", Mutation, true, "p u d → u"},
	{"s$rel_write_unlock", Mutation, true, "p u d → u"},
	{"s$rel_rewrite", Mutation, true, "p u d"},
	{"s$rel_delete", Mutation, true, "p u"},
	{"s$rel_position_rewrite", Mutation, true, "p u d"},
	{"s$rel_position_delete", Mutation, true, "p u"},
	{"s$create_file", Mutation, true, "a o z"},
	{"s$create_allocated_file", Mutation, true, "a o z q"},
	{"s$clone_file", Mutation, true, "a b"},
	{"s$copy_file", Mutation, true, "a b s"},
	{"s$rename", Mutation, true, "a b"},
	{"s$delete_file", Mutation, true, "a"},
	{"s$truncate_file", Mutation, true, "a"},
	{"s$create_index", Mutation, true, "a n e s g → k"},
	{"s$create_record_index", Mutation, true, "a"},
	{"s$create_deleted_record_index", Mutation, true, "a"},
	{"s$delete_index", Mutation, true, "a n"},
	{"s$set_expiration_date", Mutation, true, "a q"},
	{"s$set_file_allocation", Mutation, true, "a q"},
	{"s$set_implicit_locking", Mutation, true, "a s"},
	{"s$set_pipe_file", Mutation, true, "a s"},
	{"s$set_safety_switch", Mutation, true, "a s"},
	{"s$set_transaction_file", Mutation, true, "a s"},
	{"s$enforce_region_locks", Mutation, true, "a s"},
	{"s$msg_send", Mutation, true, "p q n d w → u"},
	{"s$write", Mutation, true, "d"},
	{"s$write_code", Mutation, true, "d"},
	{"s$write_partial", Mutation, true, "d"},
	{"s$write_partial_code", Mutation, true, "d"},
	{"s$write_wrap", Mutation, true, "d"},
	{"s$write_wrap_indent", Mutation, true, "d q"},
	{"s$write_wrap_partial", Mutation, true, "d"},
	{"s$seq_read", Positioning, true, "p y → d l"},
	{"s$seq_position", Positioning, true, "p t q"},
	{"s$seq_position_read", Positioning, true, "p t q y → d l"},
	{"s$read_raw", Positioning, true, "p y → d l"},
	{"s$keyed_read", Positioning, true, "p x k d y → d l"},
	{"s$keyed_position", Positioning, true, "p x k d r"},
	{"s$keyed_position_read", Positioning, true, "p x k d r y → d l"},
	{"s$rel_read", Positioning, true, "p u y → d l u"},
	{"s$rel_position", Positioning, true, "p u"},
	{"s$rel_position_read", Positioning, true, "p u y → d l u"},
	{"s$get_item", Positioning, true, "p x k r → k u"},
	{"s$seq_lock_record", Locking, true, "p w"},
	{"s$seq_unlock_record", Locking, true, "p"},
	{"s$keyed_lock_record", Locking, true, "p x k d w"},
	{"s$keyed_unlock_record", Locking, true, "p x k d"},
	{"s$rel_lock_record", Locking, true, "p u w"},
	{"s$rel_unlock_record", Locking, true, "p u"},
	{"s$lock_file", Locking, true, "p l w"},
	{"s$unlock_file", Locking, true, "p"},
	{"s$lock_region", Locking, true, "p u q l w"},
	{"s$unlock_records", Locking, true, "p"},
	{"s$attach_port", Control, true, "n a → p"},
	{"s$detach_port", Control, true, "p"},
	{"s$open", Control, true, "p o z i l m x"},
	{"s$seq_open", Control, true, "a i → p"},
	{"s$close", Control, true, "p"},
	{"s$control", Control, true, "p q d → j"},
	{"s$msg_open", Control, true, "a i z → p"},
	{"s$notify_path", Control, true, "a q"},
	{"s$start_transaction", Transaction, true, ""},
	{"s$start_priority_transaction", Transaction, true, "q"},
	{"s$commit_transaction", Transaction, true, ""},
	{"s$abort_transaction", Transaction, true, ""},
}

// Unlisted are calls of VOS that the list of those that DRMS mirrors has not.
// What they change is mirrored like anything.
var Unlisted = []Entry{
	{"s$msg_receive", Mutation, true, "p n y w → d l u r s"},
	{"s$msg_read", Positioning, true, "p t n y → d l u r s"},
	{"s$msg_delete", Mutation, true, "p u"},
	{"s$msg_send_reply", Control, true, "p u d"},
	{"s$msg_receive_reply", Control, true, "p u y w → d l"},
	{"s$msg_cancel_receive", Control, true, "p u"},
	{"s$get_server_queue_info", Positioning, true, "a → j"},
	{"s$set_max_queue_depth", Mutation, true, "a q"},
	{"s$set_no_wait_mode", Control, true, "p"},
	{"s$set_wait_mode", Control, true, "p"},
	{"s$set_io_time_limit", Control, true, "p q"},
	{"s$attach_event", Control, true, "a s → u"},
	{"s$detach_event", Control, true, "u"},
	{"s$wait_event", Control, true, "u q w → j"},
	{"s$set_tp_parameters", Transaction, true, "t q → j"},
	{"s$set_tp_default_parameters", Transaction, true, "t q → j"},
}

// Extensions are calls of our own at the same door.
var Extensions = []Entry{
	{"drmesh$set_layout", Mutation, true, "a v"},
	{"drmesh$get_layout", Positioning, true, "a → d"},
	{"drmesh$list", Positioning, true, "a → n"},
	{"drmesh$status", Positioning, true, "a → j"},
	{"drmesh$create_dir", Mutation, true, "a"},
	{"drmesh$delete_dir", Mutation, true, "a"},
	{"drmesh$link", Mutation, true, "a b s"},
	{"drmesh$unlink", Mutation, true, "a"},
	{"drmesh$list_links", Positioning, true, "a → n"},
	{"drmesh$remove_dir_here", Mutation, true, "a"},
	{"drmesh$restore_dir_here", Mutation, true, "a"},
	{"drmesh$delete_local_index", Mutation, true, "a n"},
	{"drmesh$expand_path", Positioning, true, "a → n"},
}

// aliases are other spellings of calls.
var aliases = map[string]string{"s$create_delete_record_index": "s$create_deleted_record_index"}

var byName = func() map[string]*Entry {
	m := map[string]*Entry{}
	for _, t := range [][]Entry{Table, Unlisted, Extensions} {
		for i := range t {
			m[t[i].Name] = &t[i]
		}
	}
	for a, n := range aliases {
		m[a] = m[n]
	}
	return m
}()

// Find finds a call by name or alias; nil if there is none.
func Find(name string) *Entry { return byName[name] }

// numbered are all calls in the order of their names, and the place of each in
// it: what counts them has an array.
var numbered, numbers = func() ([]string, map[*Entry]int) {
	var l []string
	for name, e := range byName {
		if name == e.Name {
			l = append(l, name)
		}
	}
	slices.Sort(l)
	m := make(map[*Entry]int, len(l))
	for i, name := range l {
		m[byName[name]] = i
	}
	return l, m
}()

// Numbers is how many calls there are.
func Numbers() int { return len(numbered) }

// Number is the place of a call among all, from 0; it means nothing in another
// release.
func (e *Entry) Number() int { return numbers[e] }

// NameOf is the name of the call with a number.
func NameOf(number int) string { return numbered[number] }

// dontSendReads are the calls that the DRMS field dont_send_reads drops.
var dontSendReads = map[string]bool{
	"s$keyed_position": true, "s$keyed_position_read": true, "s$keyed_read": true, "s$rel_position": true, "s$rel_position_read": true,
	"s$rel_read": true, "s$seq_position": true, "s$seq_position_read": true, "s$seq_read": true,
}

// DontSendReads reports whether the field dont_send_reads drops the call.
func (e *Entry) DontSendReads() bool { return dontSendReads[e.Name] }

// extracted are the calls that the DRMS Extractor handles.
var extracted = map[string]bool{
	"s$keyed_delete": true, "s$keyed_position_rewrite": true, "s$keyed_rewrite": true, "s$keyed_write": true, "s$keyed_write_unlock": true,
	"s$rel_write": true, "s$rel_write_unlock": true, "s$seq_write": true, "s$seq_write_unlock": true,
}

// Extracted reports whether the Extractor handles the call.
func (e *Entry) Extracted() bool { return extracted[e.Name] }
