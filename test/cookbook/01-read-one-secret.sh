# Read one secret and use a single field (REST form).
equal postgres://billing "$(get /v1/secrets/environments/production/billing/database | jq -r .data.url)" "field url"
equal postgres://billing "$(scaivault secrets read environments/production/billing/database --field url)" "CLI --field"
