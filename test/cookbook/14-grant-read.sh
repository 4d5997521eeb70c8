# Grant a service account read access to one path. The page's pol_abc is the id that the first call answers.
created=$(curl -X POST https://scaivault.scailabs.ai/v1/policies \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "sa-billing-stripe-read",
    "rules": [{"path_pattern": "environments/production/billing/stripe", "permissions": ["read"]}]
  }')
pol_abc=$(jq -r .id <<<"$created")
[[ $pol_abc == pol_* ]] || { echo "id '$pol_abc'"; exit 1; }

bound=$(curl -X POST https://scaivault.scailabs.ai/v1/policies/$pol_abc/bindings \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"identity_type": "service_account", "identity_id": "sa:billing-prod"}')
equal sa:billing-prod "$(jq -r .identity_id <<<"$bound")" "bound identity"
