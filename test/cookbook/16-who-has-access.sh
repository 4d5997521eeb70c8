# List who has access to a path: by the page's jq filter, and by the direct question.
ids=$(curl -H "Authorization: Bearer $TOKEN" https://scaivault.scailabs.ai/v1/policies \
  | jq -r '.policies[] | select(.rules[].path_pattern as $p | "environments/production/billing/stripe" | test($p)) | .id')
id=$(get "/v1/policies?path=environments/production/billing/stripe&permission=read" | jq -r '.policies[] | select(.name=="sa-billing-stripe-read") | .id')
has_line "$id" "$ids" "the granting policy"
