# Find secrets that missed their rotation window: nobody has written the new version that was asked for.
curl -f -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
     -d '{"name":"recipe-12","interval":"90d"}' https://scaivault.scailabs.ai/v1/rotation/policies
put rotated/missed '{"data":{"key":"1"}}'
curl -f -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
     -d '{"secret_path":"rotated/missed"}' https://scaivault.scailabs.ai/v1/rotation/policies/recipe-12/secrets
curl -f -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" https://scaivault.scailabs.ai/v1/secrets/rotated/missed/rotate
missed=$(curl -H "Authorization: Bearer $TOKEN" \
     "https://scaivault.scailabs.ai/v1/rotation/due?include_overdue=true" \
  | jq -r '.secrets[] | select(.is_overdue) | .path')
has_line rotated/missed "$missed" "overdue"
