# Read with retry on transient failure (REST form): curl's own retry waits as Retry-After says on 429 and 503.
url=$(curl -f --retry 5 -H "Authorization: Bearer $TOKEN" \
  https://scaivault.scailabs.ai/v1/secrets/environments/production/billing/database | jq -r .data.url)
equal postgres://billing "$url" "field url"
