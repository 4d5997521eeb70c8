package contract

import "testing"

func rotationTraffic(t *testing.T, r *recorder) {
	const all, path = "/v1/rotation/policies", "/v1/secrets/rotated/db"
	r.do(t, call{method: "PUT", target: path, body: object{"data": object{"host": "db", "password": "old"}}, want: 201})
	r.do(t, call{method: "PUT", target: "/v1/secrets/rotated/key", body: object{"data": object{"key": "old"}}, want: 201})
	write := object{"name": "quarterly", "interval": "90d", "grace_period": "1h", "grace_hold": "7d", "warn_before": []string{"7d", "1d"}, "auto_generate": true,
		"generate": object{"fields": []object{{"name": "password", "generator": "random", "config": object{"length": 20}}}}}
	r.do(t, call{method: "POST", target: all, body: object{"name": "x", "interval": "0d"}, want: 400})
	r.do(t, call{method: "POST", target: all, body: object{"name": "x", "cron": "0 0 30 2 *"}, want: 422})
	id := text(t, r.do(t, call{method: "POST", target: all, body: write, want: 201}), "id")
	one, none := all+"/"+id, all+"/rot_none"
	r.do(t, call{method: "POST", target: all, body: object{"name": "by-hand", "cron": "0 3 1 * *", "time_zone": "Europe/Amsterdam", "window": "2h"}, want: 201})
	for _, c := range []call{
		{method: "POST", target: all, body: write, want: 409},
		{method: "GET", target: all, want: 200},
		{method: "GET", target: all + "?active_only=true&limit=1&owner=k8s:home", want: 200},
		{method: "GET", target: all + "?cursor=nonsense", want: 400},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: none, want: 404},
		{method: "PATCH", target: one, body: object{"description": "d", "warn_before": "3d"}, want: 200},
		{method: "PATCH", target: one, body: object{"interval": "1h"}, want: 422},
		{method: "PATCH", target: none, body: object{}, want: 404},
		{method: "POST", target: one + "/secrets", body: object{"secret_path": "rotated/db"}, want: 201},
		{method: "POST", target: one + "/secrets", body: object{"secret_path": "rotated/none"}, want: 404},
		{method: "POST", target: all + "/by-hand/secrets", body: object{"secret_path": "rotated/db"}, want: 409},
		{method: "POST", target: all + "/by-hand/secrets", body: object{"secret_path": "rotated/key"}, want: 201},
		{method: "GET", target: one + "/secrets", want: 200},
		{method: "GET", target: none + "/secrets", want: 404},
		{method: "GET", target: "/v1/rotation/due?within_hours=87600", want: 200},
		{method: "GET", target: "/v1/rotation/due?within_hours=week", want: 400},
		{method: "GET", target: "/v1/rotation/pending", want: 200},
		{method: "GET", target: "/v1/rotation/pending?policy_id=rot_none", want: 404},
		{method: "POST", target: path + "/rotate", body: object{"reason": "manual"}, want: 200},
		{method: "POST", target: "/v1/secrets/rotated/key/rotate", body: object{"reason": "compromise"}, want: 202},
		{method: "POST", target: "/v1/secrets/rotated/none/rotate", want: 404},
		{method: "GET", target: path + "/versions", want: 200},
		{method: "PUT", target: one + "/secrets/rotated%2Fdb/grace", body: object{"version": 1, "ends_in": "0s"}, want: 200},
		{method: "PUT", target: one + "/secrets/rotated%2Fdb/grace", body: object{"version": 1}, want: 422},
		{method: "GET", target: path + "?version=1", want: 404},
		{method: "POST", target: one + "/rotate", body: object{"secret_paths": []string{"rotated/db", "rotated/none"}}, want: 200},
		{method: "POST", target: none + "/rotate", want: 404},
		{method: "GET", target: one + "/history?status=success&limit=1", want: 200},
		{method: "GET", target: one + "/history?status=unknown", want: 400},
		{method: "GET", target: "/v1/rotation/due?include_overdue=true", want: 200},
		{method: "POST", target: one + "/disable", want: 200},
		{method: "POST", target: none + "/disable", want: 404},
		{method: "POST", target: one + "/enable", want: 200},
		{method: "POST", target: none + "/enable", want: 404},
		{method: "DELETE", target: one + "/secrets/rotated%2Fdb", want: 204},
		{method: "DELETE", target: one + "/secrets/rotated%2Fdb", want: 404},
		{method: "DELETE", target: one, want: 204},
		{method: "DELETE", target: one, want: 404},
	} {
		r.do(t, c)
	}
}
