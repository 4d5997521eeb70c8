# Bulk-tag secrets matching a pattern (REST form).
get "/v1/secrets?prefix=environments/staging/&limit=200" | jq -c '.data[] | {path, tags: (.tags + ["needs-rotation"] | unique)}' |
  while read -r item; do
    curl -f -o /dev/null -X PATCH -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
      -d "$(jq -c '{metadata: {tags}}' <<<"$item")" \
      "https://scaivault.scailabs.ai/v1/secrets/$(jq -r .path <<<"$item")/metadata"
  done
equal '["a","needs-rotation"]' "$(get /v1/secrets/environments/staging/tagged | jq -c .metadata.tags)" "tags"
equal kept "$(get /v1/secrets/environments/staging/tagged | jq -r .metadata.description)" "other metadata"
equal 1 "$(get /v1/secrets/environments/staging/untagged | jq .version)" "version"
equal '["needs-rotation"]' "$(get /v1/secrets/environments/staging/untagged | jq -c .metadata.tags)" "tags of the untagged"
