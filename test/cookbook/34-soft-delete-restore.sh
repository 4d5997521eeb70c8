# Soft-delete then restore.
curl -f -o /dev/null -X DELETE -H "Authorization: Bearer $TOKEN" \
     https://scaivault.scailabs.ai/v1/secrets/old/path
equal 404 "$(status https://scaivault.scailabs.ai/v1/secrets/old/path)" "read while deleted"
# ... later ...
curl -f -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" \
     https://scaivault.scailabs.ai/v1/secrets/old/path/restore
equal v "$(get /v1/secrets/old/path | jq -r .data.k)" "value after the restore"
