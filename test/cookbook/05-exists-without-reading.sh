# Check whether a secret exists without reading it: needs only secrets:list and never shows the value.
lister=$(scaivault-server token create --data-dir "$COOKBOOK_DATA_DIR" --name lister --identity sa:lister --scopes secrets:list --json | jq -r .token)
id=$(curl -f -X POST https://scaivault.scailabs.ai/v1/policies -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{"name":"lister","rules":[{"path_pattern":"app/**","permissions":["list"]}]}' | jq -r .id)
curl -f -o /dev/null -X POST "https://scaivault.scailabs.ai/v1/policies/$id/bindings" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{"identity_type":"service_account","identity_id":"sa:lister"}'
TOKEN=$lister
out=$(get /v1/secrets/app/db/password/metadata)
equal 3 "$(jq .version_count <<<"$out")" "version count"
equal array "$(jq -r '.tags | type' <<<"$out")" "tags"
equal string "$(jq -r '.rotation_status | type' <<<"$out")" "rotation status"
equal null "$(jq .data <<<"$out")" "the value"
equal 404 "$(status https://scaivault.scailabs.ai/v1/secrets/app/absent/metadata)" "absent path"
equal 403 "$(status https://scaivault.scailabs.ai/v1/secrets/app/db/password)" "reading the value"
