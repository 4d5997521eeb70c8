package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/scailabs/scaivault/internal/console"
)

// terminal is standard input's descriptor if a person sits there.
func (a *app) terminal() (int, bool) {
	f, ok := a.In.(*os.File)
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
		return "", console.BadUsage("there is no terminal to ask at: use - to read standard input")
	}
	if _, err := fmt.Fprint(a.Errors, prompt); err != nil {
		return "", err
	}
	answer, err := term.ReadPassword(fd)
	if _, perr := fmt.Fprintln(a.Errors); err == nil {
		err = perr
	}
	if err != nil {
		return "", fmt.Errorf("prompt: %w", err)
	}
	return string(answer), nil
}

// given runs what belongs to each of the flags that were given. One at least must have been.
func given(flags *pflag.FlagSet, take map[string]func()) error {
	any := false
	for name, set := range take {
		if flags.Changed(name) {
			set()
			any = true
		}
	}
	if !any {
		return console.BadUsage("nothing is to change: give at least one of the flags")
	}
	return nil
}
