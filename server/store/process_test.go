package store_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server/store"
)

// TestMain lets the test binary stand in for a server process: with a database in its environment it opens
// it, prints the instance's id, and with WRITE set acknowledges numbered rows until it is killed.
func TestMain(m *testing.M) {
	o := store.Options{DataDir: os.Getenv("CHILD_DATA_DIR"), DatabaseURL: os.Getenv("CHILD_DATABASE_URL")}
	if o.DataDir == "" && o.DatabaseURL == "" {
		os.Exit(m.Run())
	}
	if err := child(o); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func child(o store.Options) error {
	db, err := store.Open(context.Background(), o)
	if err != nil {
		return err
	}
	fmt.Println(db.Identity().InstanceID)
	if os.Getenv("CHILD_WRITES") == "" {
		_, err := io.Copy(io.Discard, os.Stdin) // until the parent closes it
		if err != nil {
			return err
		}
		return db.Close()
	}
	for i := range 32 {
		go func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%s/%d/%d", os.Getenv("CHILD_WRITES"), i, n)
				err := db.Update(context.Background(), func(tx *store.Tx) error {
					_, err := tx.Exec("INSERT INTO meta (name, value) VALUES ($1, $1)", name)
					return err
				})
				if err != nil {
					return
				}
				fmt.Fprintln(os.Stdout, name)
			}
		}()
	}
	select {}
}

// process is a child with the lines it prints.
type process struct {
	*exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
}

func spawn(t *testing.T, environment ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{Cmd: cmd, stdin: in, lines: bufio.NewScanner(out)}
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("the process ended: %v", p.lines.Err())
	}
	return p.lines.Text()
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := spawn(t, "CHILD_DATA_DIR="+dir)
	id := first.line(t)
	second := spawn(t, "CHILD_DATA_DIR="+dir)
	if got := second.line(t); !strings.Contains(got, store.ErrInUse.Error()) {
		t.Errorf("second process: %s", got)
	}
	_ = second.stdin.Close()
	_ = second.Wait()
	if err := first.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	third := spawn(t, "CHILD_DATA_DIR="+dir)
	if got := third.line(t); got != id {
		t.Errorf("instance %s became %s", id, got)
	}
	_ = third.Process.Kill()
	_ = third.Wait()
}

// TestAcknowledgedSurvivesKill kills a writing process and finds everything it acknowledged.
func TestAcknowledgedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range 5 {
		p := spawn(t, "CHILD_DATA_DIR="+dir, fmt.Sprintf("CHILD_WRITES=%d", round))
		p.line(t) // the instance
		for range 500 * (round + 1) {
			acknowledged[p.line(t)] = true
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for p.lines.Scan() { // what it said before it died
			if line := p.lines.Text(); strings.Count(line, "/") == 2 {
				acknowledged[line] = true
			}
		}
		_ = p.Wait()
	}
	db, err := store.Open(t.Context(), store.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	lost := 0
	for name := range acknowledged {
		var value string
		if err := db.QueryRow(t.Context(), "SELECT value FROM meta WHERE name = $1", name).Scan(&value); err != nil {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged rows are lost", lost, len(acknowledged))
	}
}
