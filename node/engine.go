package node

import (
	"errors"

	"drmesh/admin"
	"drmesh/vosio/call"
)

// engine answers the operators' door.
type engine struct{ n *Node }

// explain gives an error of the file system its exit class.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var a *admin.Error
	if errors.As(err, &a) {
		return err
	}
	var c call.Code
	if errors.As(err, &c) {
		class := admin.Failed
		switch c {
		case call.ObjectNotFound:
			class = admin.NotFound
		case call.NoAccess:
			class = admin.NotPermitted
		}
		return &admin.Error{Class: class, Code: c.Name(), Message: err.Error(), Number: int(c)}
	}
	return err
}
