package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// maxInput is more than a server takes (contract OC-11).
const maxInput = 4 << 20

// terminal is standard input's descriptor if a person sits there.
func (a *app) terminal() (int, bool) {
	f, ok := a.in.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(f.Fd())
	return fd, term.IsTerminal(fd)
}

func (a *app) interactive() bool {
	_, ok := a.terminal()
	return ok
}

// ask prompts for something that is not to be seen.
func (a *app) ask(prompt string) (string, error) {
	fd, ok := a.terminal()
	if !ok {
		return "", badUsage("there is no terminal to ask at: use - to read standard input")
	}
	if _, err := fmt.Fprint(a.errors, prompt); err != nil {
		return "", err
	}
	answer, err := term.ReadPassword(fd)
	if _, perr := fmt.Fprintln(a.errors); err == nil {
		err = perr
	}
	if err != nil {
		return "", fmt.Errorf("prompt: %w", err)
	}
	return string(answer), nil
}

// readInput reads all of standard input.
func (a *app) readInput() ([]byte, error) { return readAll(a.in) }

// readFile reads a file; - is standard input.
func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return a.readInput()
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usageError{err}
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
		return nil, badUsage("the input is larger than %d bytes", maxInput)
	}
	return raw, nil
}
