package vault

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/server/store"
)

// AtCommit is the step at which a COMMIT itself fails, in the database.
const AtCommit = "commit"

// Operations on a table, as steps name them.
func writes() []string { return []string{"INSERT", "UPDATE", "DELETE"} }

// InstallFaults puts triggers on every table that let the test see each step of a transaction and make it fail:
// with the code that the engine has for a full disk.
func (d *Database) InstallFaults() {
	d.tb.Helper()
	d.Exec(`CREATE TABLE chaos_armed (step TEXT)`, `CREATE TABLE chaos_recording (yes BIGINT)`, `CREATE TABLE chaos_seen (step TEXT)`)
	if d.Engine == store.SQLite {
		d.sqliteFaults()
		return
	}
	d.postgresFaults()
}

// sqliteFaults: a table with AUTOINCREMENT whose last number is given away answers SQLITE_FULL, and a deferred
// foreign key that is broken fails the COMMIT.
func (d *Database) sqliteFaults() {
	d.Exec(`CREATE TABLE chaos_full (n INTEGER PRIMARY KEY AUTOINCREMENT)`, `INSERT INTO chaos_full VALUES (9223372036854775807)`,
		`CREATE TABLE chaos_parent (n INTEGER PRIMARY KEY)`,
		`CREATE TABLE chaos_child (n INTEGER REFERENCES chaos_parent (n) DEFERRABLE INITIALLY DEFERRED)`)
	for _, table := range d.Tables() {
		for _, op := range writes() {
			step := table + " " + op
			d.Exec(fmt.Sprintf(`CREATE TRIGGER chaos_%[1]s_%[2]s BEFORE %[2]s ON %[1]s %[4]s BEGIN
				INSERT INTO chaos_full SELECT NULL FROM chaos_armed WHERE step = '%[3]s';
				INSERT INTO chaos_seen SELECT '%[3]s' FROM chaos_recording; END`, table, op, step, ofCalls(table, op)))
		}
	}
	d.Exec(`CREATE TRIGGER chaos_commit AFTER INSERT ON audit_blocks BEGIN
		INSERT INTO chaos_child SELECT 1 FROM chaos_armed WHERE step = '` + AtCommit + `'; END`)
}

// ofCalls leaves out the rows that the server changes by itself: jobs of no tenant.
func ofCalls(table, op string) string {
	switch {
	case table != jobsTable:
		return ""
	case op == "DELETE":
		return "WHEN OLD.tenant <> ''"
	default:
		return "WHEN NEW.tenant <> ''"
	}
}

func (d *Database) postgresFaults() {
	d.Exec(`CREATE FUNCTION chaos_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF TG_LEVEL = 'ROW' AND to_jsonb(COALESCE(NEW, OLD)) ->> 'tenant' = '' THEN
			RETURN NULL; END IF;
		IF EXISTS (SELECT 1 FROM chaos_armed WHERE step = TG_TABLE_NAME || ' ' || TG_OP) THEN
			RAISE EXCEPTION 'injected: no space left on device' USING ERRCODE = 'disk_full'; END IF;
		INSERT INTO chaos_seen SELECT TG_TABLE_NAME || ' ' || TG_OP FROM chaos_recording;
		RETURN NULL; END $$`,
		`CREATE FUNCTION chaos_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF EXISTS (SELECT 1 FROM chaos_armed WHERE step = '`+AtCommit+`') THEN
			RAISE EXCEPTION 'injected: no space left on device' USING ERRCODE = 'disk_full'; END IF;
		RETURN NULL; END $$`)
	for _, table := range d.Tables() {
		when, each := "BEFORE", "STATEMENT"
		if table == jobsTable { // whose rows tell who changes them
			when, each = "AFTER", "ROW"
		}
		d.Exec(fmt.Sprintf(`CREATE TRIGGER chaos_step %s INSERT OR UPDATE OR DELETE ON %s
			FOR EACH %s EXECUTE FUNCTION chaos_step()`, when, table, each))
	}
	d.Exec(`CREATE CONSTRAINT TRIGGER chaos_commit AFTER INSERT ON audit_blocks DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION chaos_commit()`)
}

// Arm makes a step fail until Disarm.
func (d *Database) Arm(step string) {
	d.tb.Helper()
	d.Exec(`INSERT INTO chaos_armed VALUES ('` + step + `')`)
}

// Disarm lets every step succeed again.
func (d *Database) Disarm() {
	d.tb.Helper()
	d.Exec(`DELETE FROM chaos_armed`)
}

// Steps runs do and gives the steps of what it changed, in order, each once.
func (d *Database) Steps(do func()) []string {
	d.tb.Helper()
	d.Exec(`DELETE FROM chaos_seen`, `INSERT INTO chaos_recording VALUES (1)`)
	do()
	d.Exec(`DELETE FROM chaos_recording`)
	var steps []string
	for _, step := range d.Texts(`SELECT step FROM chaos_seen`) {
		table, _, _ := strings.Cut(step, " ")
		if !Background(table) && !slices.Contains(steps, step) {
			steps = append(steps, step)
		}
	}
	return steps
}
