package console

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxInput is more than a server takes (contract OC-11).
const maxInput = 4 << 20

// ReadInput reads all of standard input.
func (c *Console) ReadInput() ([]byte, error) { return readAll(c.In) }

// ReadFile reads a file; - is standard input.
func (c *Console) ReadFile(name string) ([]byte, error) {
	if name == "-" {
		return c.ReadInput()
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, Mistake(err)
	}
	raw, err := readAll(f)
	return raw, errors.Join(err, f.Close())
}

func readAll(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(raw) > maxInput {
		return nil, BadUsage("the input is larger than %d bytes", maxInput)
	}
	return raw, nil
}
