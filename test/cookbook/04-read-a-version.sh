# Read a specific version.
out=$(curl -H "Authorization: Bearer $TOKEN" \
     "https://scaivault.scailabs.ai/v1/secrets/app/db/password?version=2")
equal 2 "$(jq .version <<<"$out")" version
equal two "$(jq -r .data.password <<<"$out")" password
