// Package call is the door's vocabulary: the s$ calls by name, their
// arguments and answers, and the status codes.
package call
