# Find every action by an ex-employee.
alice=$(scaivault-server token create --data-dir "$COOKBOOK_DATA_DIR" --name alice --identity user:alice@acme.example --scopes secrets:read --json | jq -r .token)
id=$(curl -f -X POST https://scaivault.scailabs.ai/v1/policies -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{"name":"alice","rules":[{"path_pattern":"app/**","permissions":["read"]}]}' | jq -r .id)
curl -f -o /dev/null -X POST "https://scaivault.scailabs.ai/v1/policies/$id/bindings" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{"identity_type":"user","identity_id":"user:alice@acme.example"}'
curl -f -o /dev/null -H "Authorization: Bearer $alice" https://scaivault.scailabs.ai/v1/secrets/app/db/password
trail=$(curl -H "Authorization: Bearer $TOKEN" \
     "https://scaivault.scailabs.ai/v1/audit/identities/user:alice@acme.example?from=2026-01-01")
equal app/db/password "$(jq -r '.summary.resources_accessed[]' <<<"$trail")" "resources accessed"
