package main

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scailabs/scaivault/internal/console"
)

// terminalPair opens a pseudo-terminal: what a person would type at, and what the program sees.
func terminalPair(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// lockedBuffer may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestPromptDoesNotEcho: the terminal's echo is off while an answer is typed, and on again after.
func TestPromptDoesNotEcho(t *testing.T) {
	person, program := terminalPair(t)
	var prompt lockedBuffer
	a := &app{Console: console.Console{In: program, Errors: &prompt}}
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	if !echoes(t, program) {
		t.Fatal("the terminal does not echo to begin with")
	}
	go func() {
		text, err := a.value("password", "?")
		answers <- answer{text, err}
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	for echoes(t, program) {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("the echo stays on")
		}
	}
	if _, err := person.WriteString("hunter2\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-answers; got.err != nil || got.text != "hunter2" {
		t.Errorf("answer %+v", got)
	}
	if !echoes(t, program) {
		t.Error("the echo stays off")
	}
	if got := prompt.String(); got != "password: \n" {
		t.Errorf("prompt %q", got)
	}
}
