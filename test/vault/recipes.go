package vault

import "github.com/scailabs/scaivault/pkg/vaultapi"

// recipes makes secret policies, whose static values are w.Value.
func (w *World) recipes() {
	w.by.TB.Helper()
	for suffix, id := range map[string]*string{"-recipe": &w.SecretPolicy, "-spare": new(string)} {
		var p vaultapi.SecretPolicy
		w.by.Must(Request{Method: "POST", Path: "/v1/secret-policies", Body: w.recipe(suffix)}, &p)
		*id = p.ID
	}
	var list vaultapi.SecretPolicyList
	w.by.Must(Request{Path: "/v1/secret-policies?limit=1"}, &list)
	w.SecretPolicyCursor = *list.Cursor
}

func (w *World) recipe(suffix string) object {
	return object{"name": w.Name + suffix, "fields": []object{
		{"name": "username", "generator": "static", "config": object{"value": w.Value}},
		{"name": "password", "generator": "random", "config": object{"length": 24}},
	}}
}

func (w *World) recipeCalls() map[string]Request {
	const all = "/v1/secret-policies"
	one := all + "/" + w.SecretPolicy
	return map[string]Request{
		"listSecretPolicies":  {Path: all + "?limit=1&cursor=" + w.SecretPolicyCursor},
		"createSecretPolicy":  {Path: all, Body: w.recipe("-new")},
		"readSecretPolicy":    {Path: one},
		"replaceSecretPolicy": {Path: one, Body: w.recipe("-replaced")},
		"patchSecretPolicy":   {Path: one, Body: object{"is_active": false}},
		"deleteSecretPolicy":  {Path: one + "?force=true"},
		"previewSecretPolicy": {Path: one + "/preview"},
	}
}
