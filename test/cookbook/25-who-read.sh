# Who read this secret in the last 24 hours?
get /v1/secrets/environments/production/billing/stripe >/dev/null
readers=$(curl -H "Authorization: Bearer $TOKEN" \
     "https://scaivault.scailabs.ai/v1/audit/secrets/environments/production/billing/stripe?from=$(date -u -d '1 day ago' +%Y-%m-%dT%H:%M:%SZ)" \
  | jq -r '.logs[] | "\(.timestamp) \(.identity_id) \(.source_ip)"')
grep -Eq '^[0-9T:.-]+Z [a-z]+:[a-z]+ 127\.0\.0\.1$' <<<"$readers" || { echo "lines: $readers"; exit 1; }
