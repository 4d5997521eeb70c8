# Subscribe to rotation events. The page's secret is a placeholder of nine characters and its host does not resolve.
created=$(curl -X POST https://scaivault.scailabs.ai/v1/webhooks \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "prod-rotations",
    "url": "https://ops.acme.example/scaivault/rotations",
    "secret": "whsec_...",
    "events": ["rotation.due", "rotation.overdue", "rotation.failed"],
    "filters": {"path_prefix": "environments/production/"}
  }')
id=$(jq -r .id <<<"$created")
[[ $id == wh_* ]] || { echo "id '$id' in $created"; exit 1; }
equal healthy "$(get "/v1/webhooks/$id" | jq -r .status)" "status"
equal environments/production/ "$(get /v1/webhooks/prod-rotations | jq -r .filters.path_prefix)" "filter"
equal prod-rotations "$(get /v1/webhooks | jq -r '.webhooks[].name')" "list"
has_line null "$(jq -r .secret <<<"$created")" "the secret is not answered"
