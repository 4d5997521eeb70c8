# Test whether an identity can read a path (granted by recipe 14).
allowed=$(curl -X POST https://scaivault.scailabs.ai/v1/policies/test \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "identity_id": "sa:billing-prod",
    "path": "environments/production/billing/stripe",
    "permission": "read"
  }' | jq '.allowed')
equal true "$allowed" "sa:billing-prod"
equal false "$(curl -f -X POST https://scaivault.scailabs.ai/v1/policies/test -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"identity_id":"sa:nobody","path":"environments/production/billing/stripe","permission":"read"}' | jq .allowed)" "sa:nobody"
