# Detailed component health.
out=$(curl -H "Authorization: Bearer $TOKEN" \
     https://scaivault.scailabs.ai/v1/health/detailed | jq)
equal ok "$(jq -r .checks.database.status <<<"$out")" database
