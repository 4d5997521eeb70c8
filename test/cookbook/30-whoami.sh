# Confirm a token works and see its identity.
out=$(curl -H "Authorization: Bearer $TOKEN" \
     https://scaivault.scailabs.ai/v1/auth/whoami)
[[ $(jq -r .identity_id <<<"$out") == *:* ]] || { echo "$out"; exit 1; }
