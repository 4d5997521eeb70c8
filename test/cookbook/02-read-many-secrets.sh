# Read many secrets at startup (REST form of client.secrets.batch_read).
batch=$(curl -f -X POST https://scaivault.scailabs.ai/v1/secrets/batch \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"paths": [
    "environments/production/billing/database",
    "environments/production/billing/stripe",
    "environments/production/billing/sendgrid"
  ]}')
equal 3 "$(jq '.secrets | length' <<<"$batch")" "secrets in the batch"
equal sk_test "$(jq -r '.secrets["environments/production/billing/stripe"].data.key' <<<"$batch")" "stripe key"
