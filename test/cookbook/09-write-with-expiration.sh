# Write with expiration (REST form).
put test/oauth-token '{"data":{"token":"t"},"options":{"expires_in":"1h"}}'
ends=$(date -d "$(get /v1/secrets/test/oauth-token | jq -r .expires_at)" +%s)
left=$((ends - $(date +%s)))
[ "$left" -gt 3500 ] && [ "$left" -le 3600 ] || { echo "expires in $left s, want about 3600"; exit 1; }
