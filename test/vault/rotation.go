package vault

import "github.com/scailabs/scaivault/pkg/vaultapi"

// rotation makes two rotation policies, and secrets under the first: Turned and Spun were rotated once.
func (w *World) rotation() {
	w.by.TB.Helper()
	const all = "/v1/rotation/policies"
	for suffix, id := range map[string]*string{"-rotation": &w.RotationPolicy, "-spare": new(string)} {
		var p vaultapi.RotationPolicy
		w.by.Must(Request{Method: "POST", Path: all, Body: w.rotated(suffix)}, &p)
		*id = p.ID
	}
	one := all + "/" + w.RotationPolicy
	for _, path := range []string{w.turned(), w.spun(), w.loose(), w.free()} {
		w.by.Must(Request{Method: "PUT", Path: "/v1/secrets/" + path, Body: object{"data": object{"password": w.Value}}}, nil)
		if path != w.free() {
			w.by.Must(Request{Method: "POST", Path: one + "/secrets", Body: object{"secret_path": path}}, nil)
		}
	}
	for _, path := range []string{w.turned(), w.spun()} {
		w.by.Must(Request{Method: "POST", Path: "/v1/secrets/" + path + "/rotate", Body: object{"reason": "scheduled"}}, nil)
	}
	for path, cursor := range map[string]*string{
		all + "?limit=1": &w.RotationCursor, one + "/secrets?limit=1": &w.AssignmentCursor, one + "/history?limit=1": &w.HistoryCursor,
		"/v1/rotation/due?" + dueQuery: &w.DueCursor,
	} {
		var list struct{ Cursor *string }
		w.by.Must(Request{Path: path}, &list)
		*cursor = *list.Cursor
	}
}

const dueQuery = "within_hours=8760&limit=1"

func (w *World) turned() string { return w.Name + "/app/turned" } // its previous version is in its grace
func (w *World) spun() string   { return w.Name + "/app/spun" }   // to be rotated
func (w *World) loose() string  { return w.Name + "/app/loose" }  // to be detached
func (w *World) free() string   { return w.Name + "/app/free" }   // to be attached

func (w *World) rotated(suffix string) object {
	return object{"name": w.Name + suffix, "interval": "30d", "auto_generate": true}
}

func (w *World) rotationCalls() map[string]Request {
	const all = "/v1/rotation/policies"
	one := all + "/" + w.RotationPolicy
	held := func(path string) string { return one + "/secrets/" + path }
	due := "?" + dueQuery + "&cursor=" + w.DueCursor
	told := w.rotated("-new")
	told["webhook_ids"] = []string{w.Webhook}
	return map[string]Request{
		"listRotationPolicies":  {Path: all + "?limit=1&cursor=" + w.RotationCursor},
		"createRotationPolicy":  {Path: all, Body: told},
		"readRotationPolicy":    {Path: one},
		"patchRotationPolicy":   {Path: one, Body: object{"description": "d", "webhook_ids": []string{w.Webhook}}},
		"deleteRotationPolicy":  {Path: one},
		"enableRotationPolicy":  {Path: one + "/enable"},
		"disableRotationPolicy": {Path: one + "/disable"},
		"listAssignments":       {Path: one + "/secrets?limit=1&cursor=" + w.AssignmentCursor},
		"attachSecret":          {Path: one + "/secrets", Body: object{"secret_path": w.free()}},
		"detachSecret":          {Path: held(w.loose())},
		"moveGrace":             {Path: held(w.turned()) + "/grace", Body: object{"version": 1, "ends_in": "1h"}},
		"rotatePolicy":          {Path: one + "/rotate", Body: object{"secret_paths": []string{w.spun()}}},
		"rotationHistory":       {Path: one + "/history?limit=1&cursor=" + w.HistoryCursor},
		"listDue":               {Path: "/v1/rotation/due" + due},
		"listPending":           {Path: "/v1/rotation/pending" + due},
		"rotateSecret":          {Path: "/v1/secrets/" + w.spun() + "/rotate", Body: object{"reason": "scheduled"}},
	}
}
