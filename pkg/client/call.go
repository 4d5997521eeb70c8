package client

import "context"

// on sends r and decodes its answer.
func on[T any](ctx context.Context, c *Client, r request) (*T, error) {
	out := new(T)
	if err := c.do(ctx, r, out); err != nil {
		return nil, err
	}
	return out, nil
}

// onPath sends r to a secret's path.
func onPath[T any](ctx context.Context, c *Client, path, suffix string, r request) (*T, error) {
	escaped, err := escapedPath(path)
	if err != nil {
		return nil, err
	}
	r.path = "/secrets/" + escaped + suffix
	return on[T](ctx, c, r)
}

// onID sends r to one object of a collection.
func onID[T any](ctx context.Context, c *Client, collection, id, suffix string, r request) (*T, error) {
	escaped, err := escapedID(id)
	if err != nil {
		return nil, err
	}
	r.path = collection + "/" + escaped + suffix
	return on[T](ctx, c, r)
}

// sendID is onID for calls whose answer says nothing.
func sendID(ctx context.Context, c *Client, collection, id, suffix string, r request) error {
	escaped, err := escapedID(id)
	if err != nil {
		return err
	}
	r.path = collection + "/" + escaped + suffix
	return c.do(ctx, r, nil)
}
