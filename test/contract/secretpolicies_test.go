package contract

import "testing"

func secretPolicyTraffic(t *testing.T, r *recorder) {
	const all = "/v1/secret-policies"
	fields := []object{
		{"name": "username", "generator": "static", "config": object{"value": "billing"}},
		{"name": "password", "generator": "random", "config": object{"length": 24, "charset": "safe", "require_symbol": true}},
		{"name": "key", "generator": "ssh_keypair", "config": nil},
	}
	write := object{"name": "billing-db", "policy_type": "password", "fields": fields}
	r.do(t, call{method: "POST", target: all, body: object{"name": "x", "fields": []object{{"name": "p", "generator": "dice"}}}, want: 422})
	id := text(t, r.do(t, call{method: "POST", target: all, body: write, want: 201}), "id")
	one := all + "/" + id
	for _, c := range []call{
		{method: "POST", target: all, body: write, want: 409},
		{method: "GET", target: all, want: 200},
		{method: "GET", target: all + "?active=true&limit=1", want: 200},
		{method: "GET", target: all + "?active=maybe", want: 400},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: all + "/billing-db", want: 200},
		{method: "GET", target: all + "/sp_none", want: 404},
		{method: "PUT", target: one, body: write, want: 200},
		{method: "PUT", target: all + "/sp_none", body: write, want: 404},
		{method: "PATCH", target: one, body: object{"description": "d", "is_active": true}, want: 200},
		{method: "PATCH", target: all + "/sp_none", body: object{}, want: 404},
		{method: "POST", target: one + "/preview", want: 200},
		{method: "PUT", target: "/v1/secrets/app/generated", body: object{"generate_from": "billing-db"}, want: 201},
		{method: "PUT", target: "/v1/secrets/app/generated", body: object{"generate_from": id, "options": object{"expires_in": "1h"}}, want: 200},
		{method: "PUT", target: "/v1/secrets/app/generated", body: object{"generate_from": "none"}, want: 404},
		{method: "PUT", target: "/v1/secrets/app/generated", body: object{"generate_from": id, "data": object{}}, want: 400},
		{method: "GET", target: "/v1/secrets/app/generated/metadata", want: 200},
		{method: "DELETE", target: one, want: 409},
		{method: "DELETE", target: one + "?force=maybe", want: 400},
		{method: "DELETE", target: "/v1/secrets/app/generated", want: 200},
		{method: "POST", target: all + "/sp_none/preview", want: 404},
		{method: "DELETE", target: one, want: 204},
		{method: "DELETE", target: one, want: 404},
	} {
		r.do(t, c)
	}
}
