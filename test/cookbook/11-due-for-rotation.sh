# List secrets due for rotation in the next week.
curl -f -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
     -d '{"name":"recipe-11","interval":"5d"}' https://scaivault.scailabs.ai/v1/rotation/policies
put rotated/soon '{"data":{"key":"1"}}'
curl -f -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
     -d '{"secret_path":"rotated/soon"}' https://scaivault.scailabs.ai/v1/rotation/policies/recipe-11/secrets
due=$(curl -H "Authorization: Bearer $TOKEN" \
     "https://scaivault.scailabs.ai/v1/rotation/due?within_hours=168" \
  | jq -r '.secrets[] | "\(.path) \(.next_rotation_at)"')
has_line "rotated/soon $(date -u -d "$(get /v1/secrets/rotated/soon | jq -r .created_at) + 5 days" +%Y-%m-%dT%H:%M:%SZ)" "$due" "due within a week"
equal "" "$(grep rotated/now <<<"$due" || true)" "what is due in 90 days"
